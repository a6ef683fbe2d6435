"""States as tables of transitions: what may follow what, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from backend.errors import TransitionError

State = TypeVar("State", bound=StrEnum)


def check_transition(table: Mapping[State, frozenset[State]], old: State, new: State) -> None:
    """Accepts a move of the table, or no move at all.

    Raises:
        TransitionError: `new` cannot follow `old`.
    """
    if new != old and new not in table[old]:
        raise TransitionError(old, new)
