"""FarmerStore: creating, changing, onboarding and listing farmers."""

import asyncio
from uuid import UUID, uuid4

import pytest

from backend.db.migrations import SQL_DIRECTORY
from backend.domain.attempt import AttemptKind
from backend.domain.farmer import FarmerChange, FarmerState, NewFarmer
from backend.domain.settlement import BatchReleased, FarmersOnboarded
from backend.errors import (
    FarmerDepartedError,
    PreconditionError,
    StoreConflictError,
    TransitionError,
    UnknownFarmerError,
)
from backend.ports.stores import Stores
from tests.fixtures.rows import Rows, expired, harvested, new_key, succeeded
from tests.fixtures.stores import Query

MASTER = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"


async def test_created_farmer_is_onboarding_with_its_settings(stores: Stores) -> None:
    key = new_key()
    farmer = await stores.farmers.create(NewFarmer(key, "r1", stake_basis_points=1234, harvest_after_blocks=3))
    assert (farmer.farmer_id, farmer.address, farmer.state) == (key.farmer_id, key.address, FarmerState.ONBOARDING)
    assert (farmer.stake_basis_points, farmer.harvest_after_blocks) == (1234, 3)
    assert (farmer.balance_stroops, farmer.earned_stroops, farmer.open_stake_stroops) == (0, 0, 0)
    assert farmer.last_planted_block is None
    assert farmer.created_at.utcoffset() is not None
    assert await stores.farmers.get(key.farmer_id) == farmer


async def test_repeated_request_returns_the_first_farmer(stores: Stores, query: Query) -> None:
    first = await stores.farmers.create(NewFarmer(new_key(), "r1"))
    again = await stores.farmers.create(NewFarmer(new_key(), "r1", stake_basis_points=1))
    assert again == first
    assert query("SELECT count(*) FROM farmers") == [(1,)]


async def test_same_request_from_many_at_once_makes_one_farmer(stores: Stores) -> None:
    made = await asyncio.gather(*(stores.farmers.create(NewFarmer(new_key(), "r1")) for _ in range(8)))
    assert len({farmer.farmer_id for farmer in made}) == 1


async def test_same_address_twice_is_a_conflict(stores: Stores) -> None:
    key = new_key()
    await stores.farmers.create(NewFarmer(key, "r1"))
    with pytest.raises(StoreConflictError):
        await stores.farmers.create(NewFarmer(key, "r2"))


async def test_unknown_farmer_is_an_error(stores: Stores) -> None:
    with pytest.raises(UnknownFarmerError):
        await stores.farmers.get(uuid4())
    with pytest.raises(UnknownFarmerError):
        await stores.farmers.update(uuid4(), FarmerChange(harvest_after_blocks=1))


async def test_pages_cover_all_farmers_once_in_order(stores: Stores, rows: Rows) -> None:
    made = await rows.farmers(5)
    await rows.onboarding()
    seen: list[UUID] = []
    after: UUID | None = None
    while page := await stores.farmers.page(after=after, state=FarmerState.ACTIVE, size=2):
        seen += [farmer.farmer_id for farmer in page]
        after = page[-1].farmer_id
    assert seen == [farmer.farmer_id for farmer in made]
    assert len(await stores.farmers.page(after=None, state=None, size=100)) == 6


async def test_update_changes_only_what_is_given(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    changed = await stores.farmers.update(farmer.farmer_id, FarmerChange(stake_basis_points=5000))
    assert (changed.stake_basis_points, changed.harvest_after_blocks) == (5000, 5)
    changed = await stores.farmers.update(farmer.farmer_id, FarmerChange(harvest_after_blocks=9))
    assert (changed.stake_basis_points, changed.harvest_after_blocks, changed.state) == (5000, 9, FarmerState.ACTIVE)
    assert changed.updated_at > farmer.updated_at


async def test_stake_is_a_part_of_the_balance_or_fixed(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)

    async def changed(change: FarmerChange) -> tuple[int, int | None, int | None]:
        stored = await stores.farmers.update(farmer.farmer_id, change)
        (candidate,) = await stores.plants.candidates(7, None)
        return stored.stake_basis_points, stored.fixed_stake_stroops, candidate.fixed_stake_stroops

    assert await changed(FarmerChange(fixed_stake_stroops=0)) == (1000, 0, 0)
    assert await changed(FarmerChange(fixed_stake_stroops=70)) == (1000, 70, 70)
    assert await changed(FarmerChange(harvest_after_blocks=2)) == (1000, 70, 70)
    assert await changed(FarmerChange(stake_basis_points=500)) == (500, None, None)


async def test_labels_take_the_place_of_those_before(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    assert (await stores.farmers.get(farmer.farmer_id)).labels == {}
    for labels in ({"team": "a", "note": 'ü "x"'}, {"team": "b"}, {}):
        assert (await stores.farmers.update(farmer.farmer_id, FarmerChange(labels=labels))).labels == labels
        kept = await stores.farmers.update(farmer.farmer_id, FarmerChange(harvest_after_blocks=3))
        assert kept.labels == labels


async def test_departed_farmer_can_no_longer_be_changed(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    await stores.farmers.update(farmer.farmer_id, FarmerChange(state=FarmerState.DEPARTED))
    with pytest.raises(FarmerDepartedError):
        await stores.farmers.update(farmer.farmer_id, FarmerChange(stake_basis_points=1))


async def test_onboarding_farmer_is_not_activated_by_hand(stores: Stores, rows: Rows) -> None:
    farmer = await rows.onboarding()
    with pytest.raises(TransitionError):
        await stores.farmers.update(farmer.farmer_id, FarmerChange(state=FarmerState.ACTIVE))


async def test_sample_farmer_cannot_become_active(stores: Stores, query: Query) -> None:
    query((SQL_DIRECTORY / "003_test_data.sql").read_text())
    sample = (await stores.farmers.page(after=None, state=None, size=1))[0]
    with pytest.raises(PreconditionError, match="sample data without a key"):
        await stores.farmers.update(sample.farmer_id, FarmerChange(state=FarmerState.ACTIVE))
    assert await stores.farmers.addresses() == {}


async def test_addresses_are_those_of_existing_accounts(stores: Stores, rows: Rows) -> None:
    made = await rows.farmers(2)
    await rows.onboarding()
    await stores.farmers.update(made[0].farmer_id, FarmerChange(state=FarmerState.INACTIVE))
    assert await stores.farmers.addresses() == {farmer.address: farmer.farmer_id for farmer in made}


async def test_batch_takes_waiting_farmers_until_it_ends(stores: Stores, rows: Rows) -> None:
    made = [await rows.onboarding() for _ in range(3)]
    waiting = await stores.farmers.awaiting(2)
    assert [key.farmer_id for key in waiting] == [farmer.farmer_id for farmer in made[:2]]
    batch = uuid4()
    attempt = rows.attempt(AttemptKind.ONBOARDING, batch, MASTER)
    await stores.farmers.open_batch(batch, [key.farmer_id for key in waiting], attempt)
    assert [key.farmer_id for key in await stores.farmers.awaiting(10)] == [made[2].farmer_id]
    await stores.attempts.settle([succeeded(attempt, [FarmersOnboarded(batch)])])
    states = [(await stores.farmers.get(farmer.farmer_id)).state for farmer in made]
    assert states == [FarmerState.ACTIVE, FarmerState.ACTIVE, FarmerState.ONBOARDING]


async def test_released_batch_waits_again(stores: Stores, rows: Rows) -> None:
    farmer = await rows.onboarding()
    batch = uuid4()
    attempt = rows.attempt(AttemptKind.ONBOARDING, batch, MASTER)
    await stores.farmers.open_batch(batch, [farmer.farmer_id], attempt)
    await stores.attempts.settle([expired(attempt, [BatchReleased(batch)])])
    (key,) = await stores.farmers.awaiting(10)
    assert key.address == farmer.address
    assert len(key.sealed_seed) == 65


async def test_farmer_in_a_batch_joins_no_other_and_nothing_is_stored(stores: Stores, rows: Rows) -> None:
    first, second = await rows.onboarding(), await rows.onboarding()
    batch = uuid4()
    attempt = rows.attempt(AttemptKind.ONBOARDING, batch, MASTER)
    await stores.farmers.open_batch(batch, [first.farmer_id], attempt)
    await stores.attempts.settle([expired(attempt)])
    other = uuid4()
    with pytest.raises(StoreConflictError):
        await stores.farmers.open_batch(
            other, [first.farmer_id, second.farmer_id], rows.attempt(AttemptKind.ONBOARDING, other, MASTER)
        )
    assert [key.farmer_id for key in await stores.farmers.awaiting(10)] == [second.farmer_id]
    assert await stores.attempts.open() == []


async def test_farmer_departed_while_onboarding_stays_departed(stores: Stores, rows: Rows) -> None:
    farmer = await rows.onboarding()
    batch = uuid4()
    attempt = rows.attempt(AttemptKind.ONBOARDING, batch, MASTER)
    await stores.farmers.open_batch(batch, [farmer.farmer_id], attempt)
    await stores.farmers.update(farmer.farmer_id, FarmerChange(state=FarmerState.DEPARTED))
    await stores.attempts.settle([succeeded(attempt, [FarmersOnboarded(batch)])])
    assert (await stores.farmers.get(farmer.farmer_id)).state is FarmerState.DEPARTED


async def test_sums_follow_the_farmers_pails(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    await rows.planted([farmer], 1, stake=5)
    await rows.planted([farmer], 2, stake=11)
    planted = await stores.farmers.get(farmer.farmer_id)
    assert (planted.open_stake_stroops, planted.last_planted_block) == (16, 2)
    first = next(pail for pail in await stores.harvests.open_pails() if pail.block_index == 1)
    await stores.attempts.apply([harvested(first.harvest_id, 1000)])
    after = await stores.farmers.get(farmer.farmer_id)
    assert (after.open_stake_stroops, after.earned_stroops, after.lost_stake_stroops) == (11, 1000, 0)
