"""The backstop: one valid hash for every pail unworked at 80 % of its block, whatever poolers do or say."""

import asyncio
from collections.abc import Sequence
from typing import Any

from devnet.faults import Action, Fault
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import PailEntry
from kalepool.v1 import farmers_pb2, pool_pb2
from tests.fixtures.backend import Pool, StartBackend
from tests.fixtures.stores import Query

DEPOSIT = 100 * 10_000_000


async def plant(pool: Pool, block: int, request_id: str = "r-1") -> list[pool_pb2.PlantEvent]:
    """Plants every farmer."""
    request = pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block)
    events, summary = await pool.plant(request)
    assert summary.failed == 0
    return events


async def to_age(pool: Pool, seconds: int) -> None:
    """Goes on to the last ledger before the block is this old."""
    farm = await pool.world.farm.farm()
    last = await pool.world.rpc.latest_ledger()
    await pool.advance((farm.block.timestamp + seconds - 1 - last.close_time) // 5)


async def pails(pool: Pool, block: int, farmers: Sequence[farmers_pb2.Farmer]) -> list[PailEntry]:
    """The farmers' pails on the ledger, in their order."""
    found = await pool.world.farm.pails([(farmer.wallet_address, block) for farmer in farmers])
    return [found[farmer.wallet_address, block] for farmer in farmers]


async def worked(pool: Pool, block: int, farmers: Sequence[farmers_pb2.Farmer]) -> bool:
    """Whether every pail has an accepted work."""
    return all(entry.pail.worked for entry in await pails(pool, block, farmers))


async def test_nothing_is_worked_before_80_percent_of_the_block(pool: Pool) -> None:
    farmers = await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    await plant(pool, block)
    await to_age(pool, 240)
    await pool.advance(0)
    assert not any(entry.pail.worked for entry in await pails(pool, block, farmers))
    await pool.until(lambda: worked(pool, block, farmers), ledgers=5)


async def test_plant_confirmed_after_80_percent_is_worked_too(pool: Pool) -> None:
    farmers = await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    await pool.world.plant_as_stranger(block)
    await to_age(pool, 221)  # the last ledger at which the block is still planted in
    pool.world.devnet.faults.add(Fault(Action.STATUS, "sendTransaction", count=None))
    stream = pool.pool.Plant(pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block))
    reading = asyncio.ensure_future(_read(stream))

    async def stored() -> bool:
        return (await pool.caught_up()).backend.open_attempts == 2

    await pool.eventually(stored)
    await pool.advance(3)
    pool.world.devnet.faults.clear()
    await pool.while_advancing(reading, ledgers=5)
    farm, last = await pool.world.farm.farm(), await pool.world.rpc.latest_ledger()
    assert last.close_time - farm.block.timestamp >= 240
    await pool.until(lambda: worked(pool, block, farmers), ledgers=6)


async def _read(stream: Any) -> list[pool_pb2.PlantResponse]:
    return [response async for response in stream]


async def test_more_pails_than_channels_are_worked_highest_stake_first(start_backend: StartBackend) -> None:
    async with start_backend(harvest_channels=2) as pool:
        farmers = await pool.onboard(6)
        for number, farmer in enumerate(farmers, start=1):
            await pool.world.deposit(farmer.wallet_address, number * DEPOSIT)
        await pool.caught_up()
        block = await pool.open_block()
        await plant(pool, block)
        await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
        entries = await pails(pool, block, farmers)
        assert [entry.pail.stake for entry in entries] == [number * DEPOSIT // 10 for number in range(1, 7)]
        ledgers = [entry.pail.sequence + (entry.pail.gap or 0) for entry in entries]
        assert ledgers == sorted(ledgers, reverse=True)
        assert len(set(ledgers)) == 3


async def test_work_that_the_network_lost_is_built_anew_while_there_is_time(pool: Pool, query: Query) -> None:
    farmers = await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    await plant(pool, block)
    await to_age(pool, 240)
    pool.world.devnet.faults.add(Fault(Action.STATUS, "sendTransaction", count=None))

    async def expired() -> bool:
        rows = await asyncio.to_thread(
            query, "SELECT count(*) FROM attempts WHERE kind = 'work' AND status = 'expired'"
        )
        return rows == [(2,)]

    await pool.until(expired, ledgers=12)
    assert not await worked(pool, block, farmers)
    pool.world.devnet.faults.clear()
    await pool.until(lambda: worked(pool, block, farmers), ledgers=6)
    rows = await asyncio.to_thread(query, "SELECT status FROM work_results WHERE pooler_id = 'backend'")
    assert rows == [("success",), ("success",)]


async def test_pooler_that_claims_success_is_not_believed(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    (event,) = await plant(pool, block)
    record = await pool.world.farm.block(block)
    assert record is not None
    digest = work_hash(block, 7, record.entropy, farmer.wallet_address)
    stream = pool.pool.ReportWork()
    await stream.write(
        pool_pb2.ReportWorkRequest(
            report_id="w-1",
            pooler_id="p-1",
            block_index=block,
            farmer_id=event.farmer_id,
            accepted=pool_pb2.WorkAccepted(work_hash=digest.hex(), nonce=7, zeros=count_zeros(digest), gap=3),
        )
    )
    await stream.done_writing()
    (answer,) = [answer async for answer in stream]
    assert answer.state == pool_pb2.REPORT_STATE_STORED
    await to_age(pool, 240)
    assert not await worked(pool, block, [farmer])
    await pool.until(lambda: worked(pool, block, [farmer]), ledgers=5)


async def test_block_that_nobody_ends_is_worked_after_its_300_seconds(start_backend: StartBackend) -> None:
    async with start_backend() as pool:
        farmers = await pool.onboard(2, stroops=DEPOSIT)
        block = await pool.open_block()
        await plant(pool, block)
        world = pool.world
    # The backend is down from before 80 % to after the end, and no one else plants.
    await world.devnet.advance(80)
    async with start_backend() as pool:
        await pool.until(lambda: worked(pool, block, farmers), ledgers=6)
