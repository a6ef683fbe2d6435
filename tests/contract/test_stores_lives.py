"""HarvestStore: lives of pails, their alarms, and harvests that were closed although their pails live."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import Farmer
from backend.domain.harvest import HarvestState, KnownHarvest
from backend.domain.settlement import HarvestClosed, HarvestReopened
from backend.errors import StoreConflictError
from backend.ports.stores import Stores
from tests.fixtures.rows import Rows, harvested
from tests.fixtures.stores import Query

BLOCK = 40
CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
LOST = Failure(FailureReason.EXPIRED, "the pail's life ended")


async def planted(stores: Stores, rows: Rows, farmers: Sequence[Farmer]) -> list[UUID]:
    """Ids of the pending harvests of farmers planted with 9 stroops each."""
    await rows.planted(farmers, BLOCK, stake=9)
    ids = {pail.farmer_id: pail.harvest_id for pail in await stores.harvests.open_pails()}
    return [ids[farmer.farmer_id] for farmer in farmers]


async def test_unharvested_pails_come_by_their_ends_even_while_being_harvested(stores: Stores, rows: Rows) -> None:
    unknown, later, sooner = await planted(stores, rows, await rows.farmers(3))
    await stores.harvests.set_lives({later: 900, sooner: 800})
    await stores.harvests.begin([rows.attempt(AttemptKind.HARVEST, sooner, CHANNEL)])
    lives = await stores.harvests.unharvested()
    assert [(life.pail.harvest_id, life.pail.live_until) for life in lives] == [
        (sooner, 800),
        (later, 900),
        (unknown, None),
    ]
    assert {life.alarm_percent for life in lives} == {0}


async def test_alarm_is_kept_and_recorded_once_for_a_block(stores: Stores, rows: Rows, query: Query) -> None:
    first, second, third = await planted(stores, rows, await rows.farmers(3))
    await stores.harvests.set_alarms({first: 25, second: 25, third: 50})
    await stores.harvests.set_alarms({first: 25, second: 0})
    await stores.attempts.apply([harvested(third, 1)])
    await stores.harvests.set_alarms({third: 75})
    alarms = {life.pail.harvest_id: life.alarm_percent for life in await stores.harvests.unharvested()}
    assert alarms == {first: 25, second: 0}
    assert query(
        "SELECT block_index, farmer_id, data FROM block_events WHERE event_type = 'life_alarm' ORDER BY id"
    ) == [
        (BLOCK, None, {"percent": 25, "pails": 2, "stake_amount": 18}),
        (BLOCK, None, {"percent": 50, "pails": 1, "stake_amount": 9}),
    ]


async def test_longer_life_is_recorded_and_a_first_one_is_not(stores: Stores, rows: Rows, query: Query) -> None:
    first, second = await planted(stores, rows, await rows.farmers(2))
    await stores.harvests.set_lives({first: 800, second: 801})
    await stores.harvests.set_lives({first: 900, second: 901})
    assert query("SELECT block_index, data FROM block_events WHERE event_type = 'life_extended'") == [
        (BLOCK, {"pails": 2, "stake_amount": 18, "live_until": 900})
    ]


async def test_closed_harvest_is_pending_again_once_reopened(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(3)
    lost, taken, confirmed = await planted(stores, rows, farmers)
    await stores.harvests.set_lives({lost: 800})
    await stores.attempts.apply(
        [
            HarvestClosed(lost, lost=True, failure=LOST),
            HarvestClosed(taken, lost=False, failure=LOST),
            harvested(confirmed, 5),
        ]
    )
    assert (await stores.farmers.get(farmers[0].farmer_id)).lost_stake_stroops == 9
    await stores.attempts.apply([HarvestReopened(lost), HarvestReopened(taken), HarvestReopened(confirmed)])
    lives = await stores.harvests.unharvested()
    assert {(life.pail.harvest_id, life.pail.live_until) for life in lives} == {(lost, None), (taken, None)}
    again = await stores.farmers.get(farmers[0].farmer_id)
    assert (again.lost_stake_stroops, again.open_stake_stroops) == (0, 9)
    await stores.attempts.apply([harvested(lost, 7)])
    assert (await stores.farmers.get(farmers[0].farmer_id)).earned_stroops == 7


async def test_reopening_is_recorded_with_what_had_closed_it(stores: Stores, rows: Rows, query: Query) -> None:
    (farmer,) = await rows.farmers(1)
    (pail,) = await planted(stores, rows, [farmer])
    await stores.attempts.apply([HarvestClosed(pail, lost=True, failure=LOST)])
    await stores.attempts.apply([HarvestReopened(pail)])
    assert query("SELECT farmer_id, data FROM block_events WHERE event_type = 'harvest_reopened'") == [
        (
            farmer.farmer_id,
            {
                "harvest_id": str(pail),
                "status": "lost",
                "error_reason": "expired",
                "error_message": "the pail's life ended",
            },
        )
    ]


async def test_harvests_of_blocks_are_known_in_whatever_state(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(3)
    pending, lost, confirmed = await planted(stores, rows, farmers)
    await rows.planted(farmers[:1], BLOCK + 1)
    await stores.attempts.apply([HarvestClosed(lost, lost=True, failure=LOST), harvested(confirmed, 1)])
    known = await stores.harvests.known([BLOCK, BLOCK + 7])
    assert known == {
        (farmers[0].address, BLOCK): KnownHarvest(pending, HarvestState.PENDING),
        (farmers[1].address, BLOCK): KnownHarvest(lost, HarvestState.LOST),
        (farmers[2].address, BLOCK): KnownHarvest(confirmed, HarvestState.CONFIRMED),
    }
    assert [harvest.closed for harvest in known.values()].count(True) == 1


async def test_extension_is_an_attempt_of_no_row(stores: Stores, rows: Rows) -> None:
    attempt = rows.attempt(AttemptKind.EXTENSION, UUID(int=7), CHANNEL)
    await stores.attempts.store(attempt)
    assert await stores.attempts.open() == [attempt]
    with pytest.raises(StoreConflictError):
        await stores.attempts.store(rows.attempt(AttemptKind.EXTENSION, UUID(int=8), CHANNEL))
