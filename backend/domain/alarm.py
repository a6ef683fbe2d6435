"""Alarms: what is wrong enough to wake somebody, raised and cleared with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How soon somebody must look."""

    WARNING = "warning"
    """Within the day."""
    CRITICAL = "critical"
    """Now: funds may be lost, or nothing is earned."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What one look says of one alarm.

    Attributes:
        name: The alarm's name, lower_snake; docs/operations.md has a page for each.
        severity: How soon somebody must look.
        detail: What is wrong, with figures; None if nothing is.
    """

    name: str
    severity: Severity
    detail: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that was raised or cleared.

    Attributes:
        name: The alarm's name.
        severity: How soon somebody must look.
        raised: Whether it was raised; else it was cleared.
        detail: What is wrong, or was last.
    """

    name: str
    severity: Severity
    raised: bool
    detail: str


class Alarm:
    """One alarm over time.

    It is raised after `raise_after` looks in a row that found it, and cleared after `clear_after` that did not.

    Attributes:
        active: Whether it is raised.
        detail: What was last found wrong.
        severity: Its severity.
    """

    def __init__(self, name: str, severity: Severity, *, raise_after: int = 2, clear_after: int = 6) -> None:
        self.name = name
        self.severity = severity
        self.active = False
        self.detail = ""
        self._raise_after = raise_after
        self._clear_after = clear_after
        self._in_a_row = 0

    def look(self, detail: str | None) -> Change | None:
        """Takes what a look found; the change that follows, if one does."""
        wrong = detail is not None
        if detail is not None:
            self.detail = detail
        self._in_a_row = self._in_a_row + 1 if wrong != self.active else 0
        if self._in_a_row < (self._raise_after if wrong else self._clear_after):
            return None
        self._in_a_row = 0
        self.active = wrong
        return Change(self.name, self.severity, self.active, self.detail)
