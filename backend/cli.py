"""The command `kale-backend`.

Exit codes: 0 done, 1 a fault of ours, 2 wrong settings, 3 something is out of reach, 4 another backend has the lease.
"""

import dataclasses
import json
from typing import Annotated

import structlog
import typer

from backend import (
    audit_command,
    farmer_command,
    farmer_settings_command,
    keys_command,
    pooler_command,
    tls_command,
    token_command,
    withdrawals_command,
)
from backend.app import run
from backend.at_risk_command import at_risk_command
from backend.backup_commands import app as backup_app
from backend.backup_commands import drill_command, restore_command
from backend.blame_command import blame_command
from backend.check import findings
from backend.config import load_database_settings, load_key_settings, load_settings
from backend.db.migrations import migrate, pending
from backend.failing import EXIT_UNREACHABLE, expected_errors
from backend.key_ring import key_ring
from backend.profit_command import profit_command
from backend.quarantine import begin, show
from backend.signer import signer_command
from backend.statement_command import statement_command, verify_statement_command
from backend.top_command import top_command
from backend.vault import create_key_file
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, print_findings, until_signal

log = structlog.get_logger(__name__)

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
app.add_typer(audit_command.app, name="audit")
farmer_settings_command.register(farmer_command.app)
app.add_typer(keys_command.app, name="keys")
farmer_command.app.command("statement")(statement_command)
farmer_command.app.command("profit")(profit_command)
app.add_typer(farmer_command.app, name="farmer")
app.add_typer(withdrawals_command.app, name="withdrawals")
app.add_typer(token_command.app, name="token")
app.add_typer(tls_command.app, name="tls")
app.add_typer(pooler_command.app, name="pooler")
app.add_typer(backup_app, name="backup")
app.command("restore")(restore_command)
app.command("drill")(drill_command)
app.command("at-risk")(at_risk_command)
app.command("top")(top_command)
app.command("signer")(signer_command)
app.command("blame")(blame_command)
app.command("verify-statement")(verify_statement_command)


@app.command("run")
def run_command(env_file: EnvFile = ENV_FILE) -> None:
    """Serve until Ctrl-C or SIGTERM. Logs are JSON lines on standard error; one says "ready" with the ports."""
    with expected_errors():
        settings = load_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        until_signal(run(settings))


@app.command("migrate")
def migrate_command(
    env_file: EnvFile = ENV_FILE,
    *,
    with_test_data: Annotated[bool, typer.Option(help="Add inactive sample farmers; refused on mainnet.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be applied, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the database's schema up to date; a repeat does nothing.

    With DATABASE_OWNER_URL it works as the owner of the tables, and makes the role that DATABASE_URL names, which may
    do only what the backend needs.
    """
    with expected_errors():
        settings = load_database_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        url, owner = settings.database_url.get_secret_value(), settings.database_owner_url
        as_owner = url if owner is None else owner.get_secret_value()
        if dry_run:
            missing = pending(as_owner, with_test_data=with_test_data)
            text = "\n".join(f"would apply {name}" for name in missing) or "nothing to do: the schema is up to date"
            typer.echo(json.dumps({"pending": missing}) if as_json else text)
            return
        applied = migrate(
            as_owner,
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
    with expected_errors():
        settings = load_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        found = until_signal(findings(settings))
        print_findings(found, as_json=as_json)
        raise typer.Exit(0 if all(one.ok for one in found) else EXIT_UNREACHABLE)


@key.command("create")
def key_create(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Make the first key, in KEY_FILE or the PKCS#11 device; one that exists is left. Keep a copy: seeds need it."""
    with expected_errors():
        settings = load_key_settings(existing(env_file))
        if settings.pkcs11_module is None:
            create_key_file(settings.key_file)
            made = str(settings.key_file)
        else:
            made = key_ring(settings).create_first()
        typer.echo(json.dumps({"key_file": made}) if as_json else f"made {made}; keep a copy in a safe place")


@quarantine.command("show")
def quarantine_show(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show the quarantines that have not ended, and the ledger each waits for."""
    with expected_errors():
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
    with expected_errors():
        settings = load_database_settings(existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        until_signal(begin(settings, reason))
        typer.echo("nothing is signed until the ledger was read again; `kale-backend quarantine show` tells how long")


def main() -> None:
    """Entry point of `kale-backend`."""
    app(prog_name="kale-backend")
