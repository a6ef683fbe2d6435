"""Fees: what is stuck is bumped around the same inner transaction, within caps, and harvests are paid for first."""

import asyncio

from kalepool.v1 import common_pb2, pool_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, Pool, StartBackend
from tests.fixtures.stores import Query

DEPOSIT = 100 * 10_000_000


def request(block: int, request_id: str = "r-1") -> pool_pb2.PlantRequest:
    return pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block)


async def rows(query: Query, statement: str) -> list[tuple[object, ...]]:
    return list(await asyncio.to_thread(query, statement))


async def spike(pool: Pool, stroops: int) -> None:
    """The network asks this much of every operation from now on."""
    await pool.world.devnet.ledger.call(lambda client: client.engine.set_base_fee(stroops))


async def test_fee_spike_is_met_by_bumps_of_the_same_transactions(pool: Pool, query: Query) -> None:
    await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    await spike(pool, 5000)
    events, summary = await pool.plant(request(block))
    assert (summary.planted, summary.failed) == (2, 0)
    hashes = {event.planted.transaction_hash for event in events}
    bumps = await rows(
        query,
        "SELECT encode(a.result_hash, 'hex'), a.status, count(*), bool_or(b.hash = a.result_hash)"
        " FROM attempts AS a INNER JOIN attempt_bumps AS b ON b.attempt_hash = a.hash"
        " WHERE a.kind = 'plant' GROUP BY a.hash",
    )
    assert {row[0] for row in bumps} == hashes
    assert {(row[1], row[3]) for row in bumps} == {("succeeded", True)}
    assert await rows(query, "SELECT count(*) FROM attempts WHERE kind = 'plant'") == [(2,)]


async def test_bumps_stop_at_the_cap_of_a_transaction(start_backend: StartBackend, query: Query) -> None:
    async with start_backend(fee_cap_stroops=1_000_000) as pool:
        await pool.onboard(1, stroops=DEPOSIT)
        block = await pool.open_block()
        await spike(pool, 1_000_000)
        _, summary = await pool.plant(request(block))
        assert (summary.planted, summary.failed) == (0, 1)
    highest = await rows(query, "SELECT max(max_fee) FROM attempt_bumps")
    assert isinstance(highest[0][0], int)
    assert highest[0][0] <= 1_000_000


async def test_bump_taken_while_the_backend_was_down_is_found(start_backend: StartBackend, query: Query) -> None:
    async with start_backend() as pool:
        await pool.onboard(1, stroops=DEPOSIT)
        block = await pool.open_block()
        await spike(pool, 900)  # met by the first bump
        reading = asyncio.ensure_future(_summary(pool, block))

        async def stored() -> bool:
            return await rows(query, "SELECT count(*) FROM attempts WHERE kind = 'plant'") == [(1,)]

        await pool.eventually(stored)
        await pool.advance(1)

        async def bumped() -> bool:
            return await rows(query, "SELECT count(*) FROM attempt_bumps") == [(1,)]

        await pool.eventually(bumped)
        reading.cancel()
        world = pool.world
    await world.devnet.advance(1)
    async with start_backend() as pool:

        async def applied() -> bool:
            found = await rows(
                query,
                "SELECT a.status, a.result_hash = b.hash FROM attempts AS a"
                " INNER JOIN attempt_bumps AS b ON b.attempt_hash = a.hash",
            )
            return found == [("succeeded", True)]

        # Sent before the end or only after it, the stored bump is what is applied; none is made anew.
        await pool.until(applied, ledgers=3)


async def _summary(pool: Pool, block: int) -> pool_pb2.PlantSummary:
    responses = [response async for response in pool.pool.Plant(request(block))]
    summary: pool_pb2.PlantSummary = responses[-1].summary
    return summary


async def test_plants_stop_where_their_fees_would_touch_the_harvests(start_backend: StartBackend) -> None:
    """The hour's cap leaves room for two plants and their harvests, and counts them after a restart too."""
    async with start_backend(fee_cap_per_hour_stroops=10_000_000) as pool:
        await pool.onboard(30, stroops=0)
        block = await pool.open_block()
        events, summary = await pool.plant(request(block))
        refused = [event.failed for event in events if event.WhichOneof("outcome") == "failed"]
        assert summary.planted > 0
        assert summary.failed == len(refused) > 0
        assert {failure.reason for failure in refused} == {common_pb2.FAILURE_REASON_FEE_ACCOUNT_LOW}
        assert "FEE_CAP_PER_HOUR_STROOPS" in refused[0].message


async def test_last_xlm_is_kept_for_harvests(pool: Pool) -> None:
    """What the master account has left pays the harvest of an open pail, and no plant."""
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    _, summary = await pool.plant(request(block))
    assert summary.planted == 1
    await pool.advance(BLOCK_LEDGERS - 12)

    async def worked() -> bool:
        return (await pool.world.farm.pails([(farmer.wallet_address, block)])).popitem()[1].pail.worked

    await pool.until(worked, ledgers=15)
    assert await pool.open_block() == block + 1
    await drain_master(pool, leaving=300_000)
    events, summary = await pool.plant(request(block + 1, "r-2"))
    assert summary.failed == 1
    assert events[0].failed.reason == common_pb2.FAILURE_REASON_FEE_ACCOUNT_LOW
    assert "send it XLM" in events[0].failed.message
    await pool.world.plant_as_stranger(block + 1)

    async def booked() -> bool:
        return (await pool.farmer(farmer.farmer_id)).earned_stroops > 0

    await pool.until(booked, ledgers=10)


async def drain_master(pool: Pool, *, leaving: int) -> None:
    """Takes XLM from the master account until so much can be spent."""
    world, fee = pool.world, 100
    master, faucet = world.devnet.scenario.master, world.devnet.scenario.faucet
    account = (await world.farm.accounts([master.public_key]))[master.public_key]
    amount = account.balance_stroops - account.reserved_stroops - leaving - fee
    await world.apply(
        master,
        lambda sequence, bounds: world.classic.payment(
            source=master.public_key,
            destination=faucet.public_key,
            stroops=amount,
            sequence=sequence,
            bounds=bounds,
            native=True,
            fee=fee,
        ),
    )
    await pool.caught_up()
