"""WithdrawalStore: what is set aside is promised once, and every step is taken once."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from backend.domain.attempt import Attempt, AttemptKind
from backend.domain.farmer import Farmer, FarmerChange, FarmerState
from backend.domain.money import FarmerBooks, Passage
from backend.domain.payout import PayoutAddress, Reach, Switch
from backend.domain.settlement import BalanceMoved, ExitRewound, WithdrawalFailed, WithdrawalPaid
from backend.domain.withdrawal import (
    Destination,
    NewWithdrawal,
    PayoutReason,
    Refusal,
    Withdrawal,
    WithdrawalKind,
    WithdrawalState,
    id_hash,
)
from backend.errors import (
    FarmerDepartedError,
    FarmerLeavingError,
    InsufficientBalanceError,
    RequestReusedError,
    StoreConflictError,
    UnknownFarmerError,
    UnknownWithdrawalError,
    WithdrawalLimitError,
    WithdrawalsPausedError,
)
from backend.ports.stores import Stores
from kale_chain.model import Counterparty, Memo, MemoKind
from tests.fixtures.rows import Rows, expired, failed, harvested, succeeded
from tests.fixtures.stores import Query

START, BALANCE, NOW = 100, 1000, 1_750_000_000
PAYEE = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
ANY = Reach(0, 0, 0)
NO = Refusal(PayoutReason.OPERATOR, "no")


@pytest.fixture
async def farmer(stores: Stores, rows: Rows) -> Farmer:
    """A farmer with 1,000 stroops."""
    await stores.money.skip(START)
    assert await stores.money.reconcile(START, {}) == 0
    (made,) = await rows.farmers(1)
    await stores.attempts.settle(
        [], Passage(START + 1, START + 1, [BalanceMoved(made.farmer_id, BALANCE, START + 1, "1" * 64)])
    )
    return await stores.farmers.get(made.farmer_id)


def new(
    farmer: Farmer, stroops: int = 400, *, key: str = "w-1", kind: WithdrawalKind = WithdrawalKind.PAYMENT
) -> NewWithdrawal:
    to = None if kind is WithdrawalKind.CUT else Destination(PAYEE)
    return NewWithdrawal(farmer.farmer_id, kind, key, to, stroops, NOW, START + 1, takes_cut=True)


def leave(farmer: Farmer, *, key: str = "bye") -> NewWithdrawal:
    return new(farmer, 0, key=key, kind=WithdrawalKind.EXIT)


def attempt(rows: Rows, withdrawal: Withdrawal) -> Attempt:
    return rows.attempt(AttemptKind.WITHDRAWAL, withdrawal.withdrawal_id, withdrawal.address)


def outflow(farmer: Farmer, stroops: int, memo: Memo | None = None, *, number: int = 7) -> BalanceMoved:
    return BalanceMoved(farmer.farmer_id, -stroops, START + 2, f"{number:064x}", Counterparty(PAYEE, memo))


async def follow(stores: Stores, *effects: BalanceMoved) -> None:
    await stores.attempts.settle([], Passage(START + 2, START + 2, effects))


async def sent(stores: Stores, rows: Rows, withdrawal: Withdrawal) -> Attempt:
    await stores.withdrawals.approve(withdrawal.withdrawal_id, keeps_cut=True)
    made = attempt(rows, withdrawal)
    await stores.withdrawals.begin(withdrawal.withdrawal_id, made)
    return made


async def now(stores: Stores, withdrawal: Withdrawal) -> Withdrawal:
    return await stores.withdrawals.get(withdrawal.farmer_id, withdrawal.withdrawal_id)


async def in_order(stores: Stores) -> bool:
    return not (await stores.money.check())[1]


async def test_request_sets_aside_once_whatever_is_repeated(stores: Stores, farmer: Farmer) -> None:
    stored = await stores.withdrawals.request(new(farmer), ANY)
    assert (stored.state, stored.stroops, stored.cut_stroops) == (WithdrawalState.RESERVED, 400, 0)
    assert stored.address == farmer.address
    assert await stores.withdrawals.request(new(farmer), ANY) == stored
    for other in (new(farmer, 401), replace(new(farmer), destination=None), leave(farmer, key="w-1")):
        with pytest.raises(RequestReusedError):
            await stores.withdrawals.request(other, ANY)
    await stores.withdrawals.request(new(farmer, 600, key="w-2"), ANY)
    with pytest.raises(InsufficientBalanceError) as caught:
        await stores.withdrawals.request(new(farmer, 1, key="w-3"), ANY)
    assert caught.value.spendable_stroops == 0
    with pytest.raises(UnknownFarmerError):
        await stores.withdrawals.request(replace(new(farmer), farmer_id=uuid4()), ANY)


async def test_same_key_is_another_withdrawal_for_another_farmer(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    (other,) = await rows.farmers(1)
    with pytest.raises(InsufficientBalanceError):
        await stores.withdrawals.request(new(other), ANY)
    stored = await stores.withdrawals.request(new(farmer), ANY)
    with pytest.raises(UnknownWithdrawalError):
        await stores.withdrawals.get(other.farmer_id, stored.withdrawal_id)


async def test_concurrent_requests_promise_no_more_than_there_is(stores: Stores, farmer: Farmer) -> None:
    answers = await asyncio.gather(
        *(stores.withdrawals.request(new(farmer, 400, key=f"w-{number}"), ANY) for number in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Withdrawal) for answer in answers) == 2
    assert {type(answer) for answer in answers} == {Withdrawal, InsufficientBalanceError}


async def test_limits_count_what_a_day_has_seen_and_not_what_was_refused(
    stores: Stores, rows: Rows, farmer: Farmer
) -> None:
    reach = Reach(NOW - 10, 500, 700)
    first = await stores.withdrawals.request(new(farmer, 400), reach)
    with pytest.raises(WithdrawalLimitError) as caught:
        await stores.withdrawals.request(new(farmer, 101, key="w-2"), reach)
    assert caught.value.left_stroops == 100
    (other,) = await rows.farmers(1)
    await stores.attempts.apply([BalanceMoved(other.farmer_id, BALANCE, START + 1, "8" * 64)])
    with pytest.raises(WithdrawalLimitError) as caught:
        await stores.withdrawals.request(new(other, 301), reach)
    assert caught.value.left_stroops == 300
    assert await stores.withdrawals.refuse(first.withdrawal_id, NO)
    await stores.withdrawals.request(new(farmer, 500, key="w-3"), reach)
    late = replace(reach, since_time=NOW)
    await stores.withdrawals.request(new(farmer, 500, key="w-4"), late)


async def test_plants_and_withdrawals_take_nothing_from_each_other(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    (made,) = await rows.request("r-1", [rows.plant(farmer, 1, stake=700)], block_index=1)
    await stores.attempts.settle([expired(made)])  # its plant is still pending
    with pytest.raises(InsufficientBalanceError):
        await stores.withdrawals.request(new(farmer, 301), ANY)
    await stores.withdrawals.request(new(farmer, 300), ANY)
    with pytest.raises(StoreConflictError, match="plant_transactions_covered"):
        await rows.request("r-2", [rows.plant(farmer, 2, stake=1)], block_index=2)
    await rows.request("r-3", [rows.plant(farmer, 3, stake=0)], block_index=3)


async def test_candidate_can_stake_what_is_neither_set_aside_nor_only_on_the_ledger(
    stores: Stores, farmer: Farmer
) -> None:
    (candidate,) = await stores.plants.candidates(1, None)
    assert candidate.stakeable(BALANCE + 5) == BALANCE + 5
    await stores.withdrawals.request(new(farmer, 400), ANY)
    (candidate,) = await stores.plants.candidates(1, None)
    assert candidate.stakeable(BALANCE + 5) == 600
    assert candidate.stakeable(500) == 100
    assert candidate.stakeable(300) == 0


async def test_payment_is_booked_as_the_withdrawal_once(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    stored = await stores.withdrawals.request(new(farmer), ANY)
    made = await sent(stores, rows, stored)
    paid = WithdrawalPaid(stored.withdrawal_id, START + 2, f"{7:064x}")
    passage = Passage(START + 2, START + 2, [outflow(farmer, 400)])
    for _ in range(2):
        await stores.attempts.settle([succeeded(made, [paid])], passage)
    ended = await now(stores, stored)
    assert (ended.state, ended.ledger, ended.transaction_hash) == (WithdrawalState.PAID, START + 2, f"{7:064x}")
    assert (await stores.money.balances())[farmer.farmer_id] == FarmerBooks(600, 0)
    assert await stores.withdrawals.live() == []
    assert await in_order(stores)
    assert not await stores.withdrawals.refuse(stored.withdrawal_id, NO)
    await stores.attempts.apply([WithdrawalFailed(stored.withdrawal_id, NO)])
    assert await now(stores, stored) == ended


@pytest.mark.parametrize("state", ["reserved", "approved"])
async def test_payment_whose_transaction_no_row_knows_is_known_by_its_memo(
    stores: Stores, farmer: Farmer, state: str
) -> None:
    stored = await stores.withdrawals.request(new(farmer), ANY)
    if state == "approved":
        await stores.withdrawals.approve(stored.withdrawal_id, keeps_cut=True)
    await follow(stores, outflow(farmer, 400, Memo(MemoKind.HASH, id_hash(stored.withdrawal_id))))
    assert (await now(stores, stored)).state is WithdrawalState.PAID
    assert (await stores.money.balances())[farmer.farmer_id] == FarmerBooks(600, 0)
    assert await in_order(stores)


async def test_payment_with_an_exchanges_memo_is_known_by_its_terms_one_for_one(stores: Stores, farmer: Farmer) -> None:
    memo = Memo(MemoKind.ID, "77")
    asked = [replace(new(farmer, 300, key=f"w-{n}"), destination=Destination(PAYEE, memo)) for n in range(2)]
    first, second = [await stores.withdrawals.request(one, ANY) for one in asked]
    await follow(stores, outflow(farmer, 300, memo))
    assert [(await now(stores, one)).state for one in (first, second)] == [
        WithdrawalState.PAID,
        WithdrawalState.RESERVED,
    ]
    await follow(stores, outflow(farmer, 300, Memo(MemoKind.ID, "78"), number=8))
    assert (await now(stores, second)).state is WithdrawalState.RESERVED


async def test_request_whose_payment_was_booked_before_is_paid_already(stores: Stores, farmer: Farmer) -> None:
    asked = new(farmer)
    await follow(stores, outflow(farmer, 400, asked.own_memo))
    stored = await stores.withdrawals.request(asked, ANY)
    assert (stored.state, stored.transaction_hash) == (WithdrawalState.PAID, f"{7:064x}")
    assert (await stores.money.balances())[farmer.farmer_id] == FarmerBooks(600, 0)
    assert await in_order(stores)


async def test_failed_payment_frees_what_was_set_aside(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    stored = await stores.withdrawals.request(new(farmer, BALANCE), ANY)
    made = await sent(stores, rows, stored)
    refusal = Refusal(PayoutReason.DESTINATION_FULL, "full")
    await stores.attempts.settle([failed(made, [WithdrawalFailed(stored.withdrawal_id, refusal)])])
    ended = await now(stores, stored)
    assert (ended.state, ended.refusal) == (WithdrawalState.FAILED, refusal)
    await stores.withdrawals.request(new(farmer, BALANCE, key="w-2"), ANY)


async def test_expired_payment_is_sent_again_and_an_open_one_is_not(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    stored = await stores.withdrawals.request(new(farmer), ANY)
    with pytest.raises(StoreConflictError):
        await stores.withdrawals.begin(stored.withdrawal_id, attempt(rows, stored))
    first = await sent(stores, rows, stored)
    (opened,) = await stores.withdrawals.live()
    assert opened.in_flight
    with pytest.raises(StoreConflictError):
        await stores.withdrawals.begin(stored.withdrawal_id, attempt(rows, stored))
    await stores.attempts.settle([expired(first)])
    (opened,) = await stores.withdrawals.live()
    assert (opened.in_flight, opened.withdrawal.state) == (False, WithdrawalState.SENDING)
    await stores.withdrawals.begin(stored.withdrawal_id, attempt(rows, stored))


async def test_paused_switch_refuses_every_payment(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    assert not (await stores.withdrawals.switch()).paused
    stored = await stores.withdrawals.request(new(farmer), ANY)
    await stores.withdrawals.approve(stored.withdrawal_id, keeps_cut=True)
    await stores.withdrawals.turn(Switch(paused=True, reason="a leak"))
    with pytest.raises(WithdrawalsPausedError):
        await stores.withdrawals.begin(stored.withdrawal_id, attempt(rows, stored))
    assert (await now(stores, stored)).state is WithdrawalState.APPROVED
    await stores.withdrawals.turn(Switch(paused=False, reason="found"))
    await stores.withdrawals.begin(stored.withdrawal_id, attempt(rows, stored))


async def test_exit_waits_for_pails_and_plants_and_other_withdrawals(
    stores: Stores, rows: Rows, farmer: Farmer
) -> None:
    payment = await stores.withdrawals.request(new(farmer, 100), ANY)
    await rows.planted([farmer], 1, stake=50)
    exit_ = await stores.withdrawals.request(leave(farmer), ANY)
    assert (await stores.farmers.get(farmer.farmer_id)).state is FarmerState.INACTIVE
    (pail,) = await stores.harvests.open_pails()
    assert pail.harvest_after_blocks == 1

    async def let_go() -> bool:
        return await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=False, reach=ANY)

    assert not await let_go()
    await stores.attempts.apply([harvested(pail.harvest_id, 9)])
    assert not await let_go()
    assert await stores.withdrawals.refuse(payment.withdrawal_id, NO)
    assert await let_go()
    assert (await now(stores, exit_)).stroops == BALANCE + 9
    assert not await let_go()


async def test_farmer_who_leaves_does_nothing_else_and_has_departed_once_paid(
    stores: Stores, rows: Rows, farmer: Farmer
) -> None:
    exit_ = await stores.withdrawals.request(leave(farmer), ANY)
    back = FarmerChange(state=FarmerState.ACTIVE)
    with pytest.raises(FarmerLeavingError):
        await stores.farmers.update(farmer.farmer_id, back)
    for asked in (new(farmer), leave(farmer, key="again")):
        with pytest.raises(FarmerLeavingError):
            await stores.withdrawals.request(asked, ANY)
    assert await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=False, reach=ANY)
    made = await sent(stores, rows, exit_)
    paid = WithdrawalPaid(exit_.withdrawal_id, START + 2, f"{7:064x}")
    passage = Passage(START + 2, START + 2, [outflow(farmer, BALANCE)])
    await stores.attempts.settle([succeeded(made, [paid])], passage)
    assert (await stores.farmers.get(farmer.farmer_id)).state is FarmerState.DEPARTED
    with pytest.raises(FarmerDepartedError):
        await stores.withdrawals.request(leave(farmer, key="again"), ANY)
    assert await in_order(stores)


async def test_exit_that_met_a_deposit_begins_again(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    exit_ = await stores.withdrawals.request(leave(farmer), ANY)
    assert await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=False, reach=ANY)
    made = await sent(stores, rows, exit_)
    deposit = BalanceMoved(farmer.farmer_id, 5, START + 2, "9" * 64)
    end = failed(made, [ExitRewound(exit_.withdrawal_id)])
    await stores.attempts.settle([end], Passage(START + 2, START + 2, [deposit]))
    again = await now(stores, exit_)
    assert (again.state, again.stroops) == (WithdrawalState.REQUESTED, 0)
    assert await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=False, reach=ANY)
    assert (await now(stores, exit_)).stroops == BALANCE + 5
    await sent(stores, rows, exit_)


async def test_exit_beyond_the_days_limit_waits_until_an_operator_lets_it_go(stores: Stores, farmer: Farmer) -> None:
    exit_ = await stores.withdrawals.request(leave(farmer), ANY)
    little = Reach(NOW - 10, BALANCE - 1, 0)
    assert not await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=False, reach=little)
    assert await stores.withdrawals.waive_limit(exit_.withdrawal_id)
    assert await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=False, reach=little)
    assert not await stores.withdrawals.waive_limit(exit_.withdrawal_id)


async def with_cut(stores: Stores, rows: Rows, farmer: Farmer) -> UUID:
    """Sets a cut of 12.5 %, and has the farmer harvest 99 stroops from a block that it concerns."""
    assert await stores.withdrawals.set_cut(1250, 2)
    assert not await stores.withdrawals.set_cut(1250, 9)
    await rows.planted([farmer], 1, stake=0)
    await rows.planted([farmer], 2, stake=0)
    pails = await stores.harvests.open_pails()
    await stores.attempts.apply([harvested(pail.harvest_id, 99) for pail in pails])
    return farmer.farmer_id


async def test_cut_is_rounded_down_and_concerns_later_blocks_alone(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    farmer_id = await with_cut(stores, rows, farmer)
    assert await stores.withdrawals.owing(1) == [(farmer_id, 12)]
    assert await stores.withdrawals.owing(13) == []
    assert (await stores.farmers.get(farmer_id)).earned_stroops == 198
    assert (await stores.money.balances())[farmer_id] == FarmerBooks(BALANCE + 198, 0)
    (candidate,) = await stores.plants.candidates(3, None)
    assert candidate.held_stroops == 12
    with pytest.raises(InsufficientBalanceError):
        await stores.withdrawals.request(new(farmer, BALANCE + 187), ANY)
    assert await in_order(stores)


async def test_cut_is_paid_along_once(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    await with_cut(stores, rows, farmer)
    first = await stores.withdrawals.request(new(farmer, 100), ANY)
    second = await stores.withdrawals.request(new(farmer, 100, key="w-2"), ANY)
    assert (first.cut_stroops, second.cut_stroops) == (12, 0)
    made = await sent(stores, rows, first)
    paid = WithdrawalPaid(first.withdrawal_id, START + 2, f"{7:064x}")
    passage = Passage(START + 2, START + 2, [outflow(farmer, 112)])
    for _ in range(2):
        await stores.attempts.settle([succeeded(made, [paid])], passage)
    assert await stores.withdrawals.owing(1) == []
    assert (await stores.money.balances())[farmer.farmer_id] == FarmerBooks(BALANCE + 198 - 112, 0)
    assert await in_order(stores)


async def test_cut_that_cannot_be_paid_stays_owed_and_keeps_an_exit_waiting(
    stores: Stores, rows: Rows, farmer: Farmer
) -> None:
    farmer_id = await with_cut(stores, rows, farmer)
    first = await stores.withdrawals.request(new(farmer, 100), ANY)
    await stores.withdrawals.approve(first.withdrawal_id, keeps_cut=False)
    assert (await now(stores, first)).cut_stroops == 0
    assert await stores.withdrawals.refuse(first.withdrawal_id, NO)
    assert await stores.withdrawals.owing(1) == [(farmer_id, 12)]
    exit_ = await stores.withdrawals.request(leave(farmer), ANY)
    assert not await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=False, reach=ANY)
    assert await stores.withdrawals.reserve(exit_.withdrawal_id, takes_cut=True, reach=ANY)
    reserved = await now(stores, exit_)
    assert (reserved.stroops, reserved.cut_stroops) == (BALANCE + 198 - 12, 12)


async def test_cut_alone_is_one_payment_at_a_time(stores: Stores, rows: Rows, farmer: Farmer) -> None:
    await with_cut(stores, rows, farmer)
    alone = await stores.withdrawals.request(new(farmer, 0, key="cut", kind=WithdrawalKind.CUT), ANY)
    assert (alone.state, alone.stroops, alone.cut_stroops) == (WithdrawalState.RESERVED, 0, 12)
    assert await stores.withdrawals.owing(1) == []


async def test_payout_addresses_are_kept_in_order(stores: Stores, farmer: Farmer) -> None:
    assert list(await stores.withdrawals.payout(farmer.farmer_id)) == []
    memo = Memo(MemoKind.TEXT, "me")
    set_ = [
        PayoutAddress(Destination(PAYEE, memo), locked=True, effective_time=NOW),
        PayoutAddress(Destination(PAYEE), locked=False, effective_time=NOW + 5),
    ]
    for one in set_:
        await stores.withdrawals.set_payout(farmer.farmer_id, one)
    assert list(await stores.withdrawals.payout(farmer.farmer_id)) == set_
    with pytest.raises(UnknownFarmerError):
        await stores.withdrawals.payout(uuid4())


async def test_withdrawals_are_listed_the_last_first(stores: Stores, farmer: Farmer) -> None:
    made = [await stores.withdrawals.request(new(farmer, 10, key=f"w-{n}"), ANY) for n in range(3)]
    await stores.withdrawals.refuse(made[0].withdrawal_id, NO)

    async def page(after: UUID | None = None, *states: WithdrawalState, size: int = 9) -> list[str]:
        found = await stores.withdrawals.page(farmer.farmer_id, after=after, states=states, size=size)
        return [one.idempotency_key for one in found]

    assert await page() == ["w-2", "w-1", "w-0"]
    assert await page(size=1) == ["w-2"]
    assert await page(made[2].withdrawal_id) == ["w-1", "w-0"]
    assert await page(None, WithdrawalState.REFUSED) == ["w-0"]
    assert len(await stores.withdrawals.page(None, after=None, states=(), size=9)) == 3


async def test_check_finds_a_payment_that_was_not_booked(stores: Stores, farmer: Farmer, query: Query) -> None:
    stored = await stores.withdrawals.request(new(farmer), ANY)
    await stores.attempts.apply([WithdrawalPaid(stored.withdrawal_id, START + 2, "5" * 64)])
    (violation,) = (await stores.money.check())[1]
    assert (violation.kind, violation.key) == ("withdrawal_unbooked", str(stored.withdrawal_id))
    assert query("SELECT 1") == [(1,)]
