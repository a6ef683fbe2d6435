"""`kale-backend keys`: the key-encryption keys, and the seeds they seal."""

import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from backend import keys
from backend.config import KeysSettings, load_keys_settings
from backend.failing import EXIT_FAULT, expected_errors
from backend.vault.hardening import harden
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, until_signal

app = typer.Typer(
    help="The keys that seal the farmers' seeds: rotate them, verify that every seed opens, back them up.",
    no_args_is_help=True,
)

T = TypeVar("T")


@app.command("status")
def status_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show every key version, where it lies and how many seeds it seals; exit code 1 if one is missing."""
    with expected_errors():
        versions = _run(keys.status(_settings(env_file)))
    if as_json:
        typer.echo(json.dumps([asdict(version) for version in versions]))
    else:
        table = Table()
        for name in ("version", "seeds", "seals now", "place"):
            table.add_column(name)
        for one in versions:
            row = (str(one.version), str(one.seeds), "yes" if one.current else "", one.place or "MISSING")
            table.add_row(*row)
        Console().print(table)
    raise typer.Exit(EXIT_FAULT if any(one.place is None for one in versions) else 0)


@app.command("rotate")
def rotate_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Make a new key version and seal every seed under it, while backends go on serving.

    One that was broken off is finished first, without another version. Back up the new key before you need it.
    """
    with expected_errors(), _progress("seeds looked at") as progress:
        done = _run(keys.rotate(_settings(env_file), progress))
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    made = f"made key version {done.version}" if done.created else f"finished the move to key version {done.version}"
    typer.echo(f"{made}; {done.rewrapped} seeds sealed anew. Back up the keys: kale-backend keys export-kek")


@app.command("verify")
def verify_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Open every farmer's seed and hold it against the farmer's address; exit code 1 if one does not fit."""
    with expected_errors(), _progress("seeds opened") as progress:
        found = _run(keys.verify(_settings(env_file), progress))
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo("\n".join([f"{found.opened} seeds open", *(one.problem for one in found.unopened)]))
    raise typer.Exit(EXIT_FAULT if found.unopened else 0)


def _settings(env_file: Path) -> KeysSettings:
    settings = load_keys_settings(existing(env_file))
    logs.configure(settings.log_level, settings.secrets())
    return settings


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end in a process that leaves no core dump."""
    harden()
    return until_signal(work)


@contextmanager
def _progress(what: str) -> Iterator[keys.Progress]:
    """A line on standard error, where that is a terminal, that counts."""
    columns = (SpinnerColumn(), TextColumn("{task.completed} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda count: shown.update(task, completed=count)
