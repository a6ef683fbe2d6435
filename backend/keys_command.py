"""`kale-backend keys`: the key-encryption keys, and the seeds they seal."""

import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from backend import key_backup, keys
from backend.config import KeysSettings, load_keys_settings
from backend.failing import EXIT_FAULT, expected_errors
from backend.vault.hardening import harden
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, until_signal
from kale_common.settings import secret_from

app = typer.Typer(
    help="The keys that seal the farmers' seeds: rotate them, verify that every seed opens, back them up.",
    no_args_is_help=True,
)

T = TypeVar("T")
NewFile = Annotated[Path, typer.Argument(help="A file that does not exist yet.")]
Backup = Annotated[Path, typer.Argument(help="What export-kek wrote.")]
PassphraseFile = Annotated[Path, typer.Option(help="A file with the passphrase, readable by you alone.")]


class Place(StrEnum):
    """Kinds of places for key versions."""

    FILE = "file"
    PKCS11 = "pkcs11"


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
def rotate_command(
    env_file: EnvFile = ENV_FILE,
    *,
    to: Annotated[Place | None, typer.Option(help="Where to make the new version.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Make a new key version and seal every seed under it, while backends go on serving.

    One that was broken off is finished first, without another version. Back up the new key before you need it.
    """
    with expected_errors(), _progress("seeds looked at") as progress:
        done = _run(keys.rotate(_settings(env_file), progress, kind=to))
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


@app.command("export-sealed")
def export_sealed_command(file: NewFile, env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Write every farmer's sealed seed to a new file. Without the key-encryption keys nobody can use it."""
    with expected_errors():
        done = _run(key_backup.export_sealed(_settings(env_file), file))
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        versions = ", ".join(map(str, done.key_versions)) or "none"
        typer.echo(f"wrote {done.seeds} sealed seeds to {file}; they need the key versions {versions}")


@app.command("export-kek")
def export_kek_command(
    file: NewFile, passphrase_file: PassphraseFile, env_file: EnvFile = ENV_FILE, *, as_json: Json = False
) -> None:
    """Write the key-encryption keys in files to a new file, under a passphrase. Keep it apart from the sealed seeds."""
    with expected_errors():
        harden()
        done = key_backup.export_keys(_settings(env_file), file, _passphrase(passphrase_file))
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    typer.echo(f"wrote key versions {', '.join(map(str, done.key_versions)) or 'none'} to {file}")
    if done.in_device:
        typer.echo(f"versions {', '.join(map(str, done.in_device))} are in the device: back it up by its own means")


@app.command("import-kek")
def import_kek_command(
    file: Backup, passphrase_file: PassphraseFile, env_file: EnvFile = ENV_FILE, *, as_json: Json = False
) -> None:
    """Put the keys of a backup where KEY_FILE says; files that are there are left as they are."""
    with expected_errors():
        harden()
        restored = key_backup.import_keys(_settings(env_file), file, _passphrase(passphrase_file))
    if as_json:
        typer.echo(json.dumps({"restored": restored}))
    else:
        typer.echo(f"restored key versions {', '.join(map(str, restored)) or 'none: all are there'}")


@app.command("drill")
def drill_command(
    sealed: Annotated[Path, typer.Option(help="What export-sealed wrote.")],
    kek: Annotated[Path, typer.Option(help="What export-kek wrote.")],
    passphrase_file: PassphraseFile,
    env_file: EnvFile = ENV_FILE,
    *,
    as_json: Json = False,
) -> None:
    """Prove that the two backups together open every farmer's key; exit code 1 if one does not, or is not in them."""
    with expected_errors():
        found = _run(key_backup.drill(_settings(env_file), sealed, kek, _passphrase(passphrase_file)))
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"passed": found.passed}))
    else:
        missing = [f"{address} is not in the backup: export anew" for address in found.not_backed_up]
        typer.echo("\n".join([f"{found.opened} seeds open", *(one.problem for one in found.unopened), *missing]))
    raise typer.Exit(0 if found.passed else EXIT_FAULT)


def _passphrase(file: Path) -> str:
    secret = secret_from("PASSPHRASE", None, file)
    assert secret is not None
    return secret.get_secret_value()


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
