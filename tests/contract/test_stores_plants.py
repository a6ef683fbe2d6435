"""PlantStore: requests, candidates, numbering without gaps, retries and adoption."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import FarmerChange, FarmerState
from backend.domain.plant import Plant, PlantRequest, PlantState
from backend.domain.settlement import PlantFailed
from backend.errors import StoreConflictError
from backend.ports.stores import Stores
from tests.fixtures.rows import POOLER, Rows, confirmed, expired, failed, succeeded
from tests.fixtures.stores import Query

BLOCK = 40
LOW = Failure(FailureReason.INSUFFICIENT_BALANCE, "the farmer's balance does not cover the stake")


def failure(plant: Plant) -> PlantFailed:
    return PlantFailed(plant.plant_id, LOW)


async def numbers(stores: Stores, request_id: str) -> list[int]:
    return [event.number for event in (await stores.plants.events(request_id, 0)).events]


async def test_request_is_stored_as_asked(stores: Stores) -> None:
    request = PlantRequest("r", POOLER, BLOCK, 25)
    await stores.plants.begin(request, earlier=(), plants=(), attempts=())
    assert await stores.plants.request("r") == request
    assert await stores.plants.request("other") is None


async def test_request_without_plants_is_complete(stores: Stores, rows: Rows) -> None:
    await rows.request("r", [], block_index=BLOCK)
    page = await stores.plants.events("r", 0)
    assert (page.complete, page.events, page.last_number) == (True, [], 0)


async def test_candidates_are_active_unplanted_and_idle(stores: Stores, rows: Rows) -> None:
    idle, planted, busy, resting = await rows.farmers(4)
    await rows.onboarding()
    await rows.planted([planted], BLOCK)
    other_block = rows.plant(busy, BLOCK - 1)
    await rows.request("busy", [other_block], block_index=BLOCK - 1)
    await stores.farmers.update(resting.farmer_id, FarmerChange(state=FarmerState.INACTIVE))
    (candidate,) = await stores.plants.candidates(BLOCK, None)
    assert candidate.key.farmer_id == idle.farmer_id
    assert candidate.stake_basis_points == 1000
    assert candidate.key.address == idle.address


async def test_candidates_come_longest_unplanted_first(stores: Stores, rows: Rows) -> None:
    first, second, third, never = await rows.farmers(4)
    for block, farmer in ((3, second), (5, first), (4, third)):
        await rows.planted([farmer], block)
    found = await stores.plants.candidates(BLOCK, None)
    assert [candidate.key.address for candidate in found] == [
        never.address,
        second.address,
        third.address,
        first.address,
    ]
    assert [candidate.key.address for candidate in await stores.plants.candidates(BLOCK, 1)] == [never.address]


async def test_25_farmers_at_10_a_block_are_all_planted_within_3_blocks(stores: Stores, rows: Rows) -> None:
    made = {farmer.farmer_id: farmer for farmer in await rows.farmers(25)}
    planted = set()
    for block in (1, 2, 3):
        chosen = [candidate.key.farmer_id for candidate in await stores.plants.candidates(block, 10)]
        planted |= set(chosen)
        await rows.planted([made[farmer_id] for farmer_id in chosen], block)
    assert planted == set(made)


async def test_events_are_numbered_in_the_order_plants_become_final(stores: Stores, rows: Rows) -> None:
    plants = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(3)]
    attempts = await rows.request("r", plants, block_index=BLOCK)
    assert await numbers(stores, "r") == []
    await stores.attempts.settle([failed(attempts[2], [failure(plants[2])])])
    await stores.attempts.settle([succeeded(attempts[1], [confirmed(plants[1])])])
    page = await stores.plants.events("r", 0)
    assert [(event.number, event.plant.plant_id) for event in page.events] == [
        (1, plants[2].plant_id),
        (2, plants[1].plant_id),
    ]
    assert (page.complete, page.planted, page.failed, page.last_number) == (False, 1, 1, 2)
    await stores.attempts.settle([succeeded(attempts[0], [confirmed(plants[0])])])
    page = await stores.plants.events("r", 2)
    assert [event.plant.plant_id for event in page.events] == [plants[0].plant_id]
    assert (page.complete, page.planted, page.failed, page.last_number) == (True, 2, 1, 3)


async def test_event_tells_how_the_plant_ended(stores: Stores, rows: Rows) -> None:
    good, bad = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(2)]
    attempts = await rows.request("r", [good, bad], block_index=BLOCK)
    await stores.attempts.settle(
        [succeeded(attempts[0], [confirmed(good)]), failed(attempts[1], [failure(bad)])],
    )
    first, second = (await stores.plants.events("r", 0)).events
    assert first.plant == replace(
        good, state=PlantState.CONFIRMED, ledger=105, transaction_hash=confirmed(good).transaction_hash
    )
    assert second.plant == replace(bad, state=PlantState.FAILED, failure=LOW)


async def test_plant_that_failed_from_the_start_is_numbered_at_once(stores: Stores, rows: Rows) -> None:
    good, bad = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(2)]
    await rows.request("r", [good, replace(bad, state=PlantState.FAILED, failure=LOW)], block_index=BLOCK)
    page = await stores.plants.events("r", 0)
    assert [(event.number, event.plant.plant_id) for event in page.events] == [(1, bad.plant_id)]
    assert not page.complete


async def test_later_request_counts_the_poolers_earlier_plants(stores: Stores, rows: Rows) -> None:
    first, second, third = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(3)]
    attempts = await rows.request("r1", [first, second], block_index=BLOCK)
    await stores.attempts.settle([succeeded(attempts[0], [confirmed(first)])])
    found = await stores.plants.plants_of(BLOCK, POOLER)
    assert {plant.plant_id for plant in found} == {first.plant_id, second.plant_id}
    await rows.request("r2", [third], block_index=BLOCK, earlier=[plant.plant_id for plant in found])
    assert [event.plant.plant_id for event in (await stores.plants.events("r2", 0)).events] == [first.plant_id]
    await stores.attempts.settle([succeeded(attempts[1], [confirmed(second)])])
    assert await numbers(stores, "r1") == [1, 2]
    assert await numbers(stores, "r2") == [1, 2]


async def test_plants_of_leaves_out_failed_ones_and_other_poolers(stores: Stores, rows: Rows) -> None:
    mine, lost, theirs = await rows.farmers(3)
    plants = [rows.plant(mine, BLOCK), rows.plant(lost, BLOCK)]
    attempts = await rows.request("r1", plants, block_index=BLOCK)
    await rows.request("r2", [rows.plant(theirs, BLOCK, pooler="other")], block_index=BLOCK, pooler="other")
    await stores.attempts.settle([failed(attempts[1], [failure(plants[1])])])
    assert [plant.plant_id for plant in await stores.plants.plants_of(BLOCK, POOLER)] == [plants[0].plant_id]


@pytest.mark.parametrize("repeated", ["request", "plant"])
async def test_repeated_request_or_plant_stores_nothing(rows: Rows, query: Query, repeated: str) -> None:
    first, second = await rows.farmers(2)
    await rows.request("r1", [rows.plant(first, BLOCK)], block_index=BLOCK)
    counts = """
    SELECT
        (SELECT count(*) FROM plant_requests), (SELECT count(*) FROM plant_transactions),
        (SELECT count(*) FROM attempts), (SELECT count(*) FROM block_events)
    """
    before = query(counts)
    again = "r1" if repeated == "request" else "r2"
    plants = [rows.plant(second, BLOCK), *([rows.plant(first, BLOCK)] if repeated == "plant" else [])]
    with pytest.raises(StoreConflictError):
        await rows.request(again, plants, block_index=BLOCK)
    assert query(counts) == before


async def test_numbers_have_no_gaps_when_many_settle_at_once(stores: Stores, rows: Rows) -> None:
    plants = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(40)]
    attempts = await rows.request("r1", plants, block_index=BLOCK)
    await rows.request("r2", [], block_index=BLOCK, earlier=[plant.plant_id for plant in plants])
    ends = [
        succeeded(attempt, [confirmed(plant)]) if index % 3 else failed(attempt, [failure(plant)])
        for index, (attempt, plant) in enumerate(zip(attempts, plants, strict=True))
    ]
    await asyncio.gather(*(stores.attempts.settle(ends[start : start + 4]) for start in range(0, 40, 4)))
    for request in ("r1", "r2"):
        page = await stores.plants.events(request, 0)
        assert [event.number for event in page.events] == list(range(1, 41))
        assert page.complete


async def test_plant_that_ends_while_a_later_request_begins_is_numbered_in_it(
    rows: Rows, stores: Stores, database_url: str, query: Query
) -> None:
    (plant,) = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(1)]
    await rows.request("r1", [plant], block_index=BLOCK)
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    ending = (
        "INSERT INTO attributions (subject, row_id, block_index, farmer_id, reason, cause, owner)"
        " SELECT 'plant', id, block_index, farmer_id, 'internal', 'program_fault', 'backend' FROM plant_transactions;"
        " UPDATE plant_transactions SET status = 'failed', error_reason = 'internal'"
    )
    with psycopg.connect(database_url) as connection:
        connection.execute(ending)
        later = asyncio.create_task(rows.request("r2", [], block_index=BLOCK, earlier=[plant.plant_id]))
        # Until the request waits for the plant's row, or went on without waiting.
        while not later.done() and query(blocked) == [(0,)]:
            await asyncio.wait({later}, timeout=0.01)
    await later
    page = await stores.plants.events("r2", 0)
    assert (page.complete, page.failed) == (True, 1)


async def test_unsent_plants_know_their_attempts(stores: Stores, rows: Rows) -> None:
    sent, lapsed, never = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(3)]
    attempts = await rows.request("r", [sent, lapsed], block_index=BLOCK)
    await stores.plants.begin(PlantRequest("r2", POOLER, BLOCK, 0), earlier=(), plants=[never], attempts=())
    await stores.attempts.settle([replace(expired(attempts[1]), result_code="txBAD_SEQ")])
    found = {unsent.plant.plant_id: unsent for unsent in await stores.plants.unsent()}
    assert found.keys() == {lapsed.plant_id, never.plant_id}
    assert (found[lapsed.plant_id].attempts, found[lapsed.plant_id].last_code) == (1, "txBAD_SEQ")
    assert (found[never.plant_id].attempts, found[never.plant_id].last_code) == (0, None)
    assert found[never.plant_id].key.address == never.address
    assert found[never.plant_id].key.farmer_id == never.farmer_id
    await stores.plants.retry([rows.attempt(AttemptKind.PLANT, lapsed.plant_id, lapsed.address)])
    assert [unsent.plant.plant_id for unsent in await stores.plants.unsent()] == [never.plant_id]


async def test_adopted_pail_becomes_a_plant_with_its_harvest(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    found = replace(rows.plant(farmer, BLOCK, pooler="recovered"), state=PlantState.CONFIRMED, ledger=77)
    assert await stores.plants.adopt([found], {(farmer.address, BLOCK): 900}) == 1
    assert await stores.plants.adopt([replace(found, plant_id=uuid4())], {(farmer.address, BLOCK): 901}) == 0
    (pail,) = await stores.harvests.open_pails()
    assert (pail.block_index, pail.stake_stroops, pail.planted_ledger, pail.live_until) == (BLOCK, 7, 77, 900)
    assert await stores.plants.plants_of(BLOCK, "recovered") == [found]
    assert (await stores.farmers.get(farmer.farmer_id)).last_planted_block == BLOCK


async def test_pail_of_a_failed_plant_gets_its_harvest_only(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    plant = rows.plant(farmer, BLOCK)
    (attempt,) = await rows.request("r", [plant], block_index=BLOCK)
    await stores.attempts.settle([failed(attempt, [failure(plant)])])
    found = replace(rows.plant(farmer, BLOCK, stake=9), state=PlantState.CONFIRMED, ledger=77)
    assert await stores.plants.adopt([found], {(farmer.address, BLOCK): 900}) == 1
    (pail,) = await stores.harvests.open_pails()
    assert pail.stake_stroops == 9
    assert await stores.plants.plants_of(BLOCK, POOLER) == []


async def test_requests_and_ends_are_in_the_audit_trail(stores: Stores, rows: Rows, query: Query) -> None:
    good, bad = [rows.plant(farmer, BLOCK) for farmer in await rows.farmers(2)]
    attempts = await rows.request("r", [good, bad], block_index=BLOCK)
    await stores.attempts.settle([succeeded(attempts[0], [confirmed(good)])])
    await stores.attempts.settle([failed(attempts[1], [failure(bad)])])
    assert query("SELECT event_type, farmer_id, pooler_id, data ->> 'plants' FROM block_events ORDER BY id") == [
        ("plant_requested", None, POOLER, "2"),
        ("planted", good.farmer_id, POOLER, None),
        ("plant_failed", bad.farmer_id, POOLER, None),
    ]
