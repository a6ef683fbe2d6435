"""`kale-pool rehearse`: a few blocks with a few farmers, and go or no-go.

Exit codes: 0 go, 1 no-go or ended early, 2 wrong settings, 3 no RPC answers.
"""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from kale_chain.errors import ChainError, RpcError
from kale_chain.farm import FarmReader
from kale_chain.identify import identify
from kale_chain.model import STROOPS_PER_KALE
from kale_chain.rpc import StellarRpc
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, until_signal
from kale_common.errors import EXIT_CONFIG, ConfigError
from kale_common.processes import ServiceError
from kale_common.settings import Network, ServiceSettings, load
from kale_console.rehearsal.judging import Grade, Line, Verdict, judge
from kale_console.rehearsal.leaving import leave
from kale_console.rehearsal.observed import Observed
from kale_console.rehearsal.running import Crew
from kale_console.rehearsal.watching import Watcher

_EXIT_NO_GO = 1
_EXIT_UNREACHABLE = 3
_COLOURS = {Grade.GOOD: "green", Grade.LOOK: "yellow", Grade.BAD: "red"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for; amounts are stroops of KALE."""

    farmers: int
    blocks: int
    deposit: int
    return_to: str | None


def rehearse_command(
    network: Annotated[Network, typer.Option(help="mainnet, testnet or local.")],
    *,
    farmers: Annotated[int, typer.Option(min=1, max=20, help="How many farmers to onboard; 1.5 XLM each.")] = 3,
    blocks: Annotated[int, typer.Option(min=1, max=100, help="How many blocks to farm, of five minutes each.")] = 2,
    deposit: Annotated[
        Decimal, typer.Option(min=0, help="KALE to wait for on each farmer's account; 10 % of it are staked.")
    ] = Decimal(0),
    return_to: Annotated[
        str | None, typer.Option(help="At the end all farmers leave: their KALE goes to this address (G…).")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Keys and logs; used again it goes on with its farmers. Default: a new one.")
    ] = None,
    real_money: Annotated[bool, typer.Option("--real-money", help="On mainnet: yes, spend it.")] = False,
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Farm with the real services, and hold results, resources, fees and times against what was predicted.

    Needs the backend's settings for network, master account and an empty database of its own; keys and a pooler are
    made in the folder. Exit code 0: go; 1: no-go, with the reasons.
    """
    logs.configure("warning")
    console = Console(stderr=True)
    try:
        _check_meant(network, real_money=real_money)
        settings = load(ServiceSettings, existing(env_file), stellar_network=network)
        place = (directory or Path(tempfile.mkdtemp(prefix="kale-rehearsal-"))).absolute()
        console.print(f"keys and logs: {place}", highlight=False, markup=False)
        crew = Crew(place, env_file, network, farmers)
        plan = Plan(farmers, blocks, int(deposit * STROOPS_PER_KALE), return_to)
        observed = until_signal(_rehearse(settings, crew, plan, console))
    except ConfigError as error:
        raise _failed(error, EXIT_CONFIG) from None
    except RpcError as error:
        raise _failed(error, _EXIT_UNREACHABLE) from None
    except (ServiceError, ChainError) as error:
        raise _failed(error, _EXIT_NO_GO) from None
    verdict = judge(observed)
    typer.echo(json.dumps(_values(verdict, observed))) if as_json else _print(verdict)
    raise typer.Exit(0 if verdict.go else _EXIT_NO_GO)


def _check_meant(network: str, *, real_money: bool) -> None:
    if network == "mainnet" and not real_money:
        raise ConfigError("--network", "mainnet costs real XLM; say --real-money if that is meant")


def _failed(error: Exception, code: int) -> typer.Exit:
    typer.echo(f"kale-pool: {error}", err=True)
    return typer.Exit(code)


async def _rehearse(settings: ServiceSettings, crew: Crew, plan: Plan, console: Console) -> Observed:
    async with StellarRpc(settings.stellar_rpc_urls) as rpc, contextlib.AsyncExitStack() as stack:
        identity = await identify(
            rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
        )
        console.print("Making keys and tables …")
        await crew.prepare()
        console.print(f"Starting the backend, onboarding {plan.farmers} farmers …")
        await crew.start_backend(stack)
        observed = Observed(tuple(crew.wallets.values()), plan.blocks)
        if plan.deposit:
            await _await_deposits(FarmReader(rpc, identity), observed.farmers, plan.deposit, console)
        console.print("Starting the pooler …")
        await crew.start_pooler(stack)
        watcher = Watcher(rpc, identity, observed, settings.ledger_poll_ms / 1000)
        await watcher.start()
        await _watch(watcher, observed, console)
        if plan.return_to:
            console.print(f"The farmers leave; their KALE goes to {plan.return_to}", highlight=False)
            left = crew.wallets
            await leave(
                crew.http_url,
                crew.operator_token,
                list(left),
                plan.return_to,
                lambda farmer: console.print(f"{left[farmer]} has left", highlight=False),
            )
        return observed


async def _await_deposits(reader: FarmReader, farmers: Sequence[str], stroops: int, console: Console) -> None:
    told = False
    while True:
        held = await reader.balances(farmers)
        missing = [one for one in farmers if held.get(one, 0) < stroops]
        if not missing:
            return
        if not told:
            console.print(
                f"Send {stroops / STROOPS_PER_KALE:.7f} KALE to each of:", *missing, sep="\n", highlight=False
            )
            told = True
        await asyncio.sleep(1)


async def _watch(watcher: Watcher, observed: Observed, console: Console) -> None:
    """Follows until all is harvested; ended early, what was seen until then is judged."""
    total = observed.wanted * len(observed.farmers)
    with Progress(console=console) as progress:
        tasks = {name: progress.add_task(f"{name}s", total=total) for name in ("plant", "work", "harvest")}
        with contextlib.suppress(asyncio.CancelledError):
            async for _ in watcher.follow():
                for name, task in tasks.items():
                    progress.update(task, completed=len(observed.pails(name)))


def _values(verdict: Verdict, observed: Observed) -> dict[str, Any]:
    return {
        "go": verdict.go,
        "reasons": verdict.reasons,
        "farmers": list(observed.farmers),
        "blocks": list(observed.indexes) if observed.first_block else [],
        "lines": [line.as_json() for line in verdict.lines],
    }


def _print(verdict: Verdict) -> None:
    console = Console()
    table = Table()
    for name in ("", "compared", "predicted", "actual"):
        table.add_column(name, overflow="fold")
    for line in verdict.lines:
        table.add_row(*_row(line))
    console.print(table)
    for reason in verdict.reasons:
        console.print(reason, highlight=False, markup=False)
    console.print("[bold green]GO[/]" if verdict.go else "[bold red]NO-GO[/]")


def _row(line: Line) -> tuple[str, str, str, str]:
    return f"[{_COLOURS[line.grade]}]{line.area}[/]", line.name, line.predicted, line.actual
