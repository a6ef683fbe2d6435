"""What ends a simulation.

SimulatorError
├── Violation        something that must never happen has happened; says what, in which block
└── StuckError       nothing is left to wait for: everything waits for something that never comes
"""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of the simulator's errors."""


class Violation(SimulatorError):  # noqa: N818 - a finding, not an error of the program that finds it
    """A promise was broken: `check` names it, `block_index` says where, `what` tells it."""

    def __init__(self, check: str, block_index: int, what: str) -> None:
        self.check = check
        self.block_index = block_index
        self.what = what
        super().__init__(f"{check} in block {block_index}: {what}")

    def __reduce__(self) -> tuple[type[Violation], tuple[str, int, str]]:
        return Violation, (self.check, self.block_index, self.what)


class StuckError(SimulatorError):
    """Every task waits, and no timer is set."""
