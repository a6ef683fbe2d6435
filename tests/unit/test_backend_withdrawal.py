"""The rules of payments out: who can be paid, when, how much in a day, and what is signed for it."""

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import MuxedAccount

from backend.domain import wallet_requests
from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.farmer import FarmerKey
from backend.domain.outcome import settlement_of
from backend.domain.payout import PayoutAddress, Reach, destination_of, effective_time, in_effect
from backend.domain.payout_books import cut_of
from backend.domain.plant import FarmView
from backend.domain.result import TransactionResult
from backend.domain.settlement import Effect, ExitRewound, WithdrawalFailed, WithdrawalPaid
from backend.domain.signing import MemoKind as SignedMemoKind
from backend.domain.signing import PaymentLeg, PayoutMemo
from backend.domain.withdrawal import (
    Destination,
    OpenWithdrawal,
    PayoutReason,
    Withdrawal,
    WithdrawalKind,
    WithdrawalState,
    exit_estimate,
    id_hash,
    is_quiet,
    paid_by,
    payout_intent,
    unfit,
)
from backend.errors import InvalidRequestError, PayoutLockedError, WithdrawalLimitError
from kale_chain.model import NOBODY, Block, Counterparty, Farm, Ledger, Memo, MemoKind, Receiver

FARMER = "GBU6EHI5LZ7S45SY3L3IPXQFTJS6FYJDIPPDJK255EPQRFBUY2D4LL5E"
PAYEE = "GD24YFBNSLOHUT6XC2AIQJVCRJYW3I4CSK22ZVQLKC7XGUWA62RZ3PIA"
TREASURY = "GARQH3YZS4HNC6F7GCXAI5L7GBUAJ2D4ATKUVQB3EILFMH2VHPLCNVE7"
CONTRACT = "CDL74RF5BLYR2YBLCCI7F5FB6TPSCLKEJUBSD2RSVWZ4YHF3VMFAIGWA"
MUXED = MuxedAccount(PAYEE, 7).account_muxed or ""
OPENED = 1_000_000
FIT = Receiver(exists=True, room=500, authorised=True)
NUMBER = Memo(MemoKind.ID, "7")


def withdrawal(kind: WithdrawalKind = WithdrawalKind.PAYMENT, to: Destination | None = None) -> Withdrawal:
    return Withdrawal(
        withdrawal_id=uuid4(),
        farmer_id=uuid4(),
        address=FARMER,
        kind=kind,
        idempotency_key="w-1",
        destination=to or Destination(PAYEE),
        stroops=100,
        cut_stroops=12,
        state=WithdrawalState.APPROVED,
        created_ledger=500,
        requested_time=OPENED,
    )


def view(age: int, *, index: int = 7) -> FarmView:
    block = Block.unseen(OPENED)
    return FarmView(Farm(index, block, paused=False, ledger=500, live_until=9999), Ledger(500, OPENED + age), block)


@pytest.mark.parametrize(
    ("receiver", "to", "reason"),
    [
        (FIT, Destination(PAYEE), None),
        (Receiver(exists=False), Destination(PAYEE), PayoutReason.DESTINATION_MISSING),
        (replace(FIT, room=None), Destination(PAYEE), PayoutReason.DESTINATION_NO_TRUSTLINE),
        (replace(FIT, authorised=False), Destination(PAYEE), PayoutReason.DESTINATION_NOT_AUTHORISED),
        (replace(FIT, room=99), Destination(PAYEE), PayoutReason.DESTINATION_FULL),
        (replace(FIT, room=100), Destination(PAYEE), None),
        (replace(FIT, memo_required=True), Destination(PAYEE), PayoutReason.MEMO_REQUIRED),
        (replace(FIT, memo_required=True), Destination(PAYEE, NUMBER), None),
        (replace(FIT, memo_required=True), Destination(MUXED), None),
    ],
)
def test_destination_takes_the_payment_or_it_is_said_why_not(
    receiver: Receiver, to: Destination, reason: PayoutReason | None
) -> None:
    refusal = unfit(receiver, to, 100)
    assert (refusal.reason if refusal else None) == reason
    assert refusal is None or to.address in refusal.message


def applied(code: str | None, *, successful: bool = False) -> tuple[Effect, ...]:
    """What the end of a withdrawal's transaction does."""
    attempt = Attempt(bytes(32), None, AttemptKind.WITHDRAWAL, uuid4(), FARMER, 1, "AAAA", 510, 500)
    result = TransactionResult(
        bytes(32), 505, OPENED, successful, 200, "txSUCCESS" if successful else "txFAILED", code, None, None
    )
    settlement = settlement_of(attempt, result)
    assert settlement.state is (AttemptState.SUCCEEDED if successful else AttemptState.FAILED)
    return tuple(settlement.effects)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("no_destination", PayoutReason.DESTINATION_MISSING),
        ("no_trust", PayoutReason.DESTINATION_NO_TRUSTLINE),
        ("not_authorized", PayoutReason.DESTINATION_NOT_AUTHORISED),
        ("line_full", PayoutReason.DESTINATION_FULL),
        ("src_not_authorized", PayoutReason.SOURCE_FROZEN),
        ("underfunded", PayoutReason.BALANCE_SHORT),
        ("malformed", PayoutReason.LEDGER_REFUSED),
    ],
)
def test_payment_that_a_ledger_refuses_fails_for_good(code: str, reason: PayoutReason) -> None:
    (effect,) = applied(code)
    assert isinstance(effect, WithdrawalFailed)
    assert effect.refusal.reason is reason


def test_other_ends_pay_begin_again_or_are_tried_again() -> None:
    assert isinstance(applied(None, successful=True)[0], WithdrawalPaid)
    assert isinstance(applied("invalid_limit")[0], ExitRewound)
    assert applied(None) == ()  # the fee account was short, say


def test_signed_is_what_was_approved_and_nothing_else() -> None:
    one = withdrawal()
    intent = payout_intent(one, treasury=TREASURY, xlm_stroops=9)
    assert intent.payments == (PaymentLeg(PAYEE, 100), PaymentLeg(TREASURY, 12))
    assert intent.memo == PayoutMemo(SignedMemoKind.HASH, id_hash(one.withdrawal_id))
    assert (intent.withdrawal_id, intent.closes_account) == (one.withdrawal_id, False)
    with_memo = payout_intent(withdrawal(to=Destination(PAYEE, NUMBER)), treasury=None)
    assert (with_memo.payments, with_memo.memo) == ((PaymentLeg(PAYEE, 100),), PayoutMemo(SignedMemoKind.ID, "7"))
    assert payout_intent(withdrawal(to=Destination(MUXED)), treasury=None).memo == PayoutMemo(SignedMemoKind.NONE)


def test_exit_takes_xlm_along_and_is_signed_anew_under_another_id_with_other_terms() -> None:
    one = withdrawal(WithdrawalKind.EXIT)
    intent = payout_intent(one, treasury=TREASURY, xlm_stroops=9)
    assert intent.payments[-1] == PaymentLeg(PAYEE, 9, native=True)
    assert intent.closes_account
    assert intent == payout_intent(one, treasury=TREASURY, xlm_stroops=9)
    other = payout_intent(replace(one, stroops=101), treasury=TREASURY, xlm_stroops=9)
    assert other.withdrawal_id != intent.withdrawal_id


def test_payment_is_known_by_its_memo_or_its_terms() -> None:
    hashed = withdrawal()
    exchange = replace(withdrawal(to=Destination(PAYEE, NUMBER)), stroops=50, cut_stroops=0)
    both = [hashed, exchange]
    assert paid_by(both, 1, Counterparty(PAYEE, Memo(MemoKind.HASH, id_hash(hashed.withdrawal_id)))) is hashed
    assert paid_by(both, 50, Counterparty(PAYEE, NUMBER)) is exchange
    for stroops, other in (
        (51, Counterparty(PAYEE, NUMBER)),
        (50, Counterparty(TREASURY, NUMBER)),
        (50, NOBODY),
    ):
        assert paid_by(both, stroops, other) is None


@pytest.mark.parametrize(
    ("age", "quiet"), [(0, True), (15, True), (16, False), (259, False), (260, True), (315, True), (316, False)]
)
def test_nothing_is_paid_while_a_block_opens(age: int, quiet: bool) -> None:
    assert is_quiet(view(age)) is quiet


@pytest.mark.parametrize(
    ("last_block", "age", "seconds"),
    [(None, 50, 20), (6, 50, 80), (7, 50, 250 + 80), (8, 50, 550 + 80), (7, 400, 80)],
)
def test_exit_is_estimated_from_the_last_pail(last_block: int | None, age: int, seconds: int) -> None:
    key = FarmerKey(uuid4(), FARMER, "00" * 32, bytes(65), 1)
    pails = 0 if last_block is None else 2
    opened = OpenWithdrawal(
        withdrawal(WithdrawalKind.EXIT),
        key,
        in_flight=False,
        due_stroops=0,
        pails=pails,
        last_block=last_block,
        others=0,
    )
    assert exit_estimate(opened, view(age)).time == OPENED + age + seconds


def test_day_leaves_the_smaller_room() -> None:
    assert Reach(0, 0, 0).left(10**18, 10**18) is None
    assert Reach(0, 100, 0).left(40, 900) == 60
    assert Reach(0, 100, 50).left(40, 45) == 5
    assert Reach(0, 100, 50).left(140, 45) == 0
    Reach(0, 100, 50).check(5, 40, 45)
    with pytest.raises(WithdrawalLimitError):
        Reach(0, 100, 50).check(6, 40, 45)


def test_locked_address_is_the_only_one_and_its_change_waits() -> None:
    home, other = Destination(PAYEE, NUMBER), Destination(TREASURY)
    assert destination_of(None, [], 5) is None
    assert destination_of(other, [], 5) == other
    addresses = [PayoutAddress(home, locked=True, effective_time=5)]
    assert in_effect(addresses, 4) is None
    assert destination_of(None, addresses, 5) == destination_of(home, addresses, 5) == home
    for asked in (other, Destination(PAYEE), Destination(MUXED)):
        with pytest.raises(PayoutLockedError):
            destination_of(asked, addresses, 5)
    assert effective_time([], 5, 60) == 5
    assert effective_time(addresses, 5, 60) == 65
    changed = [*addresses, PayoutAddress(other, locked=False, effective_time=65)]
    assert destination_of(None, changed, 64) == home
    assert destination_of(home, changed, 65) == home
    assert effective_time(changed, 65, 60) == 65


@given(reward=st.integers(0, 2**62), basis_points=st.integers(0, 10_000))
def test_cut_is_the_floor_and_the_farmer_keeps_the_rest(reward: int, basis_points: int) -> None:
    cut = cut_of(reward, basis_points)
    assert cut * 10_000 <= reward * basis_points < (cut + 1) * 10_000
    assert 0 <= cut <= reward


@pytest.mark.parametrize(
    ("address", "memo", "told"),
    [
        (CONTRACT, None, "contract"),
        ("S" + "A" * 55, None, "no Stellar address"),
        ("", None, "no Stellar address"),
        (PAYEE.lower(), None, "no Stellar address"),
        (MUXED, NUMBER, "muxed"),
        (PAYEE, Memo(MemoKind.TEXT, ""), "28 bytes"),
        (PAYEE, Memo(MemoKind.TEXT, "ü" * 15), "28 bytes"),
        (PAYEE, Memo(MemoKind.TEXT, "a\0b"), "zero"),
        (PAYEE, Memo(MemoKind.ID, str(2**64)), "not within"),
        (PAYEE, Memo(MemoKind.HASH, "ab"), "64 hexadecimal"),
    ],
)
def test_malformed_destination_is_refused_with_the_reason(address: str, memo: Memo | None, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        wallet_requests.destination(address, memo)


def test_destination_is_taken_as_given() -> None:
    hashed = wallet_requests.destination(PAYEE, Memo(MemoKind.HASH, "AB" * 32))
    assert hashed == Destination(PAYEE, Memo(MemoKind.HASH, "ab" * 32))
    assert wallet_requests.destination(MUXED, None).account == PAYEE
    assert wallet_requests.destination(PAYEE, None).account == PAYEE


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "ä"])
def test_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequestError, match="idempotency_key"):
        wallet_requests.idempotency_key(key)
