"""The lease and quarantines, of PostgreSQL and of its twin."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.lease import Quarantine
from backend.domain.money import Cursor, Passage
from backend.domain.plant import PlantState
from backend.domain.settlement import HarvestClosed
from backend.errors import LeaseLostError, QuarantinedError
from backend.ports.stores import Stores
from tests.fixtures.rows import PLANT_LEDGER, Rows, succeeded


async def store_attempt(rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    await rows.stores.attempts.store(rows.attempt(AttemptKind.CHANNELS, farmer.farmer_id, farmer.address))


async def test_head_goes_forward_only(stores: Stores, rows: Rows) -> None:
    before = await stores.lease.head()
    assert before.fence == 1
    await rows.planted(await rows.farmers(1), 1)
    after = await stores.lease.head()
    assert after.incarnation == before.incarnation
    assert after.fence == before.fence
    assert after.event > before.event
    assert after.position > before.position


async def test_fence_goes_on_over_a_restart_without_a_new_epoch(stores: Stores) -> None:
    head = await stores.lease.head()
    await stores.lease.release()
    lease = await stores.lease.take("the same again", head)
    assert (lease.fence, lease.epoch, lease.restored) == (2, 1, None)
    assert await stores.quarantines.open() == []


async def test_nothing_is_stored_in_quarantine_and_everything_afterwards(stores: Stores, rows: Rows) -> None:
    await store_attempt(rows)
    await stores.quarantines.begin("a test")
    with pytest.raises(QuarantinedError):
        await store_attempt(rows)
    (opened,) = await stores.quarantines.open()
    assert opened == Quarantine(opened.quarantine_id, "a test", 100, None, None)
    await stores.quarantines.date(opened, ledger=200, until_ledger=210, block_index=3)
    (dated,) = await stores.quarantines.open()
    assert (dated.began_ledger, dated.until_ledger) == (200, 210)
    with pytest.raises(QuarantinedError):
        await store_attempt(rows)
    await stores.quarantines.end([dated], ledger=210, block_index=3)
    assert await stores.quarantines.open() == []
    await store_attempt(rows)


async def test_open_attempts_are_settled_in_quarantine(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    attempt = rows.attempt(AttemptKind.CHANNELS, farmer.farmer_id, farmer.address)
    await stores.attempts.store(attempt)
    await stores.quarantines.begin("a test")
    await stores.attempts.settle([succeeded(attempt)])
    assert await stores.attempts.open() == []


async def test_quarantine_is_dated_once(stores: Stores) -> None:
    await stores.quarantines.begin("a test")
    (opened,) = await stores.quarantines.open()
    await stores.quarantines.date(opened, ledger=200, until_ledger=210, block_index=3)
    await stores.quarantines.date(opened, ledger=150, until_ledger=160, block_index=3)
    assert [one.until_ledger for one in await stores.quarantines.open()] == [210]


async def test_missing_record_begins_an_epoch_a_quarantine_and_a_far_fence(stores: Stores) -> None:
    await stores.lease.release()
    lease = await stores.lease.take("without its record", None)
    assert lease.epoch == 2
    assert lease.fence > 2
    assert [one.reason for one in await stores.quarantines.open()] == [lease.restored]


async def test_older_backend_settles_and_books_nothing_after_another_took_the_lease(
    stores: Stores, second: Stores, rows: Rows
) -> None:
    (farmer,) = await rows.farmers(1)
    await stores.money.skip(100)
    await stores.money.reconcile(100, {farmer.address: 100})
    await rows.planted([farmer], 1)
    attempt = rows.attempt(AttemptKind.CHANNELS, farmer.farmer_id, farmer.address)
    await stores.attempts.store(attempt)
    (pail,) = await stores.harvests.open_pails()
    closed = HarvestClosed(pail.harvest_id, lost=True, failure=Failure(FailureReason.EXPIRED, "a test"))
    found = replace(rows.plant(farmer, 2), state=PlantState.CONFIRMED, ledger=PLANT_LEDGER)
    await stores.lease.release()
    await second.lease.take("another", await stores.lease.head())
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: stores.attempts.settle([succeeded(attempt)]),
        lambda: stores.attempts.settle([], Passage(101, 110, [])),
        lambda: stores.attempts.apply([closed]),
        lambda: stores.money.skip(200),
        lambda: stores.money.reconcile(100, {farmer.address: 90}),
        lambda: stores.plants.adopt([found], {}),
    ]
    before = await second.lease.head()
    for write in writes:
        with pytest.raises(LeaseLostError):
            await write()
    assert (await second.lease.head()).event == before.event
    assert await second.attempts.open() == [attempt]
    assert await second.harvests.open_pails() == [pail]
    assert await second.money.cursor() == Cursor(100, None, 100)
    await second.attempts.settle([succeeded(attempt)], Passage(101, 110, []))
    assert (await second.money.cursor()).ledger == 110
