"""WorkStore: reports stored once, the better one staying, and the backend's own work."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import Farmer
from backend.domain.plant import PlantState
from backend.domain.settlement import PlantFailed, WorkSettled
from backend.domain.work import WorkReport, WorkState
from backend.errors import StoreConflictError, UnknownFarmerError
from backend.ports.stores import BackstopWork, Stores, UnworkedPail
from tests.fixtures.rows import PLANT_LEDGER, POOLER, Rows, expired, failed, succeeded
from tests.fixtures.stores import Query

BLOCK = 40
CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
HASH = bytes(2) + bytes(range(30))
STATES = "SELECT status, zeros, report_id FROM work_results ORDER BY created_at, pooler_id"


def report(farmer: Farmer, report_id: str = "w1", *, zeros: int = 5, nonce: int | None = 2**64 - 1) -> WorkReport:
    return WorkReport(report_id, POOLER, BLOCK, farmer.farmer_id, HASH, nonce, zeros, 12, "ab" * 32, 130)


def failure(farmer: Farmer, report_id: str, reason: FailureReason = FailureReason.INTERNAL) -> WorkReport:
    return WorkReport(report_id, POOLER, BLOCK, farmer.farmer_id, failure=Failure(reason, "what went wrong"))


def backstop(rows: Rows, farmer: Farmer, work_id: UUID | None = None) -> BackstopWork:
    intent = work_id or uuid4()
    attempt = rows.attempt(AttemptKind.WORK, intent, CHANNEL)
    return BackstopWork(intent, farmer.farmer_id, BLOCK, HASH, 17, 4, attempt)


@pytest.fixture
async def farmer(rows: Rows) -> Farmer:
    """A farmer planted in the block."""
    (made,) = await rows.farmers(1)
    await rows.planted([made], BLOCK)
    return made


async def test_address_is_known_of_planted_farmers_only(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    (other,) = await rows.farmers(1)
    assert await stores.works.planted_address(BLOCK, farmer.farmer_id) == farmer.address
    assert await stores.works.planted_address(BLOCK + 1, farmer.farmer_id) is None
    assert await stores.works.planted_address(BLOCK, other.farmer_id) is None
    with pytest.raises(UnknownFarmerError):
        await stores.works.planted_address(BLOCK, uuid4())


async def test_report_is_stored_whole(stores: Stores, farmer: Farmer, query: Query) -> None:
    assert await stores.works.record(report(farmer))
    columns = query("SELECT wallet_address, work_hash, nonce, zeros, gap, transaction_hash, status FROM work_results")
    assert columns == [(farmer.address, HASH.hex(), 2**64 - 1, 5, 12, "ab" * 32, "success")]
    (event,) = query("SELECT event_type, data ->> 'nonce' FROM block_events WHERE event_type LIKE 'work%'")
    assert event == ("work_complete", str(2**64 - 1))


async def test_same_report_twice_is_a_duplicate(stores: Stores, farmer: Farmer, query: Query) -> None:
    assert await stores.works.record(report(farmer))
    assert not await stores.works.record(report(farmer, zeros=9))
    assert query(STATES) == [("success", 5, "w1")]
    assert query("SELECT count(*) FROM block_events WHERE event_type = 'work_complete'") == [(1,)]


async def test_same_report_many_times_at_once_is_stored_once(stores: Stores, farmer: Farmer) -> None:
    stored = await asyncio.gather(*(stores.works.record(report(farmer)) for _ in range(8)))
    assert sorted(stored) == [False] * 7 + [True]


async def test_different_reports_at_once_leave_the_best(stores: Stores, farmer: Farmer, query: Query) -> None:
    await asyncio.gather(*(stores.works.record(report(farmer, f"w{zeros}", zeros=zeros)) for zeros in range(1, 9)))
    assert query(STATES) == [("success", 8, "w8")]


@pytest.mark.parametrize(("zeros", "stored"), [(4, False), (5, False), (6, True)])
async def test_success_is_replaced_by_more_zeros_only(
    stores: Stores, farmer: Farmer, query: Query, zeros: int, stored: bool
) -> None:
    await stores.works.record(report(farmer))
    assert await stores.works.record(report(farmer, "w2", zeros=zeros)) is stored
    assert query(STATES) == [("success", zeros, "w2") if stored else ("success", 5, "w1")]


async def test_failure_gives_way_to_success_but_not_the_other_way(stores: Stores, farmer: Farmer, query: Query) -> None:
    assert await stores.works.record(failure(farmer, "w1", FailureReason.TIMEOUT))
    assert query(STATES) == [("timeout", None, "w1")]
    assert await stores.works.record(report(farmer, "w2"))
    assert not await stores.works.record(failure(farmer, "w3"))
    assert query(STATES) == [("success", 5, "w2")]
    kinds = query("SELECT event_type FROM block_events WHERE event_type LIKE 'work%' ORDER BY id")
    assert kinds == [("work_failed",), ("work_complete",)]


async def test_report_for_an_unknown_farmer_is_an_error(stores: Stores, farmer: Farmer) -> None:
    with pytest.raises(UnknownFarmerError):
        await stores.works.record(report(replace(farmer, farmer_id=uuid4())))


async def test_poolers_have_a_result_each(stores: Stores, farmer: Farmer, query: Query) -> None:
    await stores.works.record(report(farmer))
    await stores.works.record(replace(report(farmer, "w2"), pooler_id="other"))
    assert query("SELECT count(*) FROM work_results") == [(2,)]


async def test_report_without_nonce_waits_to_be_settled(stores: Stores, farmer: Farmer, query: Query) -> None:
    await stores.works.record(report(farmer, nonce=None))
    (waiting,) = await stores.works.unverified()
    assert (waiting.address, waiting.block_index, waiting.work_hash) == (farmer.address, BLOCK, HASH)
    await stores.attempts.apply([WorkSettled(waiting.work_id, WorkState.SUCCESS, zeros=6, gap=3)])
    assert await stores.works.unverified() == []
    assert query(STATES) == [("success", 6, "w1")]


async def test_unworked_pails_are_those_the_backend_has_no_work_for(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    (unplanted,) = await rows.farmers(1)
    await rows.request("r", [rows.plant(unplanted, BLOCK)], block_index=BLOCK)
    assert await stores.works.unworked(BLOCK) == [UnworkedPail(farmer.farmer_id, farmer.address, BLOCK, 7)]
    assert await stores.works.unworked(BLOCK + 1) == []
    work = backstop(rows, farmer)
    await stores.works.begin([work])
    assert await stores.works.unworked(BLOCK) == []
    await stores.attempts.settle([expired(work.attempt)])
    assert len(await stores.works.unworked(BLOCK)) == 1


async def test_highest_stakes_are_worked_first(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(3)
    for farmer, stake in zip(farmers, (5, 50, 0), strict=True):
        await rows.planted([farmer], BLOCK + 1, stake=stake)
    assert [pail.stake_stroops for pail in await stores.works.unworked(BLOCK + 1)] == [50, 5, 0]


async def test_pail_found_on_the_ledger_beside_a_failed_plant_is_unworked_too(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    plant = rows.plant(farmer, BLOCK + 1)
    (attempt,) = await rows.request("r", [plant], block_index=BLOCK + 1)
    late = Failure(FailureReason.EXPIRED, "no ledger took it")
    await stores.attempts.settle([expired(attempt, [PlantFailed(plant.plant_id, late)])])
    assert await stores.works.unworked(BLOCK + 1) == []
    found = replace(plant, plant_id=uuid4(), state=PlantState.CONFIRMED, ledger=PLANT_LEDGER)
    assert await stores.plants.adopt([found], {}) == 1
    assert [pail.farmer_id for pail in await stores.works.unworked(BLOCK + 1)] == [farmer.farmer_id]


async def test_backstop_is_begun_again_in_its_own_row(stores: Stores, rows: Rows, farmer: Farmer, query: Query) -> None:
    work = backstop(rows, farmer)
    await stores.works.begin([work])
    assert await stores.works.backstop_ids(BLOCK) == {farmer.farmer_id: work.work_id}
    refused = Failure(FailureReason.CONTRACT_REFUSED, "error 13")
    await stores.attempts.settle([failed(work.attempt, [WorkSettled(work.work_id, WorkState.FAILED, failure=refused)])])
    assert query("SELECT status, error_reason FROM work_results") == [("failed", "contract_refused")]
    again = backstop(rows, farmer, work.work_id)
    await stores.works.begin([again])
    assert query("SELECT status, error_reason FROM work_results") == [("pending", None)]
    end = WorkSettled(work.work_id, WorkState.SUCCESS, gap=9, transaction_hash="cd" * 32, ledger=140)
    await stores.attempts.settle([succeeded(again.attempt, [end])])
    row = query("SELECT status, pooler_id, zeros, gap, transaction_hash, ledger_sequence FROM work_results")
    assert row == [("success", "backend", 4, 9, "cd" * 32, 140)]


@pytest.mark.parametrize("same_row", [True, False])
async def test_backstop_that_succeeded_is_not_begun_again(
    stores: Stores, rows: Rows, farmer: Farmer, same_row: bool
) -> None:
    work = backstop(rows, farmer)
    await stores.works.begin([work])
    await stores.attempts.settle([succeeded(work.attempt, [WorkSettled(work.work_id, WorkState.SUCCESS)])])
    with pytest.raises(StoreConflictError):
        await stores.works.begin([backstop(rows, farmer, work.work_id if same_row else None)])
    assert await stores.attempts.open() == []


async def test_a_poolers_success_outlives_the_backstop(
    stores: Stores, rows: Rows, farmer: Farmer, query: Query
) -> None:
    await stores.works.record(report(farmer))
    await stores.works.begin([backstop(rows, farmer)])
    assert query("SELECT pooler_id, status FROM work_results ORDER BY pooler_id") == [
        ("backend", "pending"),
        (POOLER, "success"),
    ]
