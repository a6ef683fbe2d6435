"""What the books say of a period: everything once, and nothing can be added to a period that was stated."""

from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

import psycopg
import pytest

from backend.db import SqlStores
from backend.domain.failure import Failure, FailureReason
from backend.domain.money import Passage
from backend.domain.settlement import BalanceMoved, HarvestClosed, PlantConfirmed
from backend.domain.statement import closing_of
from backend.errors import InvalidRequestError, PeriodOpenError, UnknownFarmerError
from backend.ports.statements import StatementStore
from backend.ports.stores import Stores
from tests.fixtures.rows import Rows, bumped, harvested, succeeded

LOST = Failure(FailureReason.TIMEOUT, "never worked")
DAY = timedelta(days=1)


@pytest.fixture
def statements(stores: Stores) -> StatementStore:
    return cast("SqlStores", stores).statements


async def test_everything_is_stated_with_its_fee_even_what_moved_nothing(
    stores: Stores, rows: Rows, statements: StatementStore
) -> None:
    farmer, other = await rows.farmers(2)
    await stores.money.skip(100)
    await stores.money.reconcile(100, {})
    paid = [BalanceMoved(one.farmer_id, 1000, 101, f"{number:064x}") for number, one in enumerate((farmer, other))]
    await stores.attempts.settle([], Passage(101, 101, paid))
    for block, stake in ((1, 0), (2, 50), (3, 60)):
        plant = rows.plant(farmer, block, stake=stake)
        (attempt,) = await rows.request(f"r-{block}", [plant], block_index=block)
        bump = bumped(attempt)
        await stores.attempts.bump([bump])
        known = (attempt.hash if block == 1 else bump.hash).hex()
        await stores.attempts.settle([succeeded(attempt, [PlantConfirmed(plant.plant_id, 105, known)])])
    pails = {pail.block_index: pail for pail in await stores.harvests.open_pails()}
    await stores.attempts.apply([harvested(pails[1].harvest_id, 0), harvested(pails[2].harvest_id, 9)])
    await stores.attempts.apply([HarvestClosed(pails[3].harvest_id, lost=True, failure=LOST)])

    period = await statements.period(farmer.farmer_id, None, None)
    stated = [(entry.kind, entry.block, dict(entry.amounts), entry.fee) for entry in period.entries]
    assert stated == [
        ("deposit", None, {"available": 1000, "external": -1000}, None),
        ("stake", 1, {}, 300),
        ("stake", 2, {"available": -50, "staked": 50}, 300),
        ("stake", 3, {"available": -60, "staked": 60}, 300),
        ("harvest", 1, {}, None),
        ("harvest", 2, {"available": 59, "staked": -50, "mint": -9}, None),
        ("loss", 3, {"staked": -60, "loss": 60}, None),
    ]
    assert period.entries[-1].reason == "never_worked"
    assert {name: period.opening[name] for name in ("available", "staked")} == {"available": 0, "staked": 0}
    assert closing_of(period.opening, period.entries) == period.closing
    assert period.closing["available"] == 949
    for cut in [entry.booked_at for entry in period.entries]:
        before = await statements.period(farmer.farmer_id, None, cut)
        after = await statements.period(farmer.farmer_id, cut, period.ends)
        assert (before.closing, after.closing) == (after.opening, period.closing)
        assert [*before.entries, *after.entries] == list(period.entries)


async def test_period_ends_before_the_oldest_transaction_under_way(
    rows: Rows, statements: StatementStore, application_url: str
) -> None:
    (farmer,) = await rows.farmers(1)
    with psycopg.connect(application_url) as connection:
        began = connection.execute("SELECT now()").fetchone()
        assert began is not None
        assert (await statements.period(farmer.farmer_id, None, None)).ends == began[0]
        with pytest.raises(PeriodOpenError):
            await statements.period(farmer.farmer_id, None, began[0] + timedelta(microseconds=1))
    assert (await statements.period(farmer.farmer_id, None, None)).ends > began[0]


async def test_period_that_cannot_be_is_refused(rows: Rows, statements: StatementStore) -> None:
    (farmer,) = await rows.farmers(1)
    now = datetime.now(UTC)
    with pytest.raises(PeriodOpenError):
        await statements.period(farmer.farmer_id, None, now + DAY)
    with pytest.raises(InvalidRequestError, match="begins after it ends"):
        await statements.period(farmer.farmer_id, now - DAY, now - 2 * DAY)
    with pytest.raises(UnknownFarmerError):
        await statements.period(uuid4(), None, None)
