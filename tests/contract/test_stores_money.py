"""MoneyStore: everything is booked once, balances follow the postings, and the checks find what is wrong."""

from dataclasses import replace
from uuid import UUID

import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import Farmer
from backend.domain.money import Cursor, Deposit, FarmerBooks, Passage
from backend.domain.settlement import (
    BalanceMoved,
    Effect,
    HarvestClosed,
    HarvestReopened,
    PailHarvested,
    PailPlanted,
)
from backend.ports.stores import Stores
from kale_chain.model import Counterparty, Memo, MemoKind
from tests.fixtures.rows import PLANT_LEDGER, Rows, confirmed, failed, harvested, succeeded
from tests.fixtures.stores import Query

BLOCK = 40
START = 100
DEPOSIT, STAKE, REWARD = 1000, 50, 9
CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
LOST = Failure(FailureReason.TIMEOUT, "never worked")


def deposit(farmer: Farmer, stroops: int = DEPOSIT, *, ledger: int = START + 1, number: int = 1) -> BalanceMoved:
    return BalanceMoved(farmer.farmer_id, stroops, ledger, f"{number:064x}")


def planted(farmer: Farmer, *, ledger: int = START + 2) -> PailPlanted:
    return PailPlanted(farmer.farmer_id, farmer.address, BLOCK, STAKE, ledger, "2" * 64)


def emptied(farmer: Farmer, *, ledger: int = START + 3) -> PailHarvested:
    return PailHarvested(farmer.farmer_id, farmer.address, BLOCK, STAKE, START + 2, REWARD, ledger, "3" * 64)


async def follow(stores: Stores, first: int, last: int, *effects: Effect) -> None:
    await stores.attempts.settle([], Passage(first, last, effects))


async def books(stores: Stores, farmer: Farmer) -> FarmerBooks:
    return (await stores.money.balances())[farmer.farmer_id]


async def in_order(stores: Stores) -> bool:
    return not (await stores.money.check())[1]


@pytest.fixture
async def farmer(stores: Stores, rows: Rows) -> Farmer:
    """A farmer, after the ledger was followed up to START."""
    await stores.money.skip(START)
    assert await stores.money.reconcile(START, {}) == 0
    (made,) = await rows.farmers(1)
    return made


async def test_life_of_a_strangers_pail_is_booked_from_what_ledgers_show(stores: Stores, farmer: Farmer) -> None:
    await follow(stores, 101, 101, deposit(farmer))
    await follow(stores, 102, 102, planted(farmer))
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT - STAKE, STAKE)
    (pail,) = await stores.harvests.open_pails()
    assert (pail.farmer_id, pail.block_index, pail.stake_stroops) == (farmer.farmer_id, BLOCK, STAKE)
    await follow(stores, 103, 103, emptied(farmer))
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT + REWARD, 0)
    now = await stores.farmers.get(farmer.farmer_id)
    assert (now.balance_stroops, now.earned_stroops, now.last_planted_block) == (DEPOSIT + REWARD, REWARD, BLOCK)
    assert await stores.harvests.open_pails() == []
    assert (await stores.money.cursor()).ledger == 103
    assert await in_order(stores)


async def test_passage_delivered_twice_is_booked_once(stores: Stores, farmer: Farmer) -> None:
    for _ in range(2):
        await follow(stores, 101, 103, deposit(farmer), planted(farmer), emptied(farmer))
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT + REWARD, 0)
    assert (await stores.money.cursor()).ledger == 103
    assert await in_order(stores)


async def test_pail_planted_and_emptied_within_one_passage_needs_no_order(stores: Stores, farmer: Farmer) -> None:
    await follow(stores, 101, 110, emptied(farmer), planted(farmer), deposit(farmer))
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT + REWARD, 0)
    assert (await stores.farmers.get(farmer.farmer_id)).balance_stroops == DEPOSIT + REWARD


async def test_own_plant_and_harvest_are_booked_once_with_what_the_ledgers_show(
    stores: Stores, rows: Rows, farmer: Farmer
) -> None:
    await follow(stores, 101, 101, deposit(farmer))
    plant = rows.plant(farmer, BLOCK, stake=STAKE)
    (attempt,) = await rows.request("r", [plant], block_index=BLOCK)
    seen = replace(planted(farmer, ledger=PLANT_LEDGER), transaction_hash=confirmed(plant).transaction_hash)
    await stores.attempts.settle([succeeded(attempt, [confirmed(plant)])], Passage(102, PLANT_LEDGER, [seen]))
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT - STAKE, STAKE)
    (pail,) = await stores.harvests.open_pails()
    harvest = rows.attempt(AttemptKind.HARVEST, pail.harvest_id, CHANNEL)
    await stores.harvests.begin([harvest])
    effect = harvested(pail.harvest_id, REWARD)
    shown = replace(emptied(farmer, ledger=200), transaction_hash=effect.transaction_hash)
    await stores.attempts.settle([succeeded(harvest, [effect])], Passage(PLANT_LEDGER + 1, 200, [shown]))
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT + REWARD, 0)
    assert await in_order(stores)


async def test_pending_plant_is_confirmed_by_the_pail_a_ledger_shows(
    stores: Stores, rows: Rows, farmer: Farmer
) -> None:
    plant = rows.plant(farmer, BLOCK, stake=STAKE)
    await rows.request("r", [plant], block_index=BLOCK)
    await follow(stores, 101, 102, deposit(farmer), planted(farmer))
    page = await stores.plants.events("r", 0)
    assert [(event.number, event.plant.ledger) for event in page.events] == [(1, START + 2)]
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT - STAKE, STAKE)


async def test_lost_stake_goes_to_loss_and_comes_from_staked(stores: Stores, farmer: Farmer, query: Query) -> None:
    await follow(stores, 101, 102, deposit(farmer), planted(farmer))
    (pail,) = await stores.harvests.open_pails()
    for _ in range(2):
        await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=True, failure=LOST)])
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT - STAKE, 0)
    assert query("SELECT reason FROM money_transfers WHERE kind = 'loss'") == [("never_worked",)]
    assert query("SELECT balance FROM money_accounts WHERE kind = 'loss'") == [(STAKE,)]
    assert await in_order(stores)


async def test_pail_held_to_be_lost_gives_its_stake_back_when_it_is_found_alive(stores: Stores, farmer: Farmer) -> None:
    await follow(stores, 101, 102, deposit(farmer), planted(farmer))
    (pail,) = await stores.harvests.open_pails()
    for lost in (True, False):
        await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=lost, failure=LOST)])
        await stores.attempts.apply([HarvestReopened(pail.harvest_id)])
        assert await books(stores, farmer) == FarmerBooks(DEPOSIT - STAKE, STAKE)
    assert await in_order(stores)


async def test_harvest_of_a_pail_held_to_be_lost_is_booked_all_the_same(stores: Stores, farmer: Farmer) -> None:
    await follow(stores, 101, 102, deposit(farmer), planted(farmer))
    (pail,) = await stores.harvests.open_pails()
    await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=True, failure=LOST)])
    for _ in range(2):
        await follow(stores, 103, 103, emptied(farmer))
    assert await books(stores, farmer) == FarmerBooks(DEPOSIT + REWARD, 0)
    assert await in_order(stores)


async def test_unexplained_outflow_is_booked_and_told(stores: Stores, farmer: Farmer, query: Query) -> None:
    await follow(stores, 101, 101, deposit(farmer), deposit(farmer, -300, number=2))
    assert await books(stores, farmer) == FarmerBooks(700, 0)
    kinds = query("SELECT kind, encode(transaction_hash, 'hex') FROM money_transfers ORDER BY id")
    assert kinds == [("deposit", f"{1:064x}"), ("outflow", f"{2:064x}")]


async def test_fees_of_successes_and_failures_are_booked(stores: Stores, rows: Rows, query: Query) -> None:
    attempts = [rows.attempt(AttemptKind.CHANNELS, UUID(int=number), CHANNEL) for number in (1, 2)]
    for attempt, end in zip(attempts, (succeeded, failed), strict=True):
        await stores.attempts.store(attempt)
        for _ in range(2):
            await stores.attempts.settle([end(attempt)])
    assert query("SELECT kind, balance FROM money_accounts WHERE asset = 'XLM' ORDER BY kind") == [
        ("fees", 600),
        ("master", -600),
    ]


async def test_stake_the_books_cannot_cover_is_filled_from_unobserved(
    stores: Stores, farmer: Farmer, query: Query
) -> None:
    await follow(stores, 101, 102, planted(farmer))
    assert await books(stores, farmer) == FarmerBooks(0, STAKE)
    assert query("SELECT reason FROM money_transfers WHERE kind = 'adjustment'") == [("shortfall",)]
    assert query("SELECT balance FROM money_accounts WHERE kind = 'unobserved'") == [(-STAKE,)]


@pytest.mark.usefixtures("farmer")
async def test_cursor_never_passes_over_ledgers(stores: Stores) -> None:
    assert await stores.money.cursor() == Cursor(START, None, START)
    await follow(stores, 105, 106)
    await follow(stores, 90, 99)
    assert (await stores.money.cursor()).ledger == START
    await follow(stores, 99, 104)
    assert (await stores.money.cursor()).ledger == 104


async def test_unread_ledgers_are_made_up_for_from_the_accounts(stores: Stores, farmer: Farmer) -> None:
    await follow(stores, 101, 102, deposit(farmer), planted(farmer))
    await stores.money.skip(500)
    await stores.money.skip(400)
    assert await stores.money.cursor() == Cursor(500, 103, START)
    balances = {farmer.address: 777}
    assert await stores.money.reconcile(499, balances) is None
    assert await stores.money.reconcile(500, balances) == 1
    assert await stores.money.cursor() == Cursor(500, None, 500)
    assert await books(stores, farmer) == FarmerBooks(777, STAKE)
    (pail,) = await stores.harvests.open_pails()
    gone = Failure(FailureReason.CONTRACT_REFUSED, "emptied in ledgers that were not read")
    await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=False, failure=gone)])
    assert await books(stores, farmer) == FarmerBooks(777, 0)
    assert await in_order(stores)


async def test_pail_from_before_the_books_were_set_equal_takes_nothing_from_available(
    stores: Stores, farmer: Farmer
) -> None:
    await stores.money.skip(500)
    await stores.money.reconcile(500, {farmer.address: 950})
    await follow(stores, 501, 501, replace(emptied(farmer, ledger=501)))
    assert await books(stores, farmer) == FarmerBooks(950 + STAKE + REWARD, 0)
    assert await in_order(stores)


async def test_books_that_differ_from_the_accounts_are_named(stores: Stores, farmer: Farmer) -> None:
    await follow(stores, 101, 101, deposit(farmer))
    assert await stores.money.differences(100, {}) is None
    assert await stores.money.differences(101, {farmer.address: DEPOSIT}) == []
    (difference,) = await stores.money.differences(101, {farmer.address: DEPOSIT + 1}) or ()
    assert (difference.kind, difference.key) == ("ledger_differs", str(farmer.farmer_id))


async def test_owners_include_farmers_being_onboarded(stores: Stores, rows: Rows) -> None:
    made = await rows.onboarding()
    assert await stores.money.owners() == {made.address: made.farmer_id}
    assert await stores.money.balances() == {made.farmer_id: FarmerBooks(0, 0)}


async def test_deposits_are_listed_with_their_senders_the_last_first(stores: Stores, farmer: Farmer) -> None:
    memo = Memo(MemoKind.TEXT, "hello")
    first, second = deposit(farmer), deposit(farmer, 7, number=2)
    sent = replace(first, counterparty=Counterparty(CHANNEL, memo))
    await follow(stores, START + 1, START + 1, sent, second)
    await follow(stores, START + 1, START + 2, sent)
    listed = await stores.money.deposits(farmer.farmer_id, before=None, size=10)
    assert [replace(one, number=0) for one in listed] == [
        Deposit(0, farmer.farmer_id, 7, START + 1, second.transaction_hash, None, None),
        Deposit(0, farmer.farmer_id, DEPOSIT, START + 1, first.transaction_hash, CHANNEL, memo),
    ]
    (last,) = await stores.money.deposits(farmer.farmer_id, before=None, size=1)
    assert await stores.money.deposits(farmer.farmer_id, before=last.number, size=10) == listed[1:]


async def test_outflows_and_other_farmers_deposits_are_not_listed(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    (other,) = await rows.farmers(1)
    await follow(stores, START + 1, START + 1, deposit(farmer))
    await follow(stores, START + 2, START + 2, deposit(farmer, -3, ledger=START + 2, number=3))
    assert await stores.money.deposits(other.farmer_id, before=None, size=10) == []
    assert [one.stroops for one in await stores.money.deposits(farmer.farmer_id, before=None, size=10)] == [DEPOSIT]
