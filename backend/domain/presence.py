"""Which poolers are there, and how farmers are shared out among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from kale_chain.model import BLOCK_SECONDS, U32_MAX

SILENT_LEDGERS = 3
"""Ledgers that may close without a word of a pooler before its farmers go to others."""
IDLE_LEDGERS = 12
"""Ledgers within which a pooler that answers takes a farmer planted for it or given to it: a fifth of a block."""
FIRST_GENERATION = 1
"""The lease of the pooler that a farmer was planted for."""
HAND_OVER_SECONDS = BLOCK_SECONDS - 280
"""A lease that changes hands later than this before the block's end leaves no time to search and submit."""
EVERY_FARMER = U32_MAX
"""The capacity of a pooler that asks for every active farmer."""
_LEAST_RATE = 1.0


class HandOverReason(StrEnum):
    """Why a farmer went to another pooler; the values are those of the column lease_handovers.reason."""

    SILENT = "silent"
    DRAINED = "drained"
    EXCLUDED = "excluded"
    IDLE = "idle"
    """It answers, but has neither asked for the farmer's plant nor acknowledged its lease."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a pooler says of itself."""

    farmers: int
    """How many it can search for in a block."""
    hashes_per_second: float
    """All its cores together, as measured."""
    takes_over: bool = True
    """Whether it takes farmers in the middle of a block."""
    draining: bool = False
    """Whether it is about to stop."""
    version: str = ""
    running_searches: int = 0
    unacknowledged_reports: int = 0
    machine_load: float = 0.0


@dataclass(frozen=True, slots=True)
class Attended:
    """What is kept of a pooler that attended."""

    ledger: int
    """The last in which it did."""
    hashes_per_second: int = 0
    """What it searched with then; 0 if it had measured nothing."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A pooler that farmers can be given to."""

    pooler_id: str
    farmers: int
    """How many it can search for in all."""
    hashes_per_second: float


@dataclass(frozen=True, slots=True)
class FarmerLease:
    """Who searches for a farmer in a block now."""

    block_index: int
    farmer_id: UUID
    pooler_id: str
    generation: int
    worked: bool
    """Whether a pooler's successful work on it is stored: nothing is left to do."""
    planted: bool = False
    """Whether the plant is final and succeeded: the farmer can be searched for."""

    @property
    def key(self) -> tuple[UUID, int]:
        """What it is within its block."""
        return self.farmer_id, self.generation


@dataclass(frozen=True, slots=True)
class HandOver:
    """A farmer that goes from one pooler to another in the middle of a block."""

    block_index: int
    farmer_id: UUID
    generation: int
    """That of the new lease."""
    pooler_id: str
    """Who has it now."""
    taken_from: str
    reason: HandOverReason
    ledger: int
    """The last closed ledger when it was decided."""


def last_rate(attended: Collection[Attended]) -> int:
    """Hashes a second of all that attended when anybody last did; 0 if nobody ever did."""
    last = max((one.ledger for one in attended), default=0)
    return sum(one.hashes_per_second for one in attended if last - one.ledger < SILENT_LEDGERS)


def share_out(count: int, offers: Sequence[Offer], held: Mapping[str, int]) -> list[str]:
    """The poolers that `count` farmers go to, one after another; fewer where all are full.

    Each farmer goes to whoever would then have the least work for its hash rate, which keeps the time that every farmer
    gets as equal as whole farmers allow. One without a measured rate takes what the others have no room for.

    Args:
        count: Farmers to give.
        offers: The poolers.
        held: Farmers of this block that they have already, by pooler.
    """
    has = {offer.pooler_id: held.get(offer.pooler_id, 0) for offer in offers}
    given: list[str] = []
    while len(given) < count:
        free = [offer for offer in offers if has[offer.pooler_id] < offer.farmers]
        if not free:
            break
        next_one = min(free, key=lambda offer: (_load(offer, has[offer.pooler_id] + 1), offer.pooler_id))
        has[next_one.pooler_id] += 1
        given.append(next_one.pooler_id)
    return given


def _load(offer: Offer, farmers: int) -> float:
    return farmers / max(offer.hashes_per_second, _LEAST_RATE)


def left_lying(
    leases: Sequence[FarmerLease], taken: Collection[tuple[UUID, int]], told: Mapping[tuple[UUID, int], int]
) -> list[FarmerLease]:
    """Leases that their poolers do not take, though they had IDLE_LEDGERS to do it.

    Args:
        leases: Leases of poolers that are there.
        taken: Keys of those that were taken.
        told: How many ledgers their poolers were told of since the plant was known to be final, by key.
    """
    return [
        lease
        for lease in leases
        if lease.planted and not lease.worked and lease.key not in taken and told.get(lease.key, 0) >= IDLE_LEDGERS
    ]


def hand_overs(
    leases: Sequence[FarmerLease],
    leavers: Mapping[str, HandOverReason],
    offers: Sequence[Offer],
    *,
    ledger: int,
    lying: Sequence[FarmerLease] = (),
) -> list[HandOver]:
    """The unfinished farmers of poolers that are gone, and those left lying, shared out among the others.

    Args:
        leases: Every lease of the block.
        leavers: Poolers that are gone, and why.
        offers: Poolers that take farmers over.
        ledger: The last closed ledger.
        lying: Leases of poolers that are there and do not take them; such a pooler gets nothing more.
    """
    reasons = {lease.pooler_id: HandOverReason.IDLE for lease in lying} | dict(leavers)
    moving = {lease.key for lease in lying}
    open_leases = [lease for lease in leases if not lease.worked]
    held: dict[str, int] = {}
    for lease in open_leases:
        held[lease.pooler_id] = held.get(lease.pooler_id, 0) + 1
    orphans = sorted(
        (lease for lease in open_leases if lease.pooler_id in leavers or lease.key in moving),
        key=lambda lease: str(lease.farmer_id),
    )
    takers = share_out(len(orphans), [offer for offer in offers if offer.pooler_id not in reasons], held)
    return [
        HandOver(
            block_index=lease.block_index,
            farmer_id=lease.farmer_id,
            generation=lease.generation + 1,
            pooler_id=taker,
            taken_from=lease.pooler_id,
            reason=reasons[lease.pooler_id],
            ledger=ledger,
        )
        for lease, taker in zip(orphans, takers, strict=False)
    ]
