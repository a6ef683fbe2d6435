"""`kale-backend backup …`, `restore` and `drill`."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from backend.backup.drilling import drill
from backend.backup.examining import Examination, examine
from backend.backup.recovering import Recovered, recovered
from backend.backup.sealing import create_keys
from backend.backup.service import BackupService, back_up
from backend.backup.settings import (
    BackupSettings,
    DrillSettings,
    load_backup_settings,
    load_drill_settings,
    load_taking_settings,
)
from backend.backup.shelf import BackupStatus, BaseBackup, Shelf, read_status
from backend.errors import BackupError
from backend.failing import expected_errors
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, until_signal
from kale_common.errors import ConfigError

app = typer.Typer(help="Backups: base backups and the write-ahead log, sealed.", no_args_is_help=True)


@app.command("key")
def key_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Make the key pair of BACKUP_KEY_FILE. The public key seals backups; keep the private one in a safe place too."""
    with expected_errors():
        settings = load_backup_settings(existing(env_file))
        if settings.backup_key_file is None:
            raise ConfigError("BACKUP_KEY_FILE", "is not set; name the file to make")
        public = create_keys(settings.backup_key_file)
        files = {"private_key": str(settings.backup_key_file), "public_key": str(public)}
        typer.echo(json.dumps(files) if as_json else f"wrote {files['private_key']} and {files['public_key']}")


@app.command("run")
def run_command(env_file: EnvFile = ENV_FILE) -> None:
    """Fetch the log all along, and take base backups and drills from time to time, until Ctrl-C or SIGTERM."""
    with expected_errors():
        settings = load_taking_settings(existing(env_file))
        drilling = _drilling(env_file)
        logs.configure(settings.log_level, _secrets(settings.backup_database_url, drilling))
        until_signal(BackupService(settings, drilling).run())


@app.command("now")
def now_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Take one base backup now and verify it."""
    with expected_errors():
        settings = load_taking_settings(existing(env_file))
        drilling = _drilling(env_file)
        logs.configure(settings.log_level, _secrets(settings.backup_database_url, drilling))
        shelf = Shelf(settings.backup_directory)
        base = until_signal(back_up(settings, drilling, shelf, settings.tools()))
        if as_json:
            typer.echo(json.dumps(asdict(base)))
        else:
            state = "verified" if base.verified else "not verified: BACKUP_KEY_FILE is not set"
            typer.echo(f"base backup {base.name}, {base.bytes / 1e6:.1f} MB, {state}")


@app.command("list")
def list_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show the base backups, and how far the log was fetched."""
    with expected_errors():
        settings = load_backup_settings(existing(env_file))
        shelf = Shelf(settings.backup_directory)
        bases, status = shelf.bases(), read_status(settings.backup_directory)
        if as_json:
            typer.echo(json.dumps({"bases": [asdict(base) for base in bases], "status": asdict(status)}))
        else:
            _print_list(bases, status)


def restore_command(
    directory: Annotated[Path, typer.Argument(help="The data folder to make; it must not exist.")],
    env_file: EnvFile = ENV_FILE,
    to: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"],
            help="The moment to go back to, UTC; by default the last one that was fetched.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Restore a backup into a new data folder, recovered and checked, for your PostgreSQL to serve.

    A backend that starts on it begins with a quarantine: nothing is signed until the ledger was read again.
    """
    with expected_errors():
        settings = load_drill_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        target = directory.absolute()
        if target.exists():
            raise BackupError(f"{target} exists: name a folder that does not, nothing is overwritten")
        when = to.replace(tzinfo=UTC) if to is not None else None
        server, found = _restore(settings, target, when)
        if as_json:
            typer.echo(json.dumps(_restored_json(target, server, found)))
        else:
            _print_restored(target, server, found)
        if found.books is not None:
            raise typer.Exit(1)


def drill_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Restore the newest backup into a temporary server, check its books and open a farmer's key."""
    with expected_errors():
        settings = load_drill_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        shelf = Shelf(settings.backup_directory)
        report = asyncio.run(drill(shelf, settings.tools(), settings.key(), settings))
        values = asdict(report) | {"last_event_at": _time(report.last_event_at)}
        if as_json:
            typer.echo(json.dumps(values))
        else:
            canary = f"the key of {report.canary} opens" if report.canary else "no key was opened"
            typer.echo(
                f"passed: base backup {report.base} and {report.log_files} files of the log served after "
                f"{report.seconds:.1f} s; {report.farmers} farmers, last event {_time(report.last_event_at)}, "
                f"books in order, {canary}"
            )


def _restore(settings: DrillSettings, target: Path, to: datetime | None) -> tuple[Recovered, Examination]:
    shelf = Shelf(settings.backup_directory)
    with recovered(shelf, settings.tools(), settings.key(), target, to) as server:
        return server, asyncio.run(examine(settings, server.port))


def _drilling(env_file: Path) -> DrillSettings | None:
    """What looks into restored databases, where it is configured on this machine."""
    try:
        return load_drill_settings(existing(env_file))
    except ConfigError:
        return None


def _secrets(url: Any, drilling: DrillSettings | None) -> Sequence[str]:
    return [*BackupSettings.secrets_of(url), *(drilling.secrets() if drilling is not None else ())]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _stamp(seconds: float) -> str:
    return str(_time(datetime.fromtimestamp(seconds, UTC))) if seconds else "never"


def _restored_json(target: Path, server: Recovered, found: Examination) -> dict[str, Any]:
    return {
        "directory": str(target),
        "base": server.base.name,
        "log_files": server.log_files,
        "seconds": round(server.seconds, 3),
        **asdict(found),
        "last_event_at": _time(found.last_event_at),
    }


def _print_restored(target: Path, server: Recovered, found: Examination) -> None:
    typer.echo(
        f"{target} is restored from base backup {server.base.name} and {server.log_files} files of the log, in "
        f"{server.seconds:.1f} s: {found.farmers} farmers, last event {_time(found.last_event_at)}"
    )
    typer.echo("the books are in order" if found.books is None else f"NOT IN ORDER: {found.books}")
    typer.echo("have PostgreSQL serve it; the backend then begins with a quarantine and reads the ledger again")


def _print_list(bases: Sequence[BaseBackup], status: BackupStatus) -> None:
    table = Table()
    for name in ("base backup", "complete at", "MB", "verified"):
        table.add_column(name)
    for base in bases:
        table.add_row(base.name, _stamp(base.finished_at), f"{base.bytes / 1e6:.1f}", "yes" if base.verified else "NO")
    Console().print(table)
    typer.echo(f"log fetched up to its end at {_stamp(status.wal_at)}")
    outcome = "" if not status.drill_at else ", passed" if status.drill_passed else ", FAILED"
    typer.echo(f"last drill: {_stamp(status.drill_at)}{outcome}")
    if status.problem:
        typer.echo(f"problem: {status.problem}")
