"""How an attempt's end, and what the ledger shows, moves the pool's rows. Everything here is applied or nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from backend.domain.attempt import AttemptState
from backend.domain.failure import Failure
from backend.domain.withdrawal import Refusal
from backend.domain.work import WorkState
from kale_chain.model import NOBODY, Counterparty


@dataclass(frozen=True, slots=True)
class PlantConfirmed:
    """A plant was applied: the pail is open, its stake burned, its harvest pending."""

    plant_id: UUID
    ledger: int
    transaction_hash: str
    """64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class PlantFailed:
    """A plant can no longer succeed; nothing is staked."""

    plant_id: UUID
    failure: Failure


@dataclass(frozen=True, slots=True)
class WorkSettled:
    """A work result is known: the backstop's own from its transaction, a pooler's unverified one from the pail.

    None leaves what is stored.
    """

    work_id: UUID
    state: WorkState
    zeros: int | None = None
    gap: int | None = None
    transaction_hash: str | None = None
    ledger: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class HarvestConfirmed:
    """A pail was harvested: `reward_stroops`, the contract's own return value, is added to the farmer's earnings."""

    harvest_id: UUID
    reward_stroops: int
    ledger: int
    transaction_hash: str


@dataclass(frozen=True, slots=True)
class HarvestClosed:
    """A pail can not be harvested by us: lost with its stake, or already harvested by someone else."""

    harvest_id: UUID
    lost: bool
    failure: Failure


@dataclass(frozen=True, slots=True)
class HarvestReopened:
    """A pail whose harvest was closed lives, worked, on the ledger after all: it is pending again."""

    harvest_id: UUID


@dataclass(frozen=True, slots=True)
class FarmersOnboarded:
    """The accounts of an onboarding batch exist: its farmers become ACTIVE."""

    batch_id: UUID


@dataclass(frozen=True, slots=True)
class BatchReleased:
    """An onboarding batch came to nothing: its farmers wait for another."""

    batch_id: UUID


@dataclass(frozen=True, slots=True)
class PailPlanted:
    """A ledger shows a new pail of a farmer, whoever made it: its plant is confirmed, or adopted if no row knows it."""

    farmer_id: UUID
    address: str
    block_index: int
    stake_stroops: int
    ledger: int
    transaction_hash: str
    """64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class PailHarvested:
    """A ledger shows that a pail was emptied, whoever did it; a pail that no row knows is adopted first."""

    farmer_id: UUID
    address: str
    block_index: int
    stake_stroops: int
    planted_ledger: int
    reward_stroops: int
    ledger: int
    transaction_hash: str
    """64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class BalanceMoved:
    """A ledger shows a payment to (positive) or from (negative) a farmer's account, in stroops of KALE."""

    farmer_id: UUID
    stroops: int
    ledger: int
    transaction_hash: str
    """64 hexadecimal digits."""
    counterparty: Counterparty = NOBODY
    """Who sent or got it."""


@dataclass(frozen=True, slots=True)
class WithdrawalPaid:
    """A ledger holds a withdrawal's payment; of an exit the account is gone, and the farmer has departed."""

    withdrawal_id: UUID
    ledger: int
    transaction_hash: str
    """64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class WithdrawalFailed:
    """A withdrawal will not be paid any more; nothing is set aside for it."""

    withdrawal_id: UUID
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class ExitRewound:
    """An exit met more on the account than it was built for: it waits again, and takes that along."""

    withdrawal_id: UUID


Effect = (
    PlantConfirmed
    | PlantFailed
    | WorkSettled
    | HarvestConfirmed
    | HarvestClosed
    | HarvestReopened
    | FarmersOnboarded
    | BatchReleased
    | PailPlanted
    | PailHarvested
    | BalanceMoved
    | WithdrawalPaid
    | WithdrawalFailed
    | ExitRewound
)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The proven end of an attempt and what it does to its intent; without effects the intent stays as it is."""

    attempt_hash: bytes
    state: AttemptState
    result_ledger: int
    """The ledger that applied it, or the closed one that proves its end: expired at or past its max_ledger."""
    result_code: str | None = None
    """Why it failed; of an expired one, the network's last refusal at submission, if there was one."""
    fee_charged: int | None = None
    """Stroops of XLM taken from the fee account; None if none was."""
    effects: Sequence[Effect] = ()
    result_hash: bytes | None = None
    """Hash of the transaction that was applied with its sequence number; None if none was, or it is not known."""
