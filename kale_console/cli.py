"""The command `kale-pool`.

Exit codes: 0 done or stopped, 1 no-go of a rehearsal, 2 wrong settings, 3 no RPC answers.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import structlog
import typer

from kale_chain.errors import IdentityError, RpcError
from kale_chain.farm import FarmReader
from kale_chain.identify import identify
from kale_chain.model import STROOPS_PER_KALE, Ledger
from kale_chain.rpc import StellarRpc
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, existing, until_signal
from kale_common.errors import EXIT_CONFIG, ConfigError
from kale_common.settings import ServiceSettings, load
from kale_console.doctor import doctor_command
from kale_console.rehearsal.command import rehearse_command
from kale_console.shadow import BlockReport, Shadow, Terms, kale, reports
from kale_lifeboat.config import read_farmers
from kale_lifeboat.errors import FarmersError

EXIT_UNREACHABLE = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
_log = structlog.get_logger()


app.command("doctor")(doctor_command)
app.command("rehearse")(rehearse_command)


@app.callback()
def console() -> None:
    """Look at a KALE farm and at what farms it. `rehearse` alone starts services and costs XLM."""


@dataclass(frozen=True, slots=True)
class _Output:
    """How to tell: JSON, one object a line, or sentences; and after how many blocks to end."""

    as_json: bool
    blocks: int

    def block(self, one: BlockReport) -> None:
        """Tells of a block."""
        if self.as_json:
            typer.echo(json.dumps(one.as_json()))
            return
        left = one.left
        typer.echo(
            f"block {one.index}, {one.ledgers} ledgers, {one.worked} of {one.planted} pails worked: "
            f"earned {kale(one.earned)} KALE, planner {kale(one.policy)} ({one.share:.1%} of the best, "
            f"{kale(one.best)}); left on the table: gap {kale(left.gap)}, zeros {kale(left.zeros)}, "
            f"stake {kale(left.stake)}, unworked {kale(left.unworked)}"
        )

    def total(self, all_of_them: list[BlockReport]) -> None:
        """Tells of all blocks together."""
        if self.as_json or not all_of_them:
            return
        earned, policy, best = (sum(getattr(one, name) for one in all_of_them) for name in ("earned", "policy", "best"))
        share = policy / best if best > 0 else 1.0
        typer.echo(
            f"{len(all_of_them)} blocks: earned {kale(earned)} KALE, planner {kale(policy)} ({share:.1%} of the best, "
            f"{kale(best)})"
        )


@app.command()
def shadow(
    farmers: Annotated[
        list[str] | None, typer.Argument(help="The pool's farmers' addresses (G…).", metavar="[FARMER]...")
    ] = None,
    *,
    farmers_file: Annotated[
        Path | None, typer.Option(help="A file of addresses, one a line; - is standard input.")
    ] = None,
    imagine: Annotated[int, typer.Option(min=1, max=2000, help="Without farmers: how many to farm for on paper.")] = 20,
    hash_rate: Annotated[float, typer.Option(min=0.001, help="MH/s to search with.")] = 10.0,
    stake_percentage: Annotated[float, typer.Option(min=0, max=100, help="Part of a balance that may be staked.")] = 10,
    stake: Annotated[Decimal, typer.Option(help="KALE that each imagined farmer may stake.")] = Decimal(5),
    blocks: Annotated[int, typer.Option(min=0, help="End after so many blocks; 0: at Ctrl-C.")] = 0,
    env_file: EnvFile = ENV_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each block.")] = False,
) -> None:
    """Tell of every block what was earned, what the planner would have earned, and the best possible.

    Follows any network and only reads it. A block is reported on when the next has opened; the one that is running at
    the start is left out. Settings: STELLAR_NETWORK, STELLAR_RPC_URL, KALE_CONTRACT_ID.
    """
    with _errors():
        settings = load(ServiceSettings, existing(env_file))
        logs.configure(settings.log_level)
        given = farmers or farmers_file is not None
        terms = Terms(
            farmers=tuple(read_farmers(farmers or [], farmers_file)) if given else (),
            imagined=imagine,
            stake_basis_points=round(stake_percentage * 100),
            imagined_stake=int(stake * STROOPS_PER_KALE),
            hashes_per_second=int(hash_rate * 1_000_000),
        )
        until_signal(_shadow(settings, terms, _Output(as_json, blocks)))


async def _shadow(settings: ServiceSettings, terms: Terms, output: _Output) -> None:
    seen: list[BlockReport] = []
    async with StellarRpc(settings.stellar_rpc_urls) as rpc:
        identity = await identify(
            rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
        )
        _log.info("shadowing", farm=identity.farm_id, farmers=len(terms.farmers), imagined=terms.imagined)
        watcher = Shadow(FarmReader(rpc, identity), terms)
        try:
            async for one in reports(watcher, _ledgers(rpc, settings.ledger_poll_ms / 1000)):
                seen.append(one)
                output.block(one)
                if len(seen) == output.blocks:
                    break
        finally:
            output.total(seen)


async def _ledgers(rpc: StellarRpc, poll_seconds: float) -> AsyncIterator[Ledger]:
    """The last closed ledger whenever it has changed; some may be left out."""
    last = 0
    while True:
        try:
            ledger = await rpc.latest_ledger()
        except RpcError as error:
            _log.warning("the RPC does not answer; trying again", problem=str(error))
            await asyncio.sleep(max(poll_seconds, error.retry_after or 1.0))
            continue
        if ledger.sequence > last:
            last = ledger.sequence
            yield ledger
        await asyncio.sleep(poll_seconds)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turns expected errors into one line on standard error and an exit code."""
    try:
        yield
    except (ConfigError, FarmersError, IdentityError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except RpcError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None


def main() -> None:
    """Runs the command line."""
    app()
