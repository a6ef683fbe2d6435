"""PoolerStore: attendance, and leases that change hands one generation at a time."""

import asyncio
from dataclasses import replace

import pytest

from backend.domain.failure import Failure, FailureReason
from backend.domain.plant import PlantState
from backend.domain.presence import Attended, FarmerLease, HandOver, HandOverReason
from backend.domain.settlement import PlantFailed
from backend.domain.work import WorkReport
from backend.errors import StoreConflictError
from backend.ports.stores import Stores
from tests.fixtures.rows import POOLER, Rows, confirmed, failed, succeeded
from tests.fixtures.stores import Query

BLOCK = 40
LEDGER = 130


def hand_over(lease: FarmerLease, to: str, reason: HandOverReason = HandOverReason.SILENT) -> HandOver:
    return HandOver(BLOCK, lease.farmer_id, lease.generation + 1, to, lease.pooler_id, reason, LEDGER)


async def test_attendance_keeps_the_last_ledger_and_hash_rate_of_each(stores: Stores) -> None:
    await stores.poolers.attended({"a": Attended(100, 7), "b": Attended(101)})
    await stores.poolers.attended({"a": Attended(105, 2**62)})
    await stores.poolers.attended({"a": Attended(104, 9)})
    assert await stores.poolers.attendance() == {"a": Attended(105, 2**62), "b": Attended(101)}
    await stores.poolers.attended({"a": Attended(105, 8)})
    assert (await stores.poolers.attendance())["a"] == Attended(105, 8)


async def test_leases_are_the_plants_poolers_until_handed_over(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(2)
    await rows.planted(farmers, BLOCK)
    before = await stores.poolers.leases(BLOCK)
    assert {(one.farmer_id, one.pooler_id, one.generation, one.worked) for one in before} == {
        (farmer.farmer_id, POOLER, 1, False) for farmer in farmers
    }
    await stores.poolers.hand_over([hand_over(before[0], "b")])
    after = await stores.poolers.leases(BLOCK)
    assert after[0] == replace(before[0], pooler_id="b", generation=2)
    assert after[1] == before[1]


async def test_failed_plants_are_nobodys(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    plant = rows.plant(farmer, BLOCK)
    (attempt,) = await rows.request("r", [plant], block_index=BLOCK)
    refusal = PlantFailed(plant.plant_id, Failure(FailureReason.EXPIRED, "no ledger took it"))
    await stores.attempts.settle([failed(attempt, [refusal])])
    assert await stores.poolers.leases(BLOCK) == []


async def test_reported_work_finishes_a_lease(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    await rows.planted([farmer], BLOCK)
    digest = bytes(2) + bytes(range(30))
    await stores.works.record(WorkReport("w", POOLER, BLOCK, farmer.farmer_id, digest, 3, 5, 12, "ab" * 32, 130))
    (lease,) = await stores.poolers.leases(BLOCK)
    assert lease.worked


@pytest.mark.parametrize("change", [{"generation": 3}, {"generation": 1}, {"taken_from": "c"}])
async def test_lease_that_does_not_follow_is_refused_whole(
    stores: Stores, rows: Rows, change: dict[str, object]
) -> None:
    await rows.planted(await rows.farmers(2), BLOCK)
    first, second = await stores.poolers.leases(BLOCK)
    wrong = replace(hand_over(second, "b"), **change)  # type: ignore[arg-type]
    with pytest.raises(StoreConflictError):
        await stores.poolers.hand_over([hand_over(first, "b"), wrong])
    assert await stores.poolers.handed(BLOCK) == []


async def test_same_hand_over_at_once_happens_once(stores: Stores, rows: Rows) -> None:
    await rows.planted(await rows.farmers(1), BLOCK)
    (lease,) = await stores.poolers.leases(BLOCK)
    results = await asyncio.gather(
        *(stores.poolers.hand_over([hand_over(lease, to)]) for to in ("b", "c")), return_exceptions=True
    )
    assert [type(result) for result in results].count(StoreConflictError) == 1
    assert len(await stores.poolers.handed(BLOCK)) == 1


async def test_handed_tells_plants_and_which_is_the_latest(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    (plant,) = await rows.planted([farmer], BLOCK)
    (lease,) = await stores.poolers.leases(BLOCK)
    first = hand_over(lease, "b")
    await stores.poolers.hand_over([first])
    (again,) = await stores.poolers.leases(BLOCK)
    second = hand_over(again, POOLER, HandOverReason.DRAINED)
    await stores.poolers.hand_over([second])
    handed = await stores.poolers.handed(BLOCK)
    assert [(one.hand_over, one.latest) for one in handed] == [(first, False), (second, True)]
    assert {one.plant.plant_id for one in handed} == {plant.plant_id}
    assert {one.plant.state for one in handed} == {PlantState.CONFIRMED}


async def test_request_has_its_own_poolers_plants_only(stores: Stores, rows: Rows) -> None:
    """Plants for another pooler wait for that pooler's own request."""
    mine, others = await rows.farmers(2)
    plants = [rows.plant(mine, BLOCK), rows.plant(others, BLOCK, pooler="b")]
    attempts = await rows.request("r", plants, block_index=BLOCK)
    await stores.attempts.settle(
        [succeeded(attempt, [confirmed(plant)]) for attempt, plant in zip(attempts, plants, strict=True)]
    )
    page = await stores.plants.events("r", 0)
    assert [event.plant.farmer_id for event in page.events] == [mine.farmer_id]
    assert page.complete
    (waiting,) = await stores.plants.plants_of(BLOCK, "b")
    await rows.request("r-b", [], block_index=BLOCK, earlier=[waiting.plant_id], pooler="b")
    assert [event.plant.farmer_id for event in (await stores.plants.events("r-b", 0)).events] == [others.farmer_id]


async def test_plants_that_went_to_others_are_not_given_to_a_later_request(stores: Stores, rows: Rows) -> None:
    await rows.planted(await rows.farmers(2), BLOCK)
    first, second = await stores.poolers.leases(BLOCK)
    await stores.poolers.hand_over([hand_over(first, "b")])
    assert [plant.farmer_id for plant in await stores.plants.plants_of(BLOCK, POOLER)] == [second.farmer_id]


async def test_hand_over_is_in_the_audit_trail(stores: Stores, rows: Rows, query: Query) -> None:
    await rows.planted(await rows.farmers(1), BLOCK)
    (lease,) = await stores.poolers.leases(BLOCK)
    await stores.poolers.hand_over([hand_over(lease, "b")])
    events = query("SELECT pooler_id, data ->> 'taken_from' FROM block_events WHERE event_type = 'lease_moved'")
    assert events == [("b", POOLER)]
