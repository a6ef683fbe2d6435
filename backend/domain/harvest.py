"""Harvests: which pails are due, in which order, and how a harvest ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from backend.domain.failure import Failure, FailureReason
from kale_chain.model import BLOCK_SECONDS, Pail, PailEntry

_BACKSTOP_FIRST_SECONDS = BLOCK_SECONDS * 2 // 10
"""How long before the backstop harvests make room for it: until then theirs have ended."""


class HarvestState(StrEnum):
    """Where a harvest stands; the values are those of the column harvest_transactions.status.

    A harvest is PENDING from the moment its plant is confirmed. Someone else's harvest pays the farmer all the same
    and confirms it; FAILED means that the pail was emptied in a way that left no such transaction to be found. One
    closed as FAILED or LOST while its pail lives on the ledger is PENDING again.
    """

    PENDING = "pending"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    LOST = "lost"


TRANSITIONS: Mapping[HarvestState, frozenset[HarvestState]] = {
    HarvestState.PENDING: frozenset({HarvestState.CONFIRMED, HarvestState.FAILED, HarvestState.LOST}),
    HarvestState.CONFIRMED: frozenset(),
    HarvestState.FAILED: frozenset({HarvestState.PENDING}),
    HarvestState.LOST: frozenset({HarvestState.PENDING}),
}


@dataclass(frozen=True, slots=True)
class OpenPail:
    """A planted pail that is neither harvested nor lost, with the settings of its farmer."""

    harvest_id: UUID
    farmer_id: UUID
    address: str
    block_index: int
    stake_stroops: int
    planted_ledger: int
    live_until: int | None
    """The last ledger in which the pail lives; None until it was read."""
    harvest_after_blocks: int


@dataclass(frozen=True, slots=True)
class KnownHarvest:
    """A harvest's row, whatever its state."""

    harvest_id: UUID
    state: HarvestState

    @property
    def closed(self) -> bool:
        """Whether the pool has given the pail up."""
        return self.state in (HarvestState.FAILED, HarvestState.LOST)


def is_due(pail: OpenPail, *, farm_index: int, closed_ledger: int) -> bool:
    """Whether a pail is to be harvested.

    Its block is over, and the farm has gone `harvest_after_blocks` on or half of the pail's life is over.
    """
    if pail.block_index >= farm_index:
        return False
    if farm_index >= pail.block_index + pail.harvest_after_blocks:
        return True
    return pail.live_until is not None and 2 * closed_ledger >= pail.planted_ledger + pail.live_until


def due(pails: Iterable[OpenPail], *, farm_index: int, closed_ledger: int) -> list[OpenPail]:
    """The pails to be harvested, shortest remaining life first."""
    ripe = [p for p in pails if is_due(p, farm_index=farm_index, closed_ledger=closed_ledger)]
    return sorted(ripe, key=lambda p: (p.live_until if p.live_until is not None else p.planted_ledger, p.block_index))


def loss(
    pail: OpenPail, entry: PailEntry | None, *, farm_index: int, ledger: int, block_lives: bool = True
) -> Failure | None:
    """Why a pail can never be harvested, as the ledger shows it; None if it still can.

    `entry` and `ledger` come from the same answer. A pail that is missing before its time has been harvested by
    someone else, which is no loss (see `taken`). Without its block (`block_lives`) no pail can be harvested.
    """
    if entry is not None:
        if never_worked(entry.pail) and pail.block_index < farm_index:
            return Failure(FailureReason.TIMEOUT, "the block ended before any work was accepted; the stake is lost")
        if not block_lives and pail.block_index < farm_index:
            return _without_block(entry, ledger)
        return None
    if pail.live_until is not None and ledger > pail.live_until:
        return Failure(FailureReason.EXPIRED, f"the pail's life ended with ledger {pail.live_until}")
    return None


def _without_block(entry: PailEntry, ledger: int) -> Failure:
    """A block's life ends at most a block before those of its pails; one that is missing sooner was removed."""
    if entry.live_until - ledger > BLOCK_SECONDS:  # ledgers close a second apart at the fastest
        return Failure(FailureReason.CONTRACT_REFUSED, "the farm's owner removed the block; the stake is lost")
    return Failure(FailureReason.EXPIRED, "the block's life ended")


def never_worked(pail: Pail) -> bool:
    """Whether no work was accepted for the pail."""
    return pail.zeros is None


def taken() -> Failure:
    """What is stored when a pail was emptied and the harvest that did it cannot be found."""
    return Failure(FailureReason.CONTRACT_REFUSED, "the pail was emptied, but no harvest was found in the ledgers")


def lendable(channels: int, *, block_age_seconds: int, backstop_age_seconds: int) -> int:
    """How many channel accounts harvests may use: half of them are kept for the backstop once that is near."""
    return channels if block_age_seconds < backstop_age_seconds - _BACKSTOP_FIRST_SECONDS else channels // 2
