"""The command `kale-lifeboat`.

Exit codes: 0 all that could be harvested was, 1 something could not be brought in (run it again), 2 wrong settings,
3 no RPC answers or the fee account is empty.
"""

import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from kale_chain.errors import ChainError, IdentityError
from kale_chain.farm import FarmReader
from kale_chain.identify import identify
from kale_chain.model import STROOPS_PER_KALE
from kale_chain.rpc import StellarRpc
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, until_signal
from kale_common.errors import EXIT_CONFIG, ConfigError
from kale_common.settings import load
from kale_lifeboat.config import LifeboatSettings, read_farmers
from kale_lifeboat.errors import FarmersError, FundsError
from kale_lifeboat.patience import patiently
from kale_lifeboat.sending import Sender
from kale_lifeboat.survey import DEFAULT_LOOKBACK_BLOCKS
from kale_lifeboat.sweep import Report, Sweep

EXIT_INCOMPLETE = 1
EXIT_UNREACHABLE = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def sweep(
    farmers: Annotated[list[str] | None, typer.Argument(help="Farmers' addresses (G…).", metavar="[FARMER]...")] = None,
    farmers_file: Annotated[
        Path | None, typer.Option(help="A file of addresses, one a line; - is standard input.")
    ] = None,
    env_file: EnvFile = ENV_FILE,
    blocks: Annotated[
        int, typer.Option(min=1, max=200_000, help="How many blocks back to look; 288 are a day.")
    ] = DEFAULT_LOOKBACK_BLOCKS,
    *,
    as_json: Json = False,
) -> None:
    """Harvest everything of these farmers that the ledger still holds, without backend, database or their keys.

    Pails of the running block get a longer life where theirs is short; run it again once the next block is open. A
    repeat does no harm, nor does a backend that comes back meanwhile. Settings: STELLAR_NETWORK, STELLAR_RPC_URL,
    KALE_CONTRACT_ID, FEE_ACCOUNT_SECRET or FEE_ACCOUNT_SECRET_FILE, CHANNELS.
    """
    with _errors():
        settings = load(LifeboatSettings, existing(env_file))
        payer = settings.payer()
        logs.configure(settings.log_level, [payer.secret])
        report = until_signal(_sweep(settings, read_farmers(farmers or [], farmers_file), blocks))
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        _print(report)
    raise typer.Exit(0 if report.complete else EXIT_INCOMPLETE)


async def _sweep(settings: LifeboatSettings, farmers: list[str], blocks: int) -> Report:
    async with StellarRpc(settings.stellar_rpc_urls) as rpc:
        identity = await patiently(
            lambda: identify(rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase)
        )
        sender = Sender(rpc, identity, settings.payer(), settings.ledger_poll_ms / 1000, settings.max_inclusion_fee)
        await sender.prepare(settings.channels)
        with _Bars() as bars:
            return await Sweep(FarmReader(rpc, identity), identity, sender, bars).run(farmers, blocks)


class _Bars:
    """A bar for each part of the work, on standard error; silent where that is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=console, disable=not console.is_terminal)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, what: str, total: int) -> None:
        """See Progress."""
        self._task = self._bars.add_task(what, total=total)

    def advance(self, steps: int) -> None:
        """See Progress."""
        if self._task is not None:
            self._bars.advance(self._task, steps)


def _print(report: Report) -> None:
    table = Table(show_header=False, title=f"Sweep as of ledger {report.ledger}")
    brought = f"{_amount(report.stake_stroops)} KALE of stakes, {_amount(report.reward_stroops)} KALE of rewards"
    table.add_row("looked at", f"{report.blocks} blocks, {report.pails} pails")
    table.add_row("harvested", f"{report.harvested} pails: {brought}")
    rows = (
        ("harvested by others meanwhile", report.harvested_by_others),
        ("of the running block: run it again once the next is open", report.waiting),
        ("lives extended by a day", report.extended),
        ("never worked, lost", report.unworked),
    )
    for name, count in rows:
        if count:
            table.add_row(name, f"{count} pails")
    for one in report.refused:
        where = f"block {one.block_index}, until ledger {one.ends_with_ledger}"
        table.add_row("NOT HARVESTED", f"{one.farmer} {where}: {one.reason}")
    table.add_row("fees", f"{_amount(report.fee_stroops)} XLM")
    Console().print(table)


def _amount(stroops: int) -> str:
    return f"{Decimal(stroops) / STROOPS_PER_KALE:f}"


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turns expected errors into one line on standard error and an exit code."""
    try:
        yield
    except (ConfigError, FarmersError, IdentityError) as error:
        _fail(error, EXIT_CONFIG)
    except (ChainError, FundsError) as error:
        _fail(error, EXIT_UNREACHABLE)


def _fail(error: object, code: int) -> None:
    typer.echo(f"kale-lifeboat: {error}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of `kale-lifeboat`."""
    app(prog_name="kale-lifeboat")
