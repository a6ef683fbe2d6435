"""What the commands of both services have in common: options, findings of `check`, an orderly end at a signal."""

import asyncio
import json
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer
from rich.console import Console
from rich.table import Table

from kale_common import logs
from kale_common.errors import ConfigError

_log = structlog.get_logger()

T = TypeVar("T")

EnvFile = Annotated[Path, typer.Option(help="Settings as NAME=value lines; the environment wins over it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
ENV_FILE = Path(".env")


def existing(env_file: Path) -> Path:
    """The settings file; only the default one may be absent. Raises ConfigError."""
    if env_file != ENV_FILE and not env_file.exists():
        raise ConfigError("--env-file", f"there is no file {env_file}")
    return env_file


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `check` looked at."""

    name: str
    ok: bool
    detail: str


def print_findings(found: Sequence[Finding], *, as_json: bool) -> None:
    """Prints what `check` found: a table for people, or one JSON list."""
    if as_json:
        typer.echo(json.dumps([{"name": one.name, "ok": one.ok, "detail": one.detail} for one in found]))
        return
    table = Table(show_header=False)
    for one in found:
        table.add_row("ok" if one.ok else "FAILED", one.name, one.detail)
    Console().print(table)


def until_signal(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end; at SIGINT or SIGTERM everything is stopped cleanly and the process ends with exit code 0.

    SIGUSR1 has everything logged from debug on, SIGUSR2 goes back to the level that was configured.

    An error that ended a group of tasks is raised alone: what stopped one of them stopped the others.
    """

    async def guarded() -> T:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)

        def stop() -> None:
            _log.info("stopping")
            for name in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(name)
            task.cancel()

        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop)
        _follow_level_signals(loop)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise typer.Exit(0) from None
    except ExceptionGroup as group:
        raise _first(group) from group


def _follow_level_signals(loop: asyncio.AbstractEventLoop) -> None:
    configured = logs.current_level()

    def change(level: str) -> None:
        logs.set_level(level)
        _log.warning("log level changed", log_level=level)

    loop.add_signal_handler(signal.SIGUSR1, change, "debug")
    loop.add_signal_handler(signal.SIGUSR2, change, configured)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
