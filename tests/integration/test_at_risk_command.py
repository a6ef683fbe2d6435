"""`kale-backend at-risk` over a real database and a real ledger, and without the ledger."""

import asyncio
import json
import os
import sys
from typing import Any

from backend.ports.stores import Stores
from devnet.server import DevnetServer
from tests.fixtures.rows import PLANT_LEDGER, Rows

BLOCK = 40
KALE = 10_000_000


def environment(devnet: DevnetServer, application_url: str, **changes: str) -> dict[str, str]:
    """What the command reads."""
    return {
        "DATABASE_URL": application_url,
        "STELLAR_NETWORK": "local",
        "STELLAR_RPC_URL": devnet.url,
        "STELLAR_NETWORK_PASSPHRASE": devnet.scenario.passphrase,
        "KALE_CONTRACT_ID": devnet.scenario.farm_id,
        **changes,
    }


async def run(env: dict[str, str], *options: str) -> str:
    """What the command prints; logs go elsewhere."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend", "at-risk", *options, env=os.environ | env, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


async def planted(stores: Stores, rows: Rows, ledger: int) -> None:
    """Four pails: one young, two in the last quarter of their lives, one whose life was not read."""
    await rows.planted(await rows.farmers(4), BLOCK, stake=3 * KALE)
    first, second, third, _ = [pail.harvest_id for pail in await stores.harvests.open_pails()]
    await stores.harvests.set_lives({first: ledger + 10_000, second: ledger + 1, third: ledger + 2})


def bands(printed: str) -> list[tuple[Any, ...]]:
    """Pails, stakes and first ends of each part of a life."""
    pails = json.loads(printed)["pails"]
    return [(band["pails"], band["stake_stroops"], band["first_end_ledger"]) for band in pails]


async def test_kale_is_told_by_the_life_used(
    devnet: DevnetServer, application_url: str, stores: Stores, rows: Rows
) -> None:
    await devnet.advance(PLANT_LEDGER + 20)
    ledger = devnet.ledger.history.latest.sequence
    await planted(stores, rows, ledger)
    env = environment(devnet, application_url)
    printed = await run(env, "--json")
    young, _, _, old, unread = bands(printed)
    assert json.loads(printed)["ledger"] == ledger
    assert young == (1, 3 * KALE, ledger + 10_000)
    assert old == (2, 6 * KALE, ledger + 1)
    assert unread == (1, 3 * KALE, None)
    table = await run(env)
    assert "75 % to 100 %" in table
    assert "not read yet" in table


async def test_without_the_ledger_the_last_known_one_counts_and_that_is_said(
    devnet: DevnetServer, application_url: str, stores: Stores, rows: Rows
) -> None:
    await planted(stores, rows, PLANT_LEDGER)
    env = environment(devnet, application_url, STELLAR_RPC_URL="http://127.0.0.1:1")
    printed = await run(env, "--json")
    assert json.loads(printed)["ledger"] == PLANT_LEDGER
    assert json.loads(printed)["fault"]
    assert "No RPC answers" in await run(env)
