"""A plant: which block may be planted, how plants end, and what a pooler is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from backend.domain.attempt import RPC_SILENT, TOO_LATE
from backend.domain.failure import Failure, FailureReason
from backend.domain.result import Contract, TransactionResult
from backend.errors import BlockNotDueError, BlockPassedError, FarmPausedError
from kale_chain.clock import Pace
from kale_chain.errors import FarmErrorCode, TokenErrorCode
from kale_chain.model import BLOCK_SECONDS, Block, Farm, Ledger

TRAPPED = "trapped"
"""The code of a contract call that the host has ended. Without a contract's error it is an access outside the
footprint: the plant met another block than the one it was built for."""

ADOPTED_POOLER = "recovered"
"""The pooler_id of plants that were found on the ledger and that no row knew."""


class PlantState(StrEnum):
    """Where a plant stands; the values are those of the column plant_transactions.status."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    FAILED = "failed"


TRANSITIONS: Mapping[PlantState, frozenset[PlantState]] = {
    PlantState.PENDING: frozenset({PlantState.CONFIRMED, PlantState.FAILED}),
    PlantState.CONFIRMED: frozenset(),
    PlantState.FAILED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class PlantRequest:
    """What a pooler asked for; the same request id means the same request for ever."""

    request_id: str
    pooler_id: str
    block_index: int
    requested_farmers: int
    """How many farmers the pooler can search for; 0 means every active one."""


@dataclass(frozen=True, slots=True)
class Plant:
    """A farmer's plant in a block: the intent, whatever transactions carry it out."""

    plant_id: UUID
    farmer_id: UUID
    address: str
    block_index: int
    pooler_id: str
    stake_stroops: int
    state: PlantState
    failure: Failure | None = None
    """Why it failed; only in state FAILED."""
    ledger: int | None = None
    """The ledger that applied it; only in state CONFIRMED."""
    transaction_hash: str | None = None
    """Hash of the transaction that planted, 64 hexadecimal digits; only in state CONFIRMED."""


@dataclass(frozen=True, slots=True)
class PlantEvent:
    """A final plant in a request's sequence of events."""

    number: int
    """1, 2, 3, … without gaps within the request."""
    plant: Plant


@dataclass(frozen=True, slots=True)
class FarmView:
    """The farm at one moment: its instance, the last closed ledger, and the record of its current block."""

    farm: Farm
    ledger: Ledger
    open_block: Block | None
    """Block(farm.index); None before the first plant, or once the ledger has evicted it."""

    @property
    def turnover_time(self) -> int:
        """Ledger time from which a plant opens the next block; counted from the instance's own record."""
        return self.farm.block.timestamp + BLOCK_SECONDS

    @property
    def plantable_index(self) -> int:
        """The block in which a plant would land if the next ledger closed now."""
        if self.ledger.close_time >= self.turnover_time:
            return self.farm.index + 1
        if self.open_block is None and self.farm.index > 0:
            return self.farm.index + 1
        return self.farm.index


_WORK_SECONDS = BLOCK_SECONDS - 220
"""Time that a plant must leave for its work: the same mark after which poolers ask for no more plants."""
_ASKED_AHEAD = 3
"""Ledgers before the one that is expected to open a block, from which on it may be asked for."""


def admit(view: FarmView, block_index: int, *, pace: Pace) -> bool:
    """Whether `block_index` may be planted now (True) or within about three ledgers (False: wait and ask again).

    A plant takes effect in the ledger after the last closed one, at the present `pace` of ledgers. The next block is
    planted as soon as that ledger surely is late enough to open it, so that our plants are in the opening ledger. The
    open block is refused in its last 80 s: a plant that late is a stake for which a pooler, and after it the backstop,
    may find no time to work.

    Raises:
        FarmPausedError: the farm is paused.
        BlockPassedError: the block is over, or too old for a plant to be worked in time.
        BlockNotDueError: the block is neither open nor about to be.
    """
    if view.farm.paused:
        raise FarmPausedError
    now = view.plantable_index
    if block_index < now:
        raise BlockPassedError(block_index, view.farm.index)
    if block_index > view.farm.index + 1:
        raise BlockNotDueError(block_index, view.farm.index, None)
    time_left = view.turnover_time - view.ledger.close_time
    if block_index == now:
        if now == view.farm.index and time_left < max(_WORK_SECONDS, pace.longest):
            raise BlockPassedError(block_index, view.farm.index)
        return True
    opening = pace.opening(view.ledger, view.turnover_time)
    if opening.expected > view.ledger.sequence + _ASKED_AHEAD:
        raise BlockNotDueError(block_index, view.farm.index, view.turnover_time)
    return opening.latest == view.ledger.sequence + 1


_FARM_REASONS: Mapping[int, tuple[FailureReason, str]] = {
    FarmErrorCode.FARM_PAUSED: (FailureReason.FARM_PAUSED, "the farm is paused; nothing can be planted"),
    FarmErrorCode.PAIL_EXISTS: (
        FailureReason.ALREADY_PLANTED,
        "the farmer already has a pail in this block that the pool did not plant",
    ),
}
_TOKEN_REASONS: Mapping[int, tuple[FailureReason, str]] = {
    TokenErrorCode.ACCOUNT_MISSING: (FailureReason.ACCOUNT_MISSING, "the farmer's account does not exist"),
    TokenErrorCode.BALANCE: (FailureReason.INSUFFICIENT_BALANCE, "the farmer's balance does not cover the stake"),
    TokenErrorCode.BALANCE_DEAUTHORIZED: (FailureReason.TRUSTLINE_MISSING, "the farmer's trustline is not authorised"),
    TokenErrorCode.TRUSTLINE_MISSING: (FailureReason.TRUSTLINE_MISSING, "the farmer's account has no KALE trustline"),
}
_REFUSED: Mapping[str, tuple[FailureReason, str]] = {
    RPC_SILENT: (FailureReason.EXPIRED, "no RPC took the plant in time; nothing was spent"),
    TOO_LATE: (FailureReason.EXPIRED, "the plant reached the network after its last ledger; nothing was spent"),
    "txINSUFFICIENT_BALANCE": (FailureReason.FEE_ACCOUNT_LOW, "the master account cannot pay the fee; send it XLM"),
    "txNO_ACCOUNT": (FailureReason.ACCOUNT_MISSING, "the farmer's account does not exist"),
    TRAPPED: (FailureReason.WRONG_BLOCK, "the block turned over between building and applying the plant"),
}
RESOURCE_FAILURES = frozenset({"resource_limit_exceeded", "insufficient_refundable_fee", "entry_archived"})


def failure_of(result: TransactionResult) -> Failure:
    """Why a ledger refused a plant for good."""
    error = result.contract_error
    if error is not None:
        table = {Contract.FARM: _FARM_REASONS, Contract.TOKEN: _TOKEN_REASONS}.get(error.contract, {})
        unlisted = (FailureReason.CONTRACT_REFUSED, f"the {error.contract} contract refused with error {error.code}")
        return Failure(*table.get(error.code, unlisted))
    if result.operation_code is not None and result.operation_code not in _REFUSED:
        return Failure(FailureReason.CONTRACT_REFUSED, f"the ledger refused the plant with {result.operation_code}")
    return refusal(result.operation_code or result.code)


def refusal(code: str | None) -> Failure:
    """Why a plant came to nothing; `code` is the trap it ended in or the network's last refusal, if there was one."""
    if code is None:
        return Failure(FailureReason.EXPIRED, "no ledger took the plant in time; nothing was spent")
    return Failure(*_REFUSED.get(code, (FailureReason.NETWORK_REFUSED, f"the network refused the plant with {code}")))


_MOST_ATTEMPTS = 5
_MOST_TRAPPED = 2
"""A plant sent for the opening ledger meets the block before now and then; twice is no chance."""


def may_rebuild(view: FarmView, block_index: int, attempts: int, last_code: str | None, *, pace: Pace) -> bool | None:
    """Whether a plant whose transaction came to nothing gets another one: now (True), not yet (None), no more (False).

    It does while its block is plantable or about to be, and tries are left.
    """
    if attempts >= (_MOST_TRAPPED if last_code == TRAPPED else _MOST_ATTEMPTS):
        return False
    try:
        return admit(view, block_index, pace=pace) or None
    except (BlockPassedError, BlockNotDueError, FarmPausedError):
        return False
