"""Work on a planted pail: reports, their verification, and the backstop that makes stakes safe without a pooler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from backend.domain.failure import Failure, FailureReason
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import BLOCK_SECONDS, Pail

BACKSTOP_POOLER = "backend"
"""The pooler_id under which the backend's own work is stored."""
BACKSTOP_AGE_SECONDS = BLOCK_SECONDS * 8 // 10


class WorkState(StrEnum):
    """Where a farmer's work stands; the values are those of the column work_results.status."""

    PENDING = "pending"
    SUCCESS = "success"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    TIMEOUT = "timeout"


TRANSITIONS: Mapping[WorkState, frozenset[WorkState]] = {
    WorkState.PENDING: frozenset({WorkState.SUCCESS, WorkState.FAILED, WorkState.TIMEOUT}),
    WorkState.UNVERIFIED: frozenset({WorkState.SUCCESS, WorkState.FAILED}),
    WorkState.FAILED: frozenset({WorkState.PENDING, WorkState.SUCCESS, WorkState.UNVERIFIED}),
    WorkState.TIMEOUT: frozenset({WorkState.PENDING, WorkState.SUCCESS, WorkState.UNVERIFIED, WorkState.FAILED}),
    WorkState.SUCCESS: frozenset(),
}


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What a pooler says came of a farmer's work. `failure` is set, or else the hash and what belongs to it."""

    report_id: str
    pooler_id: str
    block_index: int
    farmer_id: UUID
    work_hash: bytes | None = None
    nonce: int | None = None
    zeros: int | None = None
    gap: int | None = None
    """Ledgers from plant to work, as the contract returned it."""
    transaction_hash: str | None = None
    ledger: int | None = None
    failure: Failure | None = None

    @property
    def state(self) -> WorkState:
        """The state in which an acceptable report is stored."""
        if self.failure is not None:
            timed_out = self.failure.reason is FailureReason.TIMEOUT
            return WorkState.TIMEOUT if timed_out else WorkState.FAILED
        return WorkState.UNVERIFIED if self.nonce is None else WorkState.SUCCESS


def supersedes(old_state: WorkState, old_zeros: int | None, new: WorkReport) -> bool:
    """Whether a later report of the same pooler, block and farmer replaces a stored one.

    It does with success where none was, or with more zeros; anything else is a duplicate.
    """
    if new.state is WorkState.SUCCESS and old_state is WorkState.SUCCESS:
        return (new.zeros or 0) > (old_zeros or 0)
    return new.state in (WorkState.SUCCESS, WorkState.UNVERIFIED) and new.state in TRANSITIONS[old_state]


def fault_of(report: WorkReport, *, address: str, entropy: bytes | None) -> Failure | None:
    """What is wrong with a report's hash, computed again from its nonce and the block's entropy; None if nothing is.

    A report without a nonce, or of a block the ledger has forgotten (`entropy` None), is checked for its zeros alone.
    """
    if report.work_hash is None:
        return None
    if report.nonce is not None and entropy is not None:
        expected = work_hash(report.block_index, report.nonce, entropy, address)
        if expected != report.work_hash:
            message = f"nonce {report.nonce} gives {expected.hex()} in block {report.block_index}, not the hash given"
            return Failure(FailureReason.HASH_INVALID, message)
    zeros = count_zeros(report.work_hash)
    if report.zeros is not None and report.zeros != zeros:
        return Failure(FailureReason.HASH_INVALID, f"the hash has {zeros} leading zeros, not {report.zeros}")
    return None


def settle(work_hash_given: bytes | None, pail: Pail | None, *, block_over: bool) -> WorkState | None:
    """What the pail says of an unverified report.

    Success if it holds a work of at least as many zeros; failed if it holds fewer, or none once the block is over;
    None while the work may still come.
    """
    if work_hash_given is not None and pail is not None and pail.zeros is not None:
        return WorkState.SUCCESS if pail.zeros >= count_zeros(work_hash_given) else WorkState.FAILED
    return WorkState.FAILED if block_over else None


def backstop_age(*, unworked: int, channels: int, ledger_seconds: int) -> int:
    """The age of a block, in seconds, from which the backend works by itself the pails nobody has worked.

    At 80 % of the block, or sooner where its channel accounts (one transaction a ledger each) need more ledgers than
    that leaves, with two rounds to spare.
    """
    rounds = -(-unworked // max(channels, 1)) + 2
    return min(BACKSTOP_AGE_SECONDS, BLOCK_SECONDS - rounds * ledger_seconds)
