"""What the farm's owner can do to it: an upgrade, a removed block; and an RPC that asks for fewer calls."""

from typing import Any

import aiohttp

from devnet.faults import Action, Fault
from kalepool.v1 import pool_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, Pool

DEPOSIT = 100 * 10_000_000


async def control(pool: Pool, path: str, **body: Any) -> None:
    """Has the farm's owner act, and closes the ledger in which that happens."""
    url = f"{pool.world.devnet.url}/devnet/{path}"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        assert answer.ok, await answer.text()
    await pool.advance(1)


async def plant(pool: Pool, block: int, request_id: str = "r-1") -> pool_pb2.PlantSummary:
    request = pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block)
    _, summary = await pool.plant(request)
    return summary


async def test_upgraded_farm_is_farmed_on(pool: Pool) -> None:
    """Planted before the upgrade, worked, harvested and planted again after it: calls name the new code."""
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    assert (await plant(pool, block)).planted == 1
    before = (await pool.world.farm.farm()).wasm_hash
    await control(pool, "farm/upgrade")
    assert (await pool.world.farm.farm()).wasm_hash not in {before, None}
    await pool.advance(BLOCK_LEDGERS - 14)

    async def worked() -> bool:
        return (await pool.world.farm.pails([(farmer.wallet_address, block)])).popitem()[1].pail.worked

    await pool.until(worked, ledgers=15)
    assert await pool.open_block() == block + 1
    assert (await plant(pool, block + 1, "r-2")).planted == 1

    async def booked() -> bool:
        return (await pool.farmer(farmer.farmer_id)).earned_stroops > 0

    await pool.until(booked, ledgers=10)


async def test_block_removed_by_the_owner_does_not_stop_the_next(pool: Pool) -> None:
    await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    assert (await plant(pool, block)).planted == 1
    assert await pool.open_block() == block + 1
    await control(pool, "farm/remove_block", block_index=block)
    assert await pool.world.farm.block(block) is None
    assert (await plant(pool, block + 1, "r-2")).planted == 1


async def test_rpc_that_asks_for_fewer_calls_is_left_alone_and_plants_go_out_afterwards(pool: Pool) -> None:
    await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    pool.world.devnet.faults.add(Fault(Action.STATUS, "sendTransaction", status=429, retry_after=1))
    assert (await plant(pool, block)).planted == 2
