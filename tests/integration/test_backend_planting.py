"""Planting over real gRPC, on the real ledger, with a real database."""

import asyncio
from typing import Any

import grpc
import pytest

from backend.services.plant_plan import PlantPlan, PlantPlanner
from kalepool.v1 import farmers_pb2, pool_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, Pool, StartBackend
from tests.fixtures.stores import Query

DEPOSIT = 50 * 10_000_000


def request(
    block: int, *, request_id: str = "r-1", farmers: int = 0, after: int = 0, pooler: str = "p-1"
) -> pool_pb2.PlantRequest:
    """A plant request."""
    return pool_pb2.PlantRequest(
        request_id=request_id, pooler_id=pooler, block_index=block, requested_farmers=farmers, resume_after=after
    )


async def test_plant_streams_every_farmer_with_its_stake(pool: Pool) -> None:
    farmers = await pool.onboard(3, stroops=DEPOSIT)
    block = await pool.open_block()
    events, summary = await pool.plant(request(block))
    assert [event.number for event in events] == [1, 2, 3]
    assert {event.farmer_id for event in events} == {farmer.farmer_id for farmer in farmers}
    assert [event.WhichOneof("outcome") for event in events] == ["planted"] * 3
    assert (summary.planted, summary.failed, summary.last_number) == (3, 0, 3)
    pails = await pool.world.farm.pails([(event.wallet_address, block) for event in events])
    for event in events:
        pail = pails[event.wallet_address, block].pail
        assert event.planted.stake_stroops == pail.stake == DEPOSIT // 10
        assert event.planted.ledger_sequence == pail.sequence
        applied = await pool.world.rpc.transaction(event.planted.transaction_hash)
        assert applied is not None
        assert applied.successful


async def test_farmer_without_balance_plants_with_stake_0(pool: Pool) -> None:
    await pool.onboard(1)
    (event,), _ = await pool.plant(request(await pool.open_block()))
    assert event.WhichOneof("outcome") == "planted"
    assert event.planted.stake_stroops == 0


async def test_plants_that_no_ledger_can_take_once_prepared_are_prepared_anew(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    """Preparing takes eight ledgers the first time, more than a transaction is given otherwise."""
    planner, planned = PlantPlanner.plan, 0

    async def slow(*arguments: Any) -> PlantPlan:
        nonlocal planned
        plan = await planner(*arguments)
        planned += 1
        if planned == 1:
            await pool.advance(8)
        return plan

    await pool.onboard(2)
    block = await pool.open_block()
    monkeypatch.setattr(PlantPlanner, "plan", slow)
    _, summary = await pool.plant(request(block))
    assert (summary.planted, summary.failed, planned) == (2, 0, 2)
    assert query("SELECT status, count(*) FROM attempts WHERE kind = 'plant' GROUP BY status") == [("succeeded", 2)]


async def test_repeat_replays_what_comes_after_and_plants_nothing(pool: Pool) -> None:
    await pool.onboard(3)
    block = await pool.open_block()
    events, _ = await pool.plant(request(block))
    again, summary = await pool.plant(request(block, after=2))
    assert again == events[2:]
    assert summary.last_number == 3
    await pool.advance(BLOCK_LEDGERS + 5)  # even once the block is over
    assert (await pool.plant(request(block)))[0] == events


async def test_other_request_of_the_same_pooler_gets_its_plants_again(pool: Pool) -> None:
    await pool.onboard(3)
    block = await pool.open_block()
    first, _ = await pool.plant(request(block, farmers=2))
    second, summary = await pool.plant(request(block, request_id="r-2", farmers=3))
    assert len(first) == 2
    assert {e.farmer_id for e in first} < {e.farmer_id for e in second}
    assert summary.planted == 3


async def test_two_poolers_share_the_farmers_of_a_block(pool: Pool) -> None:
    await pool.onboard(5)
    block = await pool.open_block()
    (first, _), (second, _) = await asyncio.gather(
        pool.plant(request(block, farmers=3)),
        pool.plant(request(block, request_id="r-2", farmers=3, pooler="p-2")),
    )
    assert len(first) + len(second) == 5
    assert not {e.farmer_id for e in first} & {e.farmer_id for e in second}


async def test_25_farmers_at_10_a_block_are_all_planted_within_3_blocks(pool: Pool) -> None:
    farmers = await pool.onboard(25)
    planted: list[str] = []
    for number in range(3):
        block = await pool.open_block()
        events, _ = await pool.plant(request(block, request_id=f"r-{number}", farmers=10))
        assert len(events) == 10
        planted += [event.farmer_id for event in events]
    assert set(planted) == {farmer.farmer_id for farmer in farmers}


async def test_next_block_asked_for_a_ledger_early_is_planted_when_due(pool: Pool) -> None:
    await pool.onboard(2)
    block = await pool.open_block()
    await pool.plant(request(block))
    farm = await pool.world.farm.farm()
    last = await pool.world.rpc.latest_ledger()
    await pool.advance((farm.block.ends_at - last.close_time) // 5 - 1)
    events, _ = await pool.plant(request(block + 1, request_id="r-2"))
    assert [event.WhichOneof("outcome") for event in events] == ["planted"] * 2
    assert (await pool.world.farm.farm()).index == block + 1


async def test_inactive_farmer_is_not_planted(pool: Pool) -> None:
    first, second = await pool.onboard(2)
    update = farmers_pb2.UpdateFarmerRequest(
        farmer=farmers_pb2.Farmer(farmer_id=first.farmer_id, state=farmers_pb2.FARMER_STATE_INACTIVE)
    )
    update.update_mask.paths.append("state")
    await pool.farmers.UpdateFarmer(update)
    events, _ = await pool.plant(request(await pool.open_block()))
    assert [event.farmer_id for event in events] == [second.farmer_id]


@pytest.mark.parametrize(
    ("offset", "changes", "code"),
    [
        (-1, {}, grpc.StatusCode.FAILED_PRECONDITION),
        (1, {}, grpc.StatusCode.FAILED_PRECONDITION),
        (2, {}, grpc.StatusCode.FAILED_PRECONDITION),
        (0, {"request_id": "r-1"}, grpc.StatusCode.ALREADY_EXISTS),
        (0, {"request_id": "with space"}, grpc.StatusCode.INVALID_ARGUMENT),
        (0, {"pooler": ""}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_bad_plant_request_gets_its_status_and_plants_nothing(
    pool: Pool, offset: int, changes: dict[str, str], code: grpc.StatusCode
) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    await pool.plant(request(await pool.open_block()))
    block = await pool.open_block()
    options = {"request_id": "r-bad"} | changes
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool.plant(request(block + offset, **options))  # type: ignore[arg-type]
    assert caught.value.code() is code
    assert (await pool.farmer(farmer.farmer_id)).open_stake_stroops == DEPOSIT // 10


async def test_restart_in_mid_block_resumes_the_stream_and_plants_nobody_twice(start_backend: StartBackend) -> None:
    async with start_backend() as pool:
        await pool.onboard(4, stroops=DEPOSIT)
        block = await pool.open_block()
        stream = pool.pool.Plant(request(block))
        reading = asyncio.ensure_future(stream.read())

        async def sent() -> bool:
            return (await pool.caught_up()).backend.open_attempts == 4

        await pool.eventually(sent)
        reading.cancel()
    async with start_backend() as pool:
        events, summary = await pool.plant(request(block))
        assert [event.number for event in events] == [1, 2, 3, 4]
        assert summary.planted == 4
        pails = await pool.world.farm.pails([(event.wallet_address, block) for event in events])
        assert len(pails) == 4
        for event in events:
            assert (await pool.farmer(event.farmer_id)).open_stake_stroops == DEPOSIT // 10


async def near_the_end(pool: Pool, ledgers: int) -> tuple[int, int]:
    """Goes on until so many ledgers are missing to the end of a block that a stranger opened.

    The next block, and the first ledger that can open it.
    """
    await pool.world.plant_as_stranger(await pool.open_block())
    farm = await pool.world.farm.farm()
    last = await pool.world.rpc.latest_ledger()
    await pool.advance((farm.block.ends_at - last.close_time) // 5 - ledgers)
    last = await pool.world.rpc.latest_ledger()
    return farm.index + 1, last.sequence + -(-(farm.block.ends_at - last.close_time) // 5)


async def test_a_block_asked_for_early_is_planted_in_the_ledger_that_opens_it(pool: Pool) -> None:
    farmers = await pool.onboard(3, stroops=DEPOSIT)
    block, opening = await near_the_end(pool, 2)
    events, summary = await pool.plant(request(block))
    assert summary.planted == len(farmers)
    assert {event.planted.ledger_sequence for event in events} == {opening}
    assert (await pool.world.farm.farm()).index == block


async def test_a_plant_for_a_ledger_that_closes_too_soon_is_built_once_more(pool: Pool) -> None:
    """The ledger after the last one seen closes after 1 s instead of 5: the block is not over, and the plant traps."""
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    block, opening = await near_the_end(pool, 2)

    async def read() -> list[pool_pb2.PlantResponse]:
        return [message async for message in pool.pool.Plant(request(block))]

    reading = asyncio.ensure_future(read())  # no ledger closes but those closed here

    async def sent() -> bool:
        return (await pool.caught_up()).backend.open_attempts == 1

    await pool.advance()
    await pool.eventually(sent)
    await pool.world.devnet.ledger.close_ledger(seconds=1)
    first, last = await pool.while_advancing(reading)
    event, summary = first.event, last.summary
    assert (summary.planted, summary.failed) == (1, 0)
    # After such a surprise a ledger has to be surely late enough.
    assert opening < event.planted.ledger_sequence <= opening + 2
    balances = await pool.world.farm.balances([farmer.wallet_address])
    assert balances == {farmer.wallet_address: DEPOSIT * 9 // 10}
