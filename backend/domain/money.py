"""The money ledger's rules: which accounts there are, and what each event moves between them.

Double entry: every transfer's legs sum to zero in each asset. Amounts are stroops; a positive leg goes into an account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from backend.domain.failure import FailureReason
from backend.domain.harvest import HarvestState
from backend.domain.settlement import BalanceMoved, Effect, PailHarvested, PailPlanted
from kale_chain.model import NOBODY, Counterparty, Memo, Pail


class AccountKind(StrEnum):
    """Kinds of accounts; the values are those of the column money_accounts.kind."""

    AVAILABLE = "available"
    """A farmer's KALE on its account on the ledger."""
    STAKED = "staked"
    """A farmer's KALE in pails that are neither harvested nor lost."""
    DUE = "due"
    """What of a farmer's KALE is the pool's cut and not paid yet."""
    MINT = "mint"
    """What the farm minted as rewards, negative."""
    EXTERNAL = "external"
    """What came from outside the pool, negative, and went there."""
    LOSS = "loss"
    """Stakes lost."""
    UNOBSERVED = "unobserved"
    """What must have moved in ledgers that could not be read."""
    CLAIMS = "claims"
    """Cuts that farmers owe, negative."""
    MASTER = "master"
    """XLM that the master account paid, negative."""
    FEES = "fees"
    """XLM of fees."""


class TransferKind(StrEnum):
    """What a transfer books; the values are those of the column money_transfers.kind."""

    STAKE = "stake"
    HARVEST = "harvest"
    LOSS = "loss"
    TAKEN = "taken"
    """A pail that was emptied in ledgers that could not be read."""
    REOPENED = "reopened"
    """A pail held to be lost or taken that was found alive."""
    DEPOSIT = "deposit"
    OUTFLOW = "outflow"
    """KALE that left a farmer's account and that the pool did not send."""
    WITHDRAWAL = "withdrawal"
    """KALE that left a farmer's account on the farmer's order."""
    CUT = "cut"
    """The pool's part of a reward: owed, and still on the farmer's account."""
    CUT_PAID = "cut_paid"
    """What was owed left the farmer's account for the pool's."""
    FEE = "fee"
    ADJUSTMENT = "adjustment"


class TransferReason(StrEnum):
    """Why a stake was lost or books were adjusted; the values are those of the column money_transfers.reason."""

    NEVER_WORKED = "never_worked"
    PAIL_EXPIRED = "pail_expired"
    OTHER_LOSS = "other_loss"
    UNREAD_LEDGERS = "unread_ledgers"
    SHORTFALL = "shortfall"
    OPENING = "opening"


ALARMING = frozenset({TransferKind.TAKEN, TransferKind.REOPENED, TransferKind.OUTFLOW, TransferKind.ADJUSTMENT})
"""Transfers that are never to happen silently."""
FARMER_KINDS = frozenset({AccountKind.AVAILABLE, AccountKind.STAKED})
"""Accounts that each farmer has, and that never fall below zero."""
_LOSS_REASONS = {
    FailureReason.TIMEOUT: TransferReason.NEVER_WORKED,
    FailureReason.EXPIRED: TransferReason.PAIL_EXPIRED,
}

Account = tuple[AccountKind, UUID | None]
"""A kind and, for a farmer's account, the farmer."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One booking. `legs` sum to zero; an effect is booked once for each transaction hash."""

    kind: TransferKind
    legs: Mapping[Account, int]
    farmer_id: UUID | None = None
    block_index: int | None = None
    ledger: int | None = None
    transaction_hash: str | None = None
    """64 hexadecimal digits; None where no transaction of ours to know did it."""
    reason: TransferReason | None = None
    number: str | None = None
    """Tells it from others of the same kind that no transaction tells apart."""
    counterparty: Counterparty = NOBODY
    """Of a payment, who sent or got it."""

    @property
    def effect(self) -> str:
        """What of the transaction it books, such as `stake/<farmer id>/<block>`.

        A withdrawal is the outflow of its transaction: it is booked once, whichever it was taken for.
        """
        kind = TransferKind.OUTFLOW if self.kind is TransferKind.WITHDRAWAL else self.kind
        parts = (kind.value, self.farmer_id, self.block_index, self.number)
        return "/".join(str(part) for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class BookedPail:
    """A pail as the rows have it: planted, and perhaps ended."""

    farmer_id: UUID
    block_index: int
    stake_stroops: int
    planted_ledger: int
    plant_hash: str | None
    state: HarvestState = HarvestState.PENDING
    reward_stroops: int | None = None
    ended_ledger: int | None = None
    harvest_hash: str | None = None
    failure: FailureReason | None = None
    cut_basis_points: int = 0
    """The pool's part of the reward, in hundredths of a percent."""
    closings: int = 0
    """How often it was booked as lost, taken or reopened: tells one time from another."""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What one transaction did to one farmer's pails and KALE."""

    transaction_hash: str
    """64 hexadecimal digits."""
    ledger: int
    address: str
    stroops: int
    """By how much the account's KALE grew."""
    planted: Mapping[int, Pail] = field(default_factory=dict)
    """New pails by block index."""
    emptied: Mapping[int, Pail] = field(default_factory=dict)
    """Harvested pails, as they were, by block index."""
    counterparty: Counterparty = NOBODY
    """Where KALE moved without a pail: who sent or got it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Ledgers that were read through, and what they did to our farmers."""

    first: int
    last: int
    effects: Sequence[Effect] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the ledger was followed.

    Attributes:
        ledger: The last ledger that was read; None before the first start.
        unread_from: The first ledger that could not be read and is not yet made up for; None: there is none.
        equal_at: The last ledger as of which the books were set equal to the accounts on the ledger.
    """

    ledger: int | None
    unread_from: int | None
    equal_at: int


@dataclass(frozen=True, slots=True)
class FarmerBooks:
    """A farmer's balances as booked, in stroops of KALE."""

    available: int
    staked: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """KALE that came to a farmer's account from outside the pool, booked once."""

    number: int
    """Order of booking over all farmers, with gaps."""
    farmer_id: UUID
    stroops: int
    ledger: int
    transaction_hash: str
    """64 hexadecimal digits."""
    sender: str | None
    """Who sent it (G…, M… or C…); None where the transaction does not say so."""
    memo: Memo | None


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that breaks a rule of the books."""

    kind: str
    """Which rule."""
    key: str
    """Which row."""
    detail: str
    """In words."""


def effects_of(change: AccountChange, farmer_id: UUID) -> list[Effect]:
    """The effects of a transaction on a farmer.

    Whatever else the balance grew by when pails were emptied is their reward (of several in one transaction, in equal
    parts, since their sum alone is known); without, it is a deposit or an outflow.
    """
    place = (change.ledger, change.transaction_hash)
    effects: list[Effect] = [
        PailPlanted(farmer_id, change.address, index, pail.stake, *place) for index, pail in change.planted.items()
    ]
    staked = sum(pail.stake for pail in change.planted.values())
    returned = sum(pail.stake for pail in change.emptied.values())
    rest = change.stroops + staked - returned
    reward = max(rest, 0) if change.emptied else 0
    shares = _shares(reward, len(change.emptied))
    effects += [
        PailHarvested(farmer_id, change.address, index, pail.stake, pail.sequence, share, *place)
        for (index, pail), share in zip(change.emptied.items(), shares, strict=True)
    ]
    if rest != reward:
        effects.append(BalanceMoved(farmer_id, rest - reward, *place, change.counterparty))
    return effects


def stake_transfer(pail: BookedPail, *, equal_at: int) -> Transfer:
    """A plant's stake, from available to staked.

    What happened up to the ledger `equal_at` is in the available balance already.
    """
    source = _available(pail.farmer_id, pail.planted_ledger, equal_at)
    return Transfer(
        TransferKind.STAKE,
        legs_of((source, -pail.stake_stroops), ((AccountKind.STAKED, pail.farmer_id), pail.stake_stroops)),
        farmer_id=pail.farmer_id,
        block_index=pail.block_index,
        ledger=pail.planted_ledger,
        transaction_hash=pail.plant_hash,
    )


def ending_transfer(pail: BookedPail, *, equal_at: int) -> Transfer:
    """What the end of a pail moves: stake and reward come back, or the stake is lost or taken."""
    staked = (AccountKind.STAKED, pail.farmer_id)
    reward, reason, source = 0, None, None
    if pail.state is HarvestState.CONFIRMED:
        kind, reward = TransferKind.HARVEST, pail.reward_stroops or 0
        target = _available(pail.farmer_id, pail.ended_ledger or 0, equal_at)
        source = pail.harvest_hash
    elif pail.state is HarvestState.LOST:
        kind, target = TransferKind.LOSS, (AccountKind.LOSS, None)
        known = _LOSS_REASONS.get(pail.failure) if pail.failure is not None else None
        reason = known or TransferReason.OTHER_LOSS
    else:
        kind, target = TransferKind.TAKEN, (AccountKind.UNOBSERVED, None)
    legs = legs_of(
        (staked, -pail.stake_stroops), ((AccountKind.MINT, None), -reward), (target, pail.stake_stroops + reward)
    )
    return Transfer(
        kind,
        legs,
        farmer_id=pail.farmer_id,
        block_index=pail.block_index,
        ledger=pail.ended_ledger,
        transaction_hash=source,
        reason=reason,
        number=None if kind is TransferKind.HARVEST else str(pail.closings),
    )


def reopening_transfer(pail: BookedPail, was: HarvestState) -> Transfer:
    """The stake of a pail that was held to be lost or taken, and is alive."""
    source = AccountKind.LOSS if was is HarvestState.LOST else AccountKind.UNOBSERVED
    return Transfer(
        TransferKind.REOPENED,
        legs_of(((source, None), -pail.stake_stroops), ((AccountKind.STAKED, pail.farmer_id), pail.stake_stroops)),
        farmer_id=pail.farmer_id,
        block_index=pail.block_index,
        number=str(pail.closings),
    )


def movement_transfer(moved: BalanceMoved) -> Transfer:
    """A payment to or from a farmer's account: a deposit, or an outflow that nobody ordered."""
    return Transfer(
        TransferKind.DEPOSIT if moved.stroops > 0 else TransferKind.OUTFLOW,
        legs_of(
            ((AccountKind.AVAILABLE, moved.farmer_id), moved.stroops), ((AccountKind.EXTERNAL, None), -moved.stroops)
        ),
        farmer_id=moved.farmer_id,
        ledger=moved.ledger,
        transaction_hash=moved.transaction_hash,
        counterparty=moved.counterparty,
    )


def fee_transfer(attempt_hash: bytes, fee_charged: int, ledger: int) -> Transfer:
    """A transaction's fee, in stroops of XLM."""
    return Transfer(
        TransferKind.FEE,
        legs_of(((AccountKind.MASTER, None), -fee_charged), ((AccountKind.FEES, None), fee_charged)),
        ledger=ledger,
        transaction_hash=attempt_hash.hex(),
    )


def adjustment(account: Account, stroops: int, reason: TransferReason, *, ledger: int | None, number: str) -> Transfer:
    """What a farmer's account must be set right by; `number` tells one adjustment of an account from another."""
    legs = legs_of((account, stroops), ((AccountKind.UNOBSERVED, None), -stroops))
    return Transfer(
        TransferKind.ADJUSTMENT,
        legs,
        farmer_id=account[1],
        ledger=ledger,
        reason=reason,
        number=f"{account[0]}/{number}",
    )


def shortfalls(transfers: Sequence[Transfer], balances: Mapping[Account, int]) -> Mapping[Account, int]:
    """What farmers' accounts would lack if these transfers were booked on these balances.

    A gap in the books must not stop the follower: it is filled from `unobserved`, with an alarm.
    """
    after = dict(balances)
    for transfer in transfers:
        for account, stroops in transfer.legs.items():
            after[account] = after.get(account, 0) + stroops
    return {account: -stroops for account, stroops in after.items() if account[0] in FARMER_KINDS and stroops < 0}


def _available(farmer_id: UUID, ledger: int, equal_at: int) -> Account:
    if ledger <= equal_at:
        return AccountKind.UNOBSERVED, None
    return AccountKind.AVAILABLE, farmer_id


def legs_of(*legs: tuple[Account, int]) -> Mapping[Account, int]:
    """The legs that move anything."""
    return {account: stroops for account, stroops in legs if stroops}


def _shares(total: int, parts: int) -> list[int]:
    """`total` in equal parts; the first one takes what is left over."""
    if not parts:
        return []
    share = total // parts
    return [total - share * (parts - 1), *[share] * (parts - 1)]
