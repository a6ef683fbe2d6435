"""`kale-devnet`: a local ledger on the command line."""

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from devnet.errors import DevnetError
from devnet.scenario import DEFAULT_PASSPHRASE, FARM_WASM
from devnet.server import DevnetOptions, DevnetServer

MOST_NEIGHBOURS = 90

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def main() -> None:
    """Runs the command; exits 0 when stopped by SIGINT or SIGTERM, 1 on an error, 2 on wrong usage."""
    app()


@app.command()
def run(
    *,
    port: Annotated[int, typer.Option(help="HTTP port on 127.0.0.1; 0 lets the system choose.", min=0)] = 8777,
    close_seconds: Annotated[
        float, typer.Option(help="Seconds between two ledgers; 0: they close only by POST /devnet/advance.", min=0)
    ] = 5.0,
    ledger_seconds: Annotated[int, typer.Option(help="The ledger's own seconds between two ledgers.", min=1)] = 5,
    neighbours: Annotated[int, typer.Option(help="Other farmers.", min=0, max=MOST_NEIGHBOURS)] = 0,
    neighbour_zeros: Annotated[str, typer.Option(help="Fewest and most zeros they search for.")] = "4-5",
    min_temporary_ttl: Annotated[
        int | None,
        typer.Option(help="Ledgers a new block or pail lives: 720 as on testnet, 17280 as on mainnet.", min=1),
    ] = None,
    genesis_time: Annotated[
        int | None, typer.Option(help="The ledger's time at its start, seconds since 1970; else now.", min=1)
    ] = None,
    farm_wasm: Annotated[Path, typer.Option(help="Farm contract to deploy.", show_default=False)] = FARM_WASM,
    state: Annotated[Path | None, typer.Option(help="File to go on from and to save to.")] = None,
    passphrase: Annotated[str, typer.Option(help="The network's passphrase.")] = DEFAULT_PASSPHRASE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line once ready, and nothing else.")] = False,
) -> None:
    """Start a local Stellar ledger with a KALE farm on it: Stellar RPC, friendbot and accounts, on 127.0.0.1 only.

    It runs until Ctrl-C. Ledgers close every --close-seconds; each is --ledger-seconds later by the ledger's own
    clock, so that with --close-seconds 0.5 a block of five minutes takes 30 seconds.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = DevnetOptions(
        port=port,
        passphrase=passphrase,
        close_seconds=close_seconds,
        ledger_seconds=ledger_seconds,
        genesis_time=genesis_time,
        neighbours=neighbours,
        neighbour_zeros=_zeros(neighbour_zeros),
        min_temporary_ttl=min_temporary_ttl,
        farm_wasm=farm_wasm,
        state=state,
    )
    try:
        asyncio.run(_serve(options, as_json=as_json))
    except (DevnetError, OSError) as error:
        sys.stderr.write(f"kale-devnet: {error}\n")
        raise typer.Exit(1) from error


def _zeros(value: str) -> tuple[int, int]:
    fewest, _, most = value.partition("-")
    try:
        zeros = (int(fewest), int(most or fewest))
    except ValueError:
        zeros = (1, 0)
    if not 0 <= zeros[0] <= zeros[1] <= 64:  # noqa: PLR2004 - a hash has 64 nibbles
        raise typer.BadParameter(
            f"--neighbour-zeros {value!r} is not a number of zeros such as 5, or a range such as 4-5"
        )
    return zeros


async def _serve(options: DevnetOptions, *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with DevnetServer(options) as server:
        facts = _facts(server)
        sys.stdout.write(json.dumps(facts) + "\n" if as_json else _text(facts, options))
        sys.stdout.flush()
        await _first(stop.wait(), server.failed())


async def _first(*waits: Any) -> None:
    """Returns when one of them does; raises what it raises."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _facts(server: DevnetServer) -> dict[str, Any]:
    """What a script needs to use the ledger."""
    scenario = server.scenario
    accounts = {name: getattr(scenario, name) for name in ("master", "faucet", "issuer", "homesteader")}
    return {
        "event": "ready",
        "rpc_url": server.url,
        "horizon_url": server.horizon_url,
        "friendbot_url": server.friendbot_url,
        "passphrase": scenario.passphrase,
        "farm_id": scenario.farm_id,
        "token_id": scenario.token_id,
        "asset_code": scenario.asset.code,
        "asset_issuer": scenario.asset.issuer,
        **{f"{name}_address": account.public_key for name, account in accounts.items()},
        **{f"{name}_secret": account.secret for name, account in accounts.items()},
        "neighbours": [neighbour.public_key for neighbour in scenario.neighbours],
        "latest_ledger": server.ledger.history.latest.sequence,
    }


def _text(facts: dict[str, Any], options: DevnetOptions) -> str:
    pace = f"a ledger every {options.close_seconds:g} s" if options.close_seconds else "ledgers close by hand"
    uses = {
        "master": "rich in XLM, for the backend",
        "faucet": "holds KALE to hand out",
        "issuer": "issues KALE",
        "homesteader": "administers the farm",
    }
    lines = [
        f"Local ledger: {pace}, {options.ledger_seconds} s later each by its own clock; Ctrl-C stops it.",
        "",
        f"Stellar RPC   {facts['rpc_url']}",
        f"Horizon       {facts['horizon_url']}/accounts/{{id}}",
        f"Friendbot     {facts['friendbot_url']}?addr={{id}}",
        f"Passphrase    {facts['passphrase']}",
        f"Farm          {facts['farm_id']}",
        f"Token         {facts['token_id']}",
        f"Asset         {facts['asset_code']}:{facts['asset_issuer']}",
        f"Neighbours    {len(facts['neighbours'])}",
        "",
        "Accounts. Anybody can derive these secrets from the passphrase: they are worth nothing outside this ledger.",
    ]
    for name, use in uses.items():
        lines.append(f"  {name:<12}{use}")
        lines += [f"    {facts[f'{name}_address']}", f"    {facts[f'{name}_secret']}"]
    return "\n".join(lines) + "\n"
