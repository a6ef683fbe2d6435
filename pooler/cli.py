"""The command `kale-pooler`. Exit codes: 0 done, 1 a fault of ours, 2 wrong settings, 3 a service or funds missing."""

import contextlib
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.table import Table

from kale_chain.errors import IdentityError, RpcError
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, print_findings, until_signal
from kale_common.errors import EXIT_CONFIG, ConfigError
from pooler.app import Ledger, identity_of, ledger, run
from pooler.bench import run_bench
from pooler.chain.accounts import Survey
from pooler.check import findings
from pooler.config import PoolerSettings, load_settings
from pooler.errors import EXIT_UNREACHABLE, FundsError, PoolerError
from pooler.keyfile import create_key_file
from pooler.top_command import top_command

log = structlog.get_logger(__name__)


app = typer.Typer(
    help="KALE Pool's pooler: watches blocks, searches nonces on every core, submits work, reports to the backend.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
accounts = typer.Typer(help="The fee account and its channel accounts, which pay for work.", no_args_is_help=True)
app.add_typer(accounts, name="accounts")
app.command("top")(top_command)


@app.command("run")
def run_command(env_file: EnvFile = ENV_FILE) -> None:
    """Farm until Ctrl-C or SIGTERM. Logs are JSON lines on standard error; one says "ready" with the ports."""
    with _errors():
        settings = _settings(env_file)
        _logs(settings)
        until_signal(run(settings))


@app.command()
def enrol(
    invitation: Annotated[Path, typer.Option(help="The file that `kale-backend pooler enrol` wrote.")],
    env_file: EnvFile = ENV_FILE,
    *,
    as_json: Json = False,
) -> None:
    """Exchange an invitation for this pooler's certificate, in TLS_DIRECTORY. It is good once, within 15 minutes."""
    with _errors():
        settings = _settings(env_file)
        _logs(settings)
        identity = identity_of(settings)
        if identity is None:
            raise ConfigError("TLS_DIRECTORY", "is not set; it is where the certificate goes")
        until_signal(identity.enrol(invitation))
        record = {"pooler_id": settings.pooler_id, "tls_directory": str(settings.tls_directory)}
        typer.echo(json.dumps(record) if as_json else f"{settings.pooler_id} is enrolled; remove {invitation}")


@app.command()
def check(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Check settings, farm, accounts, backend and hash engine; exit code 3 if something is missing."""
    with _errors():
        settings = _settings(env_file)
        _logs(settings)
        found = until_signal(findings(settings))
        print_findings(found, as_json=as_json)
        raise typer.Exit(0 if all(one.ok for one in found) else EXIT_UNREACHABLE)


@app.command()
def bench(
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure in all.")] = 10.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="The most threads; by default all that may be used.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Measure the hash rate: every kernel on one thread, and the engine on more and more threads."""
    run_bench(seconds, threads, json=as_json)


@accounts.command("create")
def accounts_create(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Make the key in FEE_ACCOUNT_SECRET_FILE if there is none, and the channel accounts that can be paid for."""

    async def create(chain: Ledger) -> Survey:
        try:
            return await chain.account.create_missing()
        except FundsError:
            # Not funded yet: what is needed is part of the answer, not an error of this step.
            return await chain.account.survey()

    _accounts(env_file, create, as_json=as_json, make_key=True)


@accounts.command("fund")
def accounts_fund(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Have a test network's friendbot fund the fee account, then create the channel accounts that are missing."""

    async def fund(chain: Ledger) -> Survey:
        await chain.account.fund()
        return await chain.account.create_missing()

    _accounts(env_file, fund, as_json=as_json)


@accounts.command("show")
def accounts_show(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show the fee account, its balance, and the channel accounts on the ledger."""
    _accounts(env_file, lambda chain: chain.account.survey(), as_json=as_json)


def _accounts(
    env_file: Path,
    act: Callable[[Ledger], Coroutine[Any, Any, Survey]],
    *,
    as_json: bool,
    make_key: bool = False,
) -> None:
    with _errors():
        settings = _settings(env_file)
        key_file = settings.fee_account_secret_file
        if make_key and key_file is not None and settings.fee_account_secret is None and not key_file.exists():
            create_key_file(key_file)
        _logs(settings)

        async def acted() -> Survey:
            async with ledger(settings) as chain:
                return await act(chain)

        _print_survey(until_signal(acted()), as_json=as_json)


def _print_survey(survey: Survey, *, as_json: bool) -> None:
    record = {
        "fee_account": survey.address,
        "balance_stroops": survey.balance_stroops,
        "needed_stroops": survey.needed_stroops,
        "channels": len(survey.existing),
        "channels_missing": len(survey.missing),
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    table = Table(show_header=False)
    balance = "does not exist" if survey.balance_stroops is None else f"{survey.balance_stroops / 1e7:.7f} XLM"
    table.add_row("fee account", survey.address)
    table.add_row("balance", balance)
    table.add_row("channel accounts", f"{len(survey.existing)} on the ledger, {len(survey.missing)} missing")
    if survey.needed_stroops:
        table.add_row("still needed", f"{survey.needed_stroops / 1e7:.7f} XLM")
    Console().print(table)


def _settings(env_file: Path) -> PoolerSettings:
    return load_settings(existing(env_file))


def _logs(settings: PoolerSettings) -> None:
    with contextlib.suppress(ConfigError):
        logs.configure(settings.log_level, [settings.fee_secret().get_secret_value()])
        return
    logs.configure(settings.log_level)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turns expected errors into one line on standard error and an exit code."""
    try:
        yield
    except (ConfigError, IdentityError) as error:
        _fail(error, EXIT_CONFIG)
    except RpcError as error:
        _fail(f"STELLAR_RPC_URL: {error}", EXIT_UNREACHABLE)
    except PoolerError as error:
        _fail(error, error.exit_code)
    except typer.Exit:
        raise
    except Exception:
        log.exception("stopped by a fault of the pooler's own")
        raise typer.Exit(1) from None


def _fail(error: object, code: int) -> None:
    typer.echo(f"kale-pooler: {logs.redacted(str(error))}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of `kale-pooler`."""
    app(prog_name="kale-pooler")
