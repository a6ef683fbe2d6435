"""Attributions: stored with every failure, from what the rows know, and demanded by the database itself."""

import psycopg
import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.blame import OWNERS
from backend.domain.failure import Failure, FailureReason
from backend.domain.settlement import HarvestClosed, PlantFailed
from backend.domain.work import WorkReport
from backend.ports.stores import Stores
from tests.fixtures.rows import POOLER, Rows, expired
from tests.fixtures.stores import Query

BLOCK = 40
UNWORKED = Failure(FailureReason.TIMEOUT, "the block ended before any work was accepted")
CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
STORED = "SELECT subject, cause, owner FROM attributions ORDER BY id"


async def test_failed_plant_is_attributed(stores: Stores, rows: Rows, query: Query) -> None:
    (farmer,) = await rows.farmers(1)
    plant = rows.plant(farmer, BLOCK)
    (attempt,) = await rows.request("r", [plant], block_index=BLOCK)
    gone = PlantFailed(plant.plant_id, Failure(FailureReason.EXPIRED, "no ledger took it"))
    await stores.attempts.settle([expired(attempt, [gone])])
    assert query(STORED) == [("plant", "not_included", "network")]


async def test_lost_stake_is_the_poolers_only_if_it_claimed_work(stores: Stores, rows: Rows, query: Query) -> None:
    farmers = await rows.farmers(2)
    await rows.planted(farmers, BLOCK)
    claimed = WorkReport("w", POOLER, BLOCK, farmers[0].farmer_id, bytes(32), 1, 64, 2)
    await stores.works.record(claimed)
    pails = await stores.harvests.open_pails()
    await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=True, failure=UNWORKED) for pail in pails])
    owners = dict(query("SELECT f.wallet_address, a.owner FROM attributions a JOIN farmers f ON f.id = a.farmer_id"))
    assert owners == {farmers[0].address: "pooler", farmers[1].address: "backend"}


async def test_late_work_and_refused_report_are_the_poolers(stores: Stores, rows: Rows, query: Query) -> None:
    (farmer,) = await rows.farmers(1)
    await rows.planted([farmer], BLOCK)
    late = Failure(FailureReason.TIMEOUT, "the pooler was too late")
    await stores.works.record(WorkReport("w", POOLER, BLOCK, farmer.farmer_id, failure=late))
    assert query(STORED) == [("work", "pooler_too_late", "pooler")]


async def test_missed_harvest_is_told_from_one_that_no_ledger_took(stores: Stores, rows: Rows, query: Query) -> None:
    await rows.planted(await rows.farmers(2), BLOCK)
    first, second = await stores.harvests.open_pails()
    attempt = rows.attempt(AttemptKind.HARVEST, first.harvest_id, CHANNEL)
    await stores.harvests.begin([attempt])
    await stores.attempts.settle([expired(attempt)])
    over = Failure(FailureReason.EXPIRED, "the pail's life ended")
    for pail in (first, second):
        await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=True, failure=over)])
    assert query(STORED) == [
        ("harvest", "harvest_not_included", "network"),
        ("harvest", "harvest_missed", "backend"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE plant_transactions SET status = 'failed', error_reason = 'expired'",
        "UPDATE harvest_transactions SET status = 'lost', error_reason = 'expired'",
    ],
)
async def test_failure_without_a_cause_is_refused_at_commit(rows: Rows, query: Query, statement: str) -> None:
    farmers = await rows.farmers(2)
    await rows.planted(farmers[:1], BLOCK)
    await rows.request("r", [rows.plant(farmers[1], BLOCK)], block_index=BLOCK)
    with pytest.raises(psycopg.errors.RestrictViolation, match="failed without a cause"):
        query(f"{statement} WHERE status = 'pending'")


def test_database_knows_the_causes_of_the_domain(query: Query) -> None:
    assert dict(query("SELECT cause, owner FROM failure_causes")) == {
        cause.value: owner.value for cause, owner in OWNERS.items()
    }
