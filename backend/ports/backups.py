"""How old the backups are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BackupAges:
    """Seconds since things were done last, by this machine's clock; None: never.

    Attributes:
        base_seconds: Since the last base backup was complete.
        log_seconds: Since the log was last fetched up to its end.
        drill_seconds: Since the last drill.
        drill_passed: Whether it passed; True before the first.
        problem: The last failure in words; empty if there is none.
    """

    base_seconds: float | None
    log_seconds: float | None
    drill_seconds: float | None
    drill_passed: bool
    problem: str


class BackupLog(Protocol):
    """What those who make backups leave behind."""

    def ages(self) -> BackupAges:
        """How old they are."""
