"""The command `kale-backend`.

Exit codes: 0 done, 1 a fault of ours, 2 wrong settings, 3 something is out of reach, 4 another backend has the lease.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated, NoReturn

import structlog
import typer

from backend.app import run
from backend.check import findings
from backend.config import load_database_settings, load_key_settings, load_settings
from backend.db.migrations import migrate
from backend.errors import (
    BackendError,
    DatabaseRoleError,
    HeadFileError,
    KeyFileError,
    LeaseError,
    MigrationError,
    UnavailableError,
)
from backend.quarantine import begin, show
from backend.vault import create_key_file
from kale_chain.errors import IdentityError, RpcError
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, print_findings, until_signal
from kale_common.errors import EXIT_CONFIG, ConfigError

log = structlog.get_logger(__name__)

EXIT_FAULT = 1
EXIT_UNREACHABLE = 3
EXIT_LEASE = 4

app = typer.Typer(
    help="KALE Pool's backend: keeps farmers' wallets, plants for all of them at once, harvests, answers poolers.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
key = typer.Typer(help="The key that seals the farmers' seeds.", no_args_is_help=True)
app.add_typer(key, name="key")
quarantine = typer.Typer(
    help="Times in which nothing is signed, as after a restore of the database to an older point.",
    no_args_is_help=True,
)
app.add_typer(quarantine, name="quarantine")


@app.command("run")
def run_command(env_file: EnvFile = ENV_FILE) -> None:
    """Serve until Ctrl-C or SIGTERM. Logs are JSON lines on standard error; one says "ready" with the ports."""
    with _errors():
        settings = load_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        until_signal(run(settings))


@app.command("migrate")
def migrate_command(
    env_file: EnvFile = ENV_FILE,
    *,
    with_test_data: Annotated[bool, typer.Option(help="Add inactive sample farmers; refused on mainnet.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the database's schema up to date; a repeat does nothing.

    With DATABASE_OWNER_URL it works as the owner of the tables, and makes the role that DATABASE_URL names, which may
    do only what the backend needs.
    """
    with _errors():
        settings = load_database_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        url, owner = settings.database_url.get_secret_value(), settings.database_owner_url
        applied = migrate(
            url if owner is None else owner.get_secret_value(),
            network=settings.stellar_network,
            application_url=None if owner is None else url,
            with_test_data=with_test_data,
        )
        if as_json:
            typer.echo(json.dumps({"applied": applied}))
        else:
            typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: the schema is up to date")


@app.command()
def check(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Check database, key file, farm and master account; exit code 3 if something is missing."""
    with _errors():
        settings = load_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        found = until_signal(findings(settings))
        print_findings(found, as_json=as_json)
        raise typer.Exit(0 if all(one.ok for one in found) else EXIT_UNREACHABLE)


@key.command("create")
def key_create(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Make the key file named by KEY_FILE; one that exists is never overwritten. Keep a copy: seeds need it."""
    with _errors():
        path = load_key_settings(existing(env_file)).key_file
        create_key_file(path)
        typer.echo(json.dumps({"key_file": str(path)}) if as_json else f"wrote {path}; keep a copy in a safe place")


@quarantine.command("show")
def quarantine_show(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show the quarantines that have not ended, and the ledger each waits for."""
    with _errors():
        settings = load_database_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        opened = until_signal(show(settings))
        if as_json:
            typer.echo(json.dumps([dataclasses.asdict(one) for one in opened]))
        else:
            untils = [f"ledger {one.until_ledger}" if one.until_ledger else "the ledger is read" for one in opened]
            lines = [f"nothing signed until {until}: {one.reason}" for until, one in zip(untils, opened, strict=True)]
            typer.echo("\n".join(lines) or "no quarantine")


@quarantine.command("begin")
def quarantine_begin(
    env_file: EnvFile = ENV_FILE,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the audit trail later.")],
) -> None:
    """Sign nothing more, at once; it ends by itself once the ledger has been read again, as after a restore."""
    with _errors():
        settings = load_database_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        until_signal(begin(settings, reason))
        typer.echo("nothing is signed until the ledger was read again; `kale-backend quarantine show` tells how long")


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turns expected errors into one line on standard error and an exit code."""
    try:
        yield
    except (ConfigError, DatabaseRoleError, HeadFileError, IdentityError, KeyFileError, MigrationError) as error:
        _fail(error, EXIT_CONFIG)
    except RpcError as error:
        _fail(f"STELLAR_RPC_URL: {error}", EXIT_UNREACHABLE)
    except UnavailableError as error:
        _fail(error, EXIT_UNREACHABLE)
    except LeaseError as error:
        _fail(error, EXIT_LEASE)
    except BackendError as error:
        _fail(error, EXIT_FAULT)


def _fail(error: object, code: int) -> NoReturn:
    typer.echo(f"kale-backend: {error}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of `kale-backend`."""
    app(prog_name="kale-backend")
