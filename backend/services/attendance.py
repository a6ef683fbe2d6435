"""What is known of a pooler that attends, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.domain.presence import SILENT_LEDGERS, Capacity, HandOver
from backend.errors import BackendError
from backend.ports.poolers import Handed

_MOST_RATE = 2**62


@dataclass(frozen=True, slots=True)
class LedgerTold:
    """A ledger has closed."""


@dataclass(frozen=True, slots=True)
class LeasesGiven:
    """Farmers are this pooler's now."""

    handed: Sequence[Handed]


@dataclass(frozen=True, slots=True)
class LeasesTaken:
    """Farmers are others' now; each hand-over is the latest of its farmer."""

    hand_overs: Sequence[HandOver]


@dataclass(frozen=True, slots=True)
class Drained:
    """A pooler that stops gets nothing more; `kept` farmers could not be given to others."""

    kept: int


Notice = LedgerTold | LeasesGiven | LeasesTaken | Drained


@dataclass(eq=False, slots=True)
class Attendance:
    """One stream of a pooler."""

    pooler_id: str
    over: bool = False
    error: BackendError | None = None
    told: set[HandOver] = field(default_factory=set)
    given: dict[int, Sequence[Handed]] = field(default_factory=dict)
    """Leases told of and not acknowledged yet, by the notice's number."""
    drained: Drained | None = None
    """To be told once everything else is."""


@dataclass(slots=True)
class Presence:
    """What is known of a pooler."""

    pooler_id: str
    capacity: Capacity | None = None
    """None until it attends: it is waited for after a restart of the backend."""
    unanswered: int = 0
    """Ledgers told since it was last heard."""
    heard_in_block: int = 0
    attendance: Attendance | None = None
    idle: bool = False
    """Whether it let farmers lie and has not asked for plants since: it is planted for only when it asks."""
    rate_before: int = 0
    """Its hash rate when it attended before a restart of the backend."""

    @property
    def hashes_per_second(self) -> int:
        """What it searches with, as far as is known; no column holds more than `_MOST_RATE`."""
        if self.capacity is None:
            return self.rate_before
        return int(min(self.capacity.hashes_per_second, _MOST_RATE))

    @property
    def silent(self) -> bool:
        """Whether it has lost its farmers."""
        return self.unanswered >= SILENT_LEDGERS
