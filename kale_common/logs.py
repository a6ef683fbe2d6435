"""Structured logs: one JSON object a line on standard error, free of secrets (see kale_common.redaction)."""

import logging
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from kale_common.redaction import Redactor

LEVELS = ("debug", "info", "warning", "error")

_CHATTY = ("aiohttp.access", "asyncio", "grpc", "stamina")
_log = structlog.get_logger("process")
_redactor = Redactor()


def redacted(text: str) -> str:
    """The text without the secrets that `configure` was told of, and without what looks like one."""
    return _redactor.text(text)


def configure(level: str, secrets: Iterable[str] = ()) -> None:
    """Sends structlog's and the standard library's logs to standard error as JSON lines. A repeat replaces the first.

    Errors that nothing catches, in the main program, a thread or a destructor, are logged the same way.

    Args:
        level: One of LEVELS; chatty libraries log from warnings upwards only.
        secrets: Texts never to show, such as a seed read from the environment.
    """
    global _redactor  # noqa: PLW0603  (a process has one log, and one set of secrets to keep out of it)
    _redactor = Redactor(secrets)
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.getLogger().handlers[:] = [handler]
    set_level(level)
    sys.excepthook = _uncaught
    threading.excepthook = lambda caught: _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)
    sys.unraisablehook = lambda caught: _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


def set_level(level: str) -> None:
    """Logs from this level on, from now on; chatty libraries from warnings on only."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def current_level() -> str:
    """The level logged from now."""
    return logging.getLevelName(logging.getLogger().level).lower()


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: _redactor.value(key, value) for key, value in event.items()}


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _log.critical("a fault of the program", exc_info=(kind, error or kind(), trace))
