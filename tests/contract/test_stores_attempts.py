"""AttemptStore: one open attempt per intent and source, ends that are final, and effects applied once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.failure import Failure, FailureReason
from backend.domain.settlement import BalanceMoved, HarvestClosed, PlantFailed
from backend.domain.spending import MEASURED_FEES
from backend.errors import StoreConflictError
from backend.ports.stores import Stores
from tests.fixtures.rows import Rows, bumped, confirmed, expired, failed, harvested, succeeded, superseded
from tests.fixtures.stores import Query

MASTER = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
OTHER = "GCCUVN7ZJAXF2VR7Y3HHX2W5VJ5Y7B6BY3NHBFDJ2DP4WFQCE4LQJ5KX"
GONE = Failure(FailureReason.EXPIRED, "the pail's life ended")


def channels(rows: Rows, *, sequence: int | None = None, intent: UUID | None = None) -> Attempt:
    return rows.attempt(AttemptKind.CHANNELS, intent or uuid4(), MASTER, sequence=sequence)


async def test_open_attempts_are_read_back_as_stored(stores: Stores, rows: Rows) -> None:
    attempt = channels(rows)
    plain = replace(channels(rows), inner_hash=None, source=OTHER)
    await stores.attempts.store(attempt)
    await stores.attempts.store(plain)
    assert await stores.attempts.open() == [attempt, plain]


async def test_ended_attempt_is_open_no_more(stores: Stores, rows: Rows, query: Query) -> None:
    attempt = channels(rows)
    await stores.attempts.store(attempt)
    await stores.attempts.settle([succeeded(attempt)])
    assert await stores.attempts.open() == []
    (end,) = query("SELECT status, result_code, result_ledger, fee_charged, ended_at IS NOT NULL FROM attempts")
    assert end == ("succeeded", "txSUCCESS", 105, 300, True)


@pytest.mark.parametrize("later", [succeeded, failed, expired])
async def test_first_end_stands(stores: Stores, rows: Rows, query: Query, later: Callable[[Attempt], object]) -> None:
    attempt = channels(rows)
    await stores.attempts.store(attempt)
    await stores.attempts.settle([failed(attempt)])
    await stores.attempts.settle([later(attempt)])
    assert query("SELECT status FROM attempts") == [("failed",)]


@pytest.mark.parametrize(
    "change",
    [
        lambda attempt, _: replace(attempt, hash=attempt.hash[::-1], sequence=9, source=OTHER),
        lambda attempt, new: replace(new, source=attempt.source),
        lambda attempt, new: replace(new, hash=attempt.hash, source=OTHER),
    ],
    ids=["second for the intent", "second for the source", "second with the hash"],
)
async def test_second_open_attempt_is_refused(
    stores: Stores, rows: Rows, change: Callable[[Attempt, Attempt], Attempt]
) -> None:
    attempt = channels(rows)
    await stores.attempts.store(attempt)
    with pytest.raises(StoreConflictError):
        await stores.attempts.store(change(attempt, channels(rows)))
    assert await stores.attempts.open() == [attempt]


async def test_succeeded_intent_and_sequence_number_succeed_once(stores: Stores, rows: Rows) -> None:
    attempt = channels(rows, sequence=5)
    await stores.attempts.store(attempt)
    await stores.attempts.settle([succeeded(attempt)])
    again = channels(rows, sequence=6, intent=attempt.intent_id)
    await stores.attempts.store(again)
    with pytest.raises(StoreConflictError):
        await stores.attempts.settle([succeeded(again)])
    await stores.attempts.settle([expired(again)])
    with pytest.raises(StoreConflictError):
        await stores.attempts.store(channels(rows, sequence=5))


async def test_expired_attempt_makes_way_for_another_with_its_sequence(stores: Stores, rows: Rows) -> None:
    attempt = channels(rows, sequence=5)
    await stores.attempts.store(attempt)
    await stores.attempts.settle([expired(attempt)])
    again = channels(rows, sequence=5, intent=attempt.intent_id)
    await stores.attempts.store(again)
    assert await stores.attempts.open() == [again]


async def test_expiry_before_the_last_ledger_is_refused(stores: Stores, rows: Rows) -> None:
    attempt = channels(rows)
    await stores.attempts.store(attempt)
    with pytest.raises(StoreConflictError, match="attempts_expiry_proven"):
        await stores.attempts.settle([replace(expired(attempt), result_ledger=attempt.max_ledger - 1)])
    assert await stores.attempts.open() == [attempt]


async def test_settling_twice_books_once(stores: Stores, rows: Rows, query: Query) -> None:
    (farmer,) = await rows.farmers(1)
    await rows.planted([farmer], 1)
    (pail,) = await stores.harvests.open_pails()
    attempt = rows.attempt(AttemptKind.HARVEST, pail.harvest_id, MASTER)
    await stores.harvests.begin([attempt])
    end = succeeded(attempt, [harvested(pail.harvest_id, 1000)])
    await asyncio.gather(*(stores.attempts.settle([end]) for _ in range(5)))
    assert (await stores.farmers.get(farmer.farmer_id)).earned_stroops == 1000
    assert query("SELECT count(*) FROM block_events WHERE event_type = 'harvested'") == [(1,)]


async def test_one_bad_settlement_undoes_all_of_them(stores: Stores, rows: Rows) -> None:
    plants = [rows.plant(farmer, 1) for farmer in await rows.farmers(2)]
    attempts = await rows.request("r", plants, block_index=1)
    bad = replace(succeeded(attempts[1], [confirmed(plants[1])]), state=AttemptState.EXPIRED, result_ledger=1)
    with pytest.raises(StoreConflictError):
        await stores.attempts.settle([succeeded(attempts[0], [confirmed(plants[0])]), bad])
    assert len(await stores.attempts.open()) == 2
    assert await stores.harvests.open_pails() == []
    assert (await stores.plants.events("r", 0)).last_number == 0


async def test_many_harvests_of_one_farmer_are_all_booked(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    for block in range(1, 4):
        await rows.planted([farmer], block)
    pails = await stores.harvests.open_pails()
    await stores.attempts.apply([harvested(pail.harvest_id, 10**number) for number, pail in enumerate(pails)])
    assert (await stores.farmers.get(farmer.farmer_id)).earned_stroops == 111


async def test_rewards_add_up_when_settled_at_once_with_deposits(stores: Stores, rows: Rows) -> None:
    made = await rows.farmers(10)
    await rows.planted(made, 1)
    await rows.planted(made, 2)
    pails = await stores.harvests.open_pails()
    await asyncio.gather(
        *(stores.attempts.apply([harvested(pail.harvest_id, 5) for pail in pails[start::4]]) for start in range(4)),
        *(
            stores.attempts.apply([BalanceMoved(farmer.farmer_id, 1, 110, f"{number:064x}") for farmer in made])
            for number in range(4)
        ),
    )
    now = [await stores.farmers.get(farmer.farmer_id) for farmer in made]
    assert [(farmer.earned_stroops, farmer.balance_stroops) for farmer in now] == [(10, 28)] * 10
    assert (await stores.money.check())[1] == []


async def test_effect_on_a_row_that_moved_on_is_passed_over(stores: Stores, rows: Rows, query: Query) -> None:
    (farmer,) = await rows.farmers(1)
    (plant,) = await rows.planted([farmer], 1)
    (pail,) = await stores.harvests.open_pails()
    await stores.attempts.apply([PlantFailed(plant.plant_id, GONE), HarvestClosed(pail.harvest_id, True, GONE)])  # noqa: FBT003
    await stores.attempts.apply([harvested(pail.harvest_id, 1000), confirmed(plant)])
    assert query("SELECT status FROM plant_transactions") == [("confirmed",)]
    assert query("SELECT status, error_reason FROM harvest_transactions") == [("lost", "expired")]
    assert (await stores.farmers.get(farmer.farmer_id)).earned_stroops == 0
    events = query("SELECT event_type FROM block_events ORDER BY id")
    assert events == [("plant_requested",), ("planted",), ("harvest_lost",)]


async def test_settling_nothing_is_nothing(stores: Stores) -> None:
    await stores.attempts.settle([])
    await stores.attempts.apply([])
    assert await stores.attempts.open() == []


async def test_superseded_attempt_tells_who_used_its_number(stores: Stores, rows: Rows, query: Query) -> None:
    attempt = channels(rows)
    await stores.attempts.store(attempt)
    end = superseded(attempt)
    await stores.attempts.settle([end])
    await stores.attempts.settle([succeeded(attempt)])
    assert query("SELECT status, result_ledger, result_hash FROM attempts") == [("superseded", 103, end.result_hash)]
    assert await stores.attempts.open() == []


async def test_supersession_by_an_older_sight_or_itself_is_refused(stores: Stores, rows: Rows) -> None:
    attempt = channels(rows)
    await stores.attempts.store(attempt)
    for wrong in (superseded(attempt, 100), replace(superseded(attempt), result_hash=attempt.inner_hash)):
        with pytest.raises(StoreConflictError, match="attempts_supersession_proven"):
            await stores.attempts.settle([wrong])
    assert await stores.attempts.open() == [attempt]


async def test_bumps_are_read_back_with_their_attempt(stores: Stores, rows: Rows) -> None:
    attempt, other = channels(rows), replace(channels(rows), source=OTHER)
    await stores.attempts.store(attempt)
    await stores.attempts.store(other)
    bumps = bumped(attempt, 1), bumped(attempt, 2)
    await stores.attempts.bump(bumps[:1])
    await stores.attempts.bump(bumps[1:])
    assert await stores.attempts.open() == [replace(attempt, bumps=bumps), other]


@pytest.mark.parametrize(
    ("number", "fee", "rule"), [(2, 5000, "rising"), (1, 1000, "rising"), (1, None, "open")], ids=str
)
async def test_bump_that_does_not_follow_is_refused(
    stores: Stores, rows: Rows, number: int, fee: int | None, rule: str
) -> None:
    attempt = channels(rows)
    await stores.attempts.store(attempt)
    if rule == "open":
        await stores.attempts.settle([failed(attempt)])
    with pytest.raises(StoreConflictError, match=f"attempt_bumps_{rule}"):
        await stores.attempts.bump([bumped(attempt, number, max_fee=fee)])


async def test_spending_counts_what_was_charged_and_what_may_be(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(2)
    await rows.planted(farmers, 1)  # 300 stroops each, stored after ledger 100
    pails = await stores.harvests.open_pails()
    harvests = [
        rows.attempt(AttemptKind.HARVEST, pail.harvest_id, source)
        for pail, source in zip(pails, (MASTER, OTHER), strict=True)
    ]
    await stores.harvests.begin(harvests)
    await stores.attempts.bump([bumped(harvests[0])])
    spending = await stores.attempts.spending(99)
    assert (spending.charged, spending.at_stake, spending.open_pails) == (600, 10_000 + 1000, 2)
    assert spending.harvest_fee is None
    await stores.attempts.settle([succeeded(harvests[0], [harvested(pails[0].harvest_id, 5)])])
    spending = await stores.attempts.spending(100)
    assert (spending.charged, spending.at_stake, spending.open_pails, spending.harvest_fee) == (0, 1000, 1, 300)


async def test_fees_are_the_median_of_what_succeeded_by_kind(stores: Stores, rows: Rows) -> None:
    assert await stores.attempts.fees() == {}
    (farmer,) = await rows.farmers(1)
    for block, fee in enumerate((900, 100, 500, 700)):
        plant = rows.plant(farmer, block)
        (attempt,) = await rows.request(f"r-{block}", [plant], block_index=block)
        end = succeeded(attempt, [confirmed(plant)])
        await stores.attempts.settle([replace(end, fee_charged=fee)])
    unlucky = channels(rows)
    await stores.attempts.store(unlucky)
    await stores.attempts.settle([failed(unlucky)])
    assert await stores.attempts.fees() == {AttemptKind.PLANT: 500}


async def test_fees_of_long_ago_do_not_count(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(MEASURED_FEES)
    await rows.planted(farmers, 1)  # 300 stroops each
    again = [rows.plant(farmer, 2) for farmer in farmers]
    attempts = await rows.request("dearer", again, block_index=2)
    ends = [
        replace(succeeded(attempt, [confirmed(plant)]), fee_charged=900, result_ledger=200)
        for plant, attempt in zip(again, attempts, strict=True)
    ]
    await stores.attempts.settle(ends)
    assert await stores.attempts.fees() == {AttemptKind.PLANT: 900}
