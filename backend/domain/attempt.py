"""An attempt: one signed transaction that was or will be sent, from its storing to its proven end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class AttemptKind(StrEnum):
    """What the transaction does; the values are those of the column attempts.kind."""

    PLANT = "plant"
    WORK = "work"
    HARVEST = "harvest"
    ONBOARDING = "onboarding"
    CHANNELS = "channels"


class AttemptState(StrEnum):
    """Where an attempt stands; every state but OPEN is final."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"


TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.OPEN: frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.EXPIRED}),
    AttemptState.SUCCEEDED: frozenset(),
    AttemptState.FAILED: frozenset(),
    AttemptState.EXPIRED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed transaction. Its bytes never change; the same ones are sent until its end is proven."""

    hash: bytes
    """Hash of the transaction as the ledger knows it (the fee bump's, where there is one), 32 bytes."""
    inner_hash: bytes | None
    """Hash of the inner transaction of a fee bump."""
    kind: AttemptKind
    intent_id: UUID
    """The row it carries out: a plant, work result or harvest; for onboarding and channels the batch."""
    source: str
    """The address whose sequence number it uses."""
    sequence: int
    envelope: str = field(repr=False)
    """The signed envelope, base64."""
    max_ledger: int
    """The first ledger that can no longer take it."""
    created_ledger: int
    """The last ledger closed when it was stored: its result is looked for in later ones only."""


def is_expired(attempt: Attempt, closed_ledger: int) -> bool:
    """Whether `closed_ledger`, up to which every ledger was read without finding it, proves it can never apply."""
    return closed_ledger >= attempt.max_ledger
