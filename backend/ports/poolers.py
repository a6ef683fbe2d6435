"""Poolers and the farmers they are leased, as rows of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.domain.plant import Plant
from backend.domain.presence import Attended, FarmerLease, HandOver


@dataclass(frozen=True, slots=True)
class Handed:
    """A hand-over, with the plant it concerns and whether a later one has replaced it."""

    hand_over: HandOver
    plant: Plant
    latest: bool


class PoolerStore(Protocol):
    """Presence that outlives a restart, and leases that changed hands.

    A farmer's lease in a block is the plant's own pooler's (generation 1) until it is handed over.
    """

    async def attended(self, poolers: Mapping[str, Attended]) -> None:
        """Notes in which ledgers poolers attended, and with what hash rate; an earlier ledger changes nothing."""

    async def attendance(self) -> Mapping[str, Attended]:
        """Every pooler that ever attended, and the last time it did."""

    async def leases(self, block_index: int) -> list[FarmerLease]:
        """Who has which farmer of a block; those whose plants failed are nobody's."""

    async def hand_over(self, hand_overs: Sequence[HandOver]) -> None:
        """Stores hand-overs and records lease_moved, all or nothing.

        Raises StoreConflictError where a generation is not the next of its lease.
        """

    async def handed(self, block_index: int) -> list[Handed]:
        """Every hand-over of a block, oldest first."""
