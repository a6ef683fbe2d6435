"""A withdrawal: KALE on its way out of a farmer's account, from the request to the proof that it was paid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID, uuid5

from backend.domain.farmer import FarmerKey
from backend.domain.plant import FarmView
from backend.domain.signing import MemoKind as SignedMemoKind
from backend.domain.signing import PaymentLeg, PayoutIntent, PayoutMemo
from kale_chain.model import BLOCK_SECONDS, Counterparty, Memo, MemoKind, Receiver
from kale_chain.xdr.addresses import AddressKind, address_kind, base_account

_PAYMENT_SECONDS = 20
"""From the last harvest to the payment: about four ledgers."""
_HARVEST_SECONDS = 60
"""From the end of a block to its harvests: two ledgers, or twelve where many are due."""
DAY_SECONDS = 86_400
"""What a daily limit counts: the last so many seconds of ledger time."""
QUIET_BEFORE_SECONDS, QUIET_AFTER_SECONDS = 40, 15
"""Ledger time before and after the opening of a block in which no payment is sent: a farmer has one transaction at a
time, which may wait for six ledgers, and its plant comes first then."""


class WithdrawalKind(StrEnum):
    """What is paid and why; the values are those of the column withdrawals.kind."""

    PAYMENT = "payment"
    EXIT = "exit"
    """Everything, and the account's end."""
    CUT = "cut"
    """Nothing but the pool's cut."""


class WithdrawalState(StrEnum):
    """Where a withdrawal stands; the values are those of the column withdrawals.status."""

    REQUESTED = "requested"
    """Nothing is reserved yet: an exit that waits for its pails, or met a deposit at its end and begins again."""
    RESERVED = "reserved"
    """The amount is set aside: it can be neither staked nor withdrawn again."""
    APPROVED = "approved"
    """Destination and limits were checked; it may be signed."""
    SENDING = "sending"
    """A signed transaction is stored."""
    PAID = "paid"
    """A ledger holds the payment."""
    REFUSED = "refused"
    """It was never sent, and will not be; nothing is set aside any more."""
    FAILED = "failed"
    """It was sent and will not be any more: the ledger refused it, or cannot be read where it may be."""


TRANSITIONS: Mapping[WithdrawalState, frozenset[WithdrawalState]] = {
    WithdrawalState.REQUESTED: frozenset({WithdrawalState.RESERVED, WithdrawalState.REFUSED, WithdrawalState.PAID}),
    WithdrawalState.RESERVED: frozenset(
        {WithdrawalState.APPROVED, WithdrawalState.REFUSED, WithdrawalState.PAID, WithdrawalState.FAILED}
    ),
    WithdrawalState.APPROVED: frozenset(
        {WithdrawalState.SENDING, WithdrawalState.REFUSED, WithdrawalState.PAID, WithdrawalState.FAILED}
    ),
    WithdrawalState.SENDING: frozenset({WithdrawalState.PAID, WithdrawalState.FAILED, WithdrawalState.REQUESTED}),
    WithdrawalState.PAID: frozenset(),
    WithdrawalState.REFUSED: frozenset(),
    WithdrawalState.FAILED: frozenset(),
}
RESERVING = frozenset({WithdrawalState.RESERVED, WithdrawalState.APPROVED, WithdrawalState.SENDING})
"""States in which an amount is set aside."""
LIVE = RESERVING | {WithdrawalState.REQUESTED}
"""States that something may still follow."""


class PayoutReason(StrEnum):
    """Why nothing is paid; the values are those of the column withdrawals.error_reason."""

    DESTINATION_MISSING = "destination_missing"
    DESTINATION_NO_TRUSTLINE = "destination_no_trustline"
    DESTINATION_NOT_AUTHORISED = "destination_not_authorised"
    DESTINATION_FULL = "destination_full"
    MEMO_REQUIRED = "memo_required"
    SOURCE_FROZEN = "source_frozen"
    BALANCE_SHORT = "balance_short"
    LEDGER_REFUSED = "ledger_refused"
    UNREAD_LEDGERS = "unread_ledgers"
    KEY_UNAVAILABLE = "key_unavailable"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is paid, for programs and in a sentence for people."""

    reason: PayoutReason
    message: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Where KALE is to go: an account (G…) or a muxed address (M…), and the memo that its owner asks for."""

    address: str
    memo: Memo | None = None

    @property
    def account(self) -> str:
        """The account (G…) behind the address."""
        return base_account(self.address) if self.muxed else self.address

    @property
    def muxed(self) -> bool:
        """Whether the address itself says whose of the account's customers it is."""
        return address_kind(self.address) is AddressKind.MUXED


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal as it is stored; amounts in stroops of KALE."""

    withdrawal_id: UUID
    farmer_id: UUID
    address: str
    """The farmer's address, which pays."""
    kind: WithdrawalKind
    idempotency_key: str
    destination: Destination | None
    """None: nobody but the pool is paid."""
    stroops: int
    """What the destination gets; of an exit 0 until it is reserved."""
    cut_stroops: int
    """What the pool gets in the same transaction; 0 until it is reserved."""
    state: WithdrawalState
    created_ledger: int
    """The last ledger that was followed when it was requested."""
    requested_time: int
    """Ledger time of the request, Unix seconds."""
    refusal: Refusal | None = None
    """Why it was refused or failed."""
    ledger: int | None = None
    """The ledger that paid."""
    transaction_hash: str | None = None
    """The transaction that paid, 64 hexadecimal digits."""

    @property
    def total(self) -> int:
        """What leaves the farmer's account."""
        return self.stroops + self.cut_stroops

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self.state not in LIVE

    def cut_within(self, paid_stroops: int) -> int:
        """The pool's cut in a payment of so much: all of it, or nothing where it was left out."""
        return self.cut_stroops if paid_stroops == self.total else 0


@dataclass(frozen=True, slots=True)
class NewWithdrawal:
    """What is asked for: a payment, an exit or a payment of the pool's cut."""

    farmer_id: UUID
    kind: WithdrawalKind
    idempotency_key: str
    destination: Destination | None
    stroops: int
    requested_time: int
    """Ledger time, Unix seconds."""
    ledger: int
    """The last closed ledger."""
    takes_cut: bool
    """Whether what is owed to the pool is paid along."""

    @property
    def withdrawal_id(self) -> UUID:
        """Its id: the same for ever for the same farmer and idempotency key, even in a restored database."""
        return uuid5(self.farmer_id, f"withdrawal {self.idempotency_key}")

    @property
    def own_memo(self) -> Memo:
        """The memo that nobody else's payment has."""
        return Memo(MemoKind.HASH, id_hash(self.withdrawal_id))


@dataclass(frozen=True, slots=True)
class OpenWithdrawal:
    """A live withdrawal and what its next step depends on."""

    withdrawal: Withdrawal
    key: FarmerKey = field(repr=False)
    in_flight: bool
    """A transaction of it is open."""
    due_stroops: int
    """What the farmer owes the pool."""
    pails: int
    """The farmer's unharvested pails and unfinished plants."""
    last_block: int | None
    """The latest block of these."""
    others: int
    """Other live withdrawals of the farmer."""


def payout_intent(withdrawal: Withdrawal, *, treasury: str | None, xlm_stroops: int = 0) -> PayoutIntent:
    """What pays a withdrawal, for whoever signs it.

    Args:
        withdrawal: An approved withdrawal.
        treasury: Who gets the pool's cut.
        xlm_stroops: XLM on an account that is to end: it goes to the destination as well.
    """
    closes = withdrawal.kind is WithdrawalKind.EXIT
    address = None if withdrawal.destination is None else withdrawal.destination.address
    wanted = [(address, withdrawal.stroops, False), (treasury, withdrawal.cut_stroops, False)]
    if closes:
        wanted.append((address, xlm_stroops, True))
    legs = tuple(PaymentLeg(to, stroops, native) for to, stroops, native in wanted if to is not None and stroops)
    signing_id = withdrawal.withdrawal_id
    if closes:
        # An exit that met a late deposit is signed again with other terms, once the first is proven to have failed.
        signing_id = uuid5(signing_id, repr(legs))
    memo = payout_memo(withdrawal)
    said = PayoutMemo(SignedMemoKind.NONE) if memo is None else PayoutMemo(SignedMemoKind(memo.kind), memo.value)
    return PayoutIntent(signing_id, legs, said, closes)


def payout_memo(withdrawal: Withdrawal) -> Memo | None:
    """The destination's own memo; else the id's hash, by which the payment is known again; none for a muxed address."""
    destination = withdrawal.destination
    if destination is not None and destination.memo is not None:
        return destination.memo
    if destination is not None and destination.muxed:
        return None
    return Memo(MemoKind.HASH, id_hash(withdrawal.withdrawal_id))


def id_hash(withdrawal_id: UUID) -> str:
    """SHA-256 of a withdrawal's id in its text form, 64 hexadecimal digits."""
    return hashlib.sha256(str(withdrawal_id).encode()).hexdigest()


def paid_by(candidates: Iterable[Withdrawal], stroops: int, other: Counterparty) -> Withdrawal | None:
    """Which live withdrawal of a farmer a payment out of its account carried out; None: none of them.

    Only the pool holds the key, so that a payment with the terms of a withdrawal is that withdrawal, even where the row
    of its transaction was lost with a database.

    Args:
        candidates: The farmer's live withdrawals, oldest first.
        stroops: How much left the account.
        other: Who got it, and the payment's memo.
    """
    live = list(candidates)
    for one in live:
        if other.memo == Memo(MemoKind.HASH, id_hash(one.withdrawal_id)):
            return one
    for one in live:
        paid = one.state in RESERVING and one.destination is not None and one.total == stroops
        if paid and one.destination == Destination(other.address or "", other.memo):
            return one
    return None


def unfit(receiver: Receiver, destination: Destination, stroops: int) -> Refusal | None:
    """Why an account cannot take so much KALE now; None: it can."""
    address = destination.address
    if not receiver.exists:
        return Refusal(PayoutReason.DESTINATION_MISSING, f"the account {address} does not exist on the ledger")
    if receiver.room is None:
        return Refusal(
            PayoutReason.DESTINATION_NO_TRUSTLINE,
            f"the account {address} has no KALE trustline; add one for the pool's KALE and its issuer first",
        )
    if not receiver.authorised:
        return Refusal(
            PayoutReason.DESTINATION_NOT_AUTHORISED, f"the issuer does not let the account {address} hold KALE"
        )
    if stroops > receiver.room:
        return Refusal(
            PayoutReason.DESTINATION_FULL,
            f"the trustline of {address} takes only {receiver.room} stroops more; raise its limit",
        )
    if receiver.memo_required and destination.memo is None and not destination.muxed:
        return Refusal(
            PayoutReason.MEMO_REQUIRED,
            f"the account {address} takes no payment without a memo, by which it tells its customers apart; "
            "give the memo that its owner told you",
        )
    return None


_LEDGER_REFUSALS: Mapping[str, tuple[PayoutReason, str]] = {
    "no_destination": (PayoutReason.DESTINATION_MISSING, "the destination's account does not exist"),
    "no_trust": (PayoutReason.DESTINATION_NO_TRUSTLINE, "the destination has no KALE trustline"),
    "not_authorized": (PayoutReason.DESTINATION_NOT_AUTHORISED, "the issuer does not let the destination hold KALE"),
    "line_full": (PayoutReason.DESTINATION_FULL, "the destination's trustline is full"),
    "src_not_authorized": (
        PayoutReason.SOURCE_FROZEN,
        "the issuer of KALE has frozen the farmer's account; nothing can leave it until it is unfrozen",
    ),
    "src_no_trust": (PayoutReason.BALANCE_SHORT, "the farmer's account has no KALE trustline"),
    "underfunded": (PayoutReason.BALANCE_SHORT, "the farmer's account holds less than is to be paid"),
}


MEETS_MORE = frozenset({"invalid_limit"})
"""Codes with which a ledger refuses the end of an account that got something meanwhile."""


def ledger_refusal(operation_code: str) -> Refusal:
    """Why a ledger refused a payment for good."""
    unlisted = (PayoutReason.LEDGER_REFUSED, f"the ledger refused the payment with {operation_code}")
    return Refusal(*_LEDGER_REFUSALS.get(operation_code, unlisted))


def is_quiet(view: FarmView) -> bool:
    """Whether a block opens just now, so that farmers' accounts are left to their plants."""
    left = view.turnover_time - view.ledger.close_time
    opened_just_now = left >= BLOCK_SECONDS - QUIET_AFTER_SECONDS
    return opened_just_now or -QUIET_AFTER_SECONDS <= left <= QUIET_BEFORE_SECONDS


@dataclass(frozen=True, slots=True)
class ExitEstimate:
    """When an exit is expected to be paid: ledger time, Unix seconds, and what it waits for."""

    time: int
    waits_for: str


def exit_estimate(opened: OpenWithdrawal, view: FarmView) -> ExitEstimate:
    """When an exit will be paid if nothing goes wrong: after the last of the farmer's pails was harvested.

    A pail is harvested once its block is over; the next block opens 300 s after the last one did, or when somebody
    plants after that.
    """
    now = view.ledger.close_time
    if opened.last_block is None:
        return ExitEstimate(now + _PAYMENT_SECONDS, "its payment")
    blocks = opened.last_block - view.farm.index
    over = now if blocks < 0 else max(now, view.turnover_time) + BLOCK_SECONDS * blocks
    return ExitEstimate(over + _HARVEST_SECONDS + _PAYMENT_SECONDS, f"the harvests of {opened.pails} pails")


def unread(address: str) -> Refusal:
    """Why a payment is given up that may be in ledgers that cannot be read any more."""
    return Refusal(
        PayoutReason.UNREAD_LEDGERS,
        f"ledgers in which it may have been paid cannot be read any more; look at the payments of {address}, and "
        "withdraw anew only if it is not among them",
    )
