"""HarvestStore and EventStore: open pails, their lives, detected blocks and sums."""

from dataclasses import replace

from backend.domain.attempt import AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.settlement import HarvestClosed
from backend.domain.work import WorkReport
from backend.ports.stores import PoolCounts, Stores
from kale_chain.planning.inputs import LossHistory
from tests.fixtures.rows import PLANT_LEDGER, POOLER, Rows, expired, harvested, succeeded
from tests.fixtures.stores import Query

BLOCK = 40
CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
TAKEN = Failure(FailureReason.CONTRACT_REFUSED, "someone else harvested the pail")


async def test_confirmed_plant_opens_its_pail(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    await rows.planted([farmer], BLOCK, stake=9)
    (pail,) = await stores.harvests.open_pails()
    assert (pail.farmer_id, pail.address, pail.block_index) == (farmer.farmer_id, farmer.address, BLOCK)
    assert (pail.stake_stroops, pail.planted_ledger, pail.live_until) == (9, PLANT_LEDGER, None)
    assert pail.harvest_after_blocks == 5


async def test_pail_being_harvested_is_not_open_until_the_attempt_expires(stores: Stores, rows: Rows) -> None:
    first, second = await rows.farmers(2)
    await rows.planted([first, second], BLOCK)
    pails = {pail.farmer_id: pail for pail in await stores.harvests.open_pails()}
    attempt = rows.attempt(AttemptKind.HARVEST, pails[first.farmer_id].harvest_id, CHANNEL)
    await stores.harvests.begin([attempt])
    assert await stores.harvests.open_pails() == [pails[second.farmer_id]]
    await stores.attempts.settle([expired(attempt)])
    assert len(await stores.harvests.open_pails()) == 2


async def test_harvest_is_confirmed_with_its_reward(stores: Stores, rows: Rows, query: Query) -> None:
    farmers = await rows.farmers(1)
    await rows.planted(farmers, BLOCK)
    (pail,) = await stores.harvests.open_pails()
    attempt = rows.attempt(AttemptKind.HARVEST, pail.harvest_id, CHANNEL)
    await stores.harvests.begin([attempt])
    await stores.attempts.settle([succeeded(attempt, [harvested(pail.harvest_id, 12345)])])
    assert await stores.harvests.open_pails() == []
    row = query("SELECT status, reward_amount, ledger_sequence, confirmed_at IS NOT NULL FROM harvest_transactions")
    assert row == [("confirmed", 12345, 200, True)]


async def test_losses_are_counted_among_the_pails_that_came_to_an_end(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(4)
    await rows.planted(farmers[:3], BLOCK)
    await rows.planted(farmers[3:], BLOCK + 1)
    first, second, _, later = await stores.harvests.open_pails()
    assert await stores.harvests.losses(0) == LossHistory(0, 0)
    ends = [(first, True), (second, False), (later, True)]
    await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=lost, failure=TAKEN) for pail, lost in ends])
    assert await stores.harvests.losses(BLOCK) == LossHistory(3, 2)
    assert await stores.harvests.losses(BLOCK + 1) == LossHistory(1, 1)
    assert await stores.harvests.losses(BLOCK + 2) == LossHistory(0, 0)


async def test_lost_pail_counts_as_lost_stake_and_a_taken_one_does_not(
    stores: Stores, rows: Rows, query: Query
) -> None:
    farmers = await rows.farmers(2)
    await rows.planted(farmers, BLOCK, stake=9)
    lost, taken = await stores.harvests.open_pails()
    await stores.attempts.apply(
        [HarvestClosed(lost.harvest_id, lost=True, failure=TAKEN), HarvestClosed(taken.harvest_id, False, TAKEN)]  # noqa: FBT003
    )
    sums = {farmer.farmer_id: await stores.farmers.get(farmer.farmer_id) for farmer in farmers}
    assert (sums[lost.farmer_id].lost_stake_stroops, sums[lost.farmer_id].open_stake_stroops) == (9, 0)
    assert (sums[taken.farmer_id].lost_stake_stroops, sums[taken.farmer_id].open_stake_stroops) == (0, 0)
    events = set(query("SELECT event_type, farmer_id FROM block_events WHERE event_type LIKE 'harvest%'"))
    assert events == {("harvest_lost", lost.farmer_id), ("harvest_taken", taken.farmer_id)}


async def test_lives_are_kept_while_pending(stores: Stores, rows: Rows) -> None:
    await rows.planted(await rows.farmers(2), BLOCK)
    first, second = await stores.harvests.open_pails()
    await stores.attempts.apply([harvested(second.harvest_id, 1)])
    await stores.harvests.set_lives({first.harvest_id: 900, second.harvest_id: 900})
    assert await stores.harvests.open_pails() == [replace(first, live_until=900)]


async def test_block_is_detected_once_by_each_pooler(stores: Stores, query: Query) -> None:
    assert await stores.events.record_block(BLOCK, POOLER, opened_at=1_700_000_000, ledger=100)
    assert not await stores.events.record_block(BLOCK, POOLER, opened_at=1_700_000_001, ledger=101)
    assert await stores.events.record_block(BLOCK, "other", opened_at=1_700_000_000, ledger=100)
    assert query("SELECT pooler_id, data FROM block_events ORDER BY id") == [
        (POOLER, {"opened_at": 1_700_000_000, "ledger_sequence": 100}),
        ("other", {"opened_at": 1_700_000_000, "ledger_sequence": 100}),
    ]


async def test_counts_are_sums_over_the_rows(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(4)
    await rows.planted(farmers[:3], BLOCK)
    await rows.request("r", [rows.plant(farmers[3], BLOCK)], block_index=BLOCK)
    await stores.works.record(WorkReport("w", POOLER, BLOCK, farmers[0].farmer_id, bytes(32), 1, 64, 2))
    assert await stores.events.counts(BLOCK) == PoolCounts(
        active_farmers=4, planted=3, unworked=2, open_pails=3, open_attempts=1
    )
    assert await stores.events.counts(BLOCK + 1) == PoolCounts(
        active_farmers=4, planted=0, unworked=0, open_pails=3, open_attempts=1
    )
