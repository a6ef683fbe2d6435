"""Structured logs: one JSON object a line on standard error, free of secrets.

Secrets are kept out by never logging them; the redaction here is the net below that, for texts that come from
elsewhere: a library's exception, a URL with a password in it.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

REDACTED = "[redacted]"
LEVELS = ("debug", "info", "warning", "error")

_SEED = re.compile("S[A-Z2-7]{55}")
_URL_PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SECRET_KEY = re.compile(r"secret|seed|passw|token_value|api_key", re.IGNORECASE)
_CHATTY = ("aiohttp.access", "asyncio", "grpc", "stamina")


class Redactor:
    """A structlog processor that replaces secrets wherever they stand in an event.

    Args:
        secrets: Texts to hide literally, beside everything that looks like a Stellar seed or a URL's credentials.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted((secret for secret in secrets if secret), key=len, reverse=True)

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """The event without secrets."""
        return {key: self._clean(key, value) for key, value in event.items()}

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _URL_PASSWORD.sub(REDACTED, _SEED.sub(REDACTED, text))

    def _clean(self, key: str, value: Any) -> Any:
        if _SECRET_KEY.search(key):
            return REDACTED
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(name): self._clean(str(name), inner) for name, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean("", inner) for inner in value]
        return value if isinstance(value, int | float | bool | None) else self.text(str(value))


def configure(level: str, secrets: Iterable[str] = ()) -> None:
    """Sends structlog's and the standard library's logs to standard error as JSON lines. A repeat replaces the first.

    Args:
        level: One of LEVELS; chatty libraries log from warnings upwards only.
        secrets: Texts never to show, such as a seed read from the environment.
    """
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
                Redactor(secrets),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
