"""An attempt: one signed transaction that was or will be sent, from its storing to its proven end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

RPC_SILENT = "rpcUNAVAILABLE"
"""What stands for the network's word on an attempt that no RPC has taken yet."""
TOO_LATE = "txTOO_LATE"
"""The network's word on an attempt that reached it after the last ledger that could have taken it."""
BUMP_LEDGERS = 2
"""Ledgers that may pass an attempt over before it is bumped."""
_REFUSED_LEDGERS = 1
"""The same where the network said that its fee is too low."""


class AttemptKind(StrEnum):
    """What the transaction does; the values are those of the column attempts.kind."""

    PLANT = "plant"
    WORK = "work"
    HARVEST = "harvest"
    ONBOARDING = "onboarding"
    CHANNELS = "channels"
    EXTENSION = "extension"
    WITHDRAWAL = "withdrawal"


class AttemptState(StrEnum):
    """Where an attempt stands; every state but OPEN is final."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.OPEN: frozenset(
        {AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.EXPIRED, AttemptState.SUPERSEDED}
    ),
    AttemptState.SUCCEEDED: frozenset(),
    AttemptState.FAILED: frozenset(),
    AttemptState.EXPIRED: frozenset(),
    AttemptState.SUPERSEDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Bump:
    """The same inner transaction again, wrapped in a fee bump that offers more; any of its attempt's may be applied."""

    hash: bytes
    """Hash of the fee bump, 32 bytes."""
    attempt_hash: bytes
    number: int
    """1 for the attempt's first bump, 2 for the next."""
    envelope: str = field(repr=False)
    """The signed envelope, base64."""
    max_fee: int
    """Most stroops of XLM it can cost."""
    created_ledger: int
    """The last ledger closed when it was stored."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed transaction. Its bytes never change; the same ones are sent until its end is proven."""

    hash: bytes
    """Hash of the transaction as the ledger knows it (the fee bump's, where there is one), 32 bytes."""
    inner_hash: bytes | None
    """Hash of the inner transaction of a fee bump."""
    kind: AttemptKind
    intent_id: UUID
    """The row it carries out: a plant, work result, harvest or withdrawal; for other kinds the batch."""
    source: str
    """The address whose sequence number it uses."""
    sequence: int
    envelope: str = field(repr=False)
    """The signed envelope, base64."""
    max_ledger: int
    """The first ledger that can no longer take it."""
    created_ledger: int
    """The last ledger closed when it was stored: its result is looked for in later ones only."""
    max_fee: int = 0
    """Most stroops of XLM the first envelope can cost; 0 where that was not recorded."""
    bumps: tuple[Bump, ...] = ()
    """What was bumped since, in order; the last one is what is sent."""

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Every hash by which a ledger may show it: its own, its bumps', and that of the inner transaction."""
        inner = () if self.inner_hash is None else (self.inner_hash,)
        return (self.hash, *(bump.hash for bump in self.bumps), *inner)

    @property
    def current_envelope(self) -> str:
        """What is to be sent: the last bump's envelope, or the first one."""
        return self.bumps[-1].envelope if self.bumps else self.envelope

    @property
    def highest_fee(self) -> int:
        """Most stroops of XLM it can cost, whichever of its envelopes is applied."""
        return max(self.max_fee, *(bump.max_fee for bump in self.bumps)) if self.bumps else self.max_fee

    def with_bump(self, bump: Bump) -> Attempt:
        """This attempt with one more bump."""
        return replace(self, bumps=(*self.bumps, bump))


def is_worth_sending(attempt: Attempt, closed_ledger: int) -> bool:
    """Whether a ledger after `closed_ledger` can take it; the network refuses it from then on, and that proves nothing.

    What closed by our sight may be behind the network's, never ahead of it.
    """
    return closed_ledger + 1 < attempt.max_ledger


def is_expired(attempt: Attempt, closed_ledger: int) -> bool:
    """Whether `closed_ledger`, up to which every ledger was read without finding it, proves it can never apply."""
    return closed_ledger >= attempt.max_ledger


def is_stuck(attempt: Attempt, closed_ledger: int, *, refused: bool) -> bool:
    """Whether an open attempt is to be bumped: ledgers passed it over, or the network `refused` its fee as too low.

    Only what a later ledger can still take, and only a fee bump: its inner transaction stays the same.
    """
    if attempt.inner_hash is None or not is_worth_sending(attempt, closed_ledger):
        return False
    last_built = attempt.bumps[-1].created_ledger if attempt.bumps else attempt.created_ledger
    return closed_ledger - last_built >= (_REFUSED_LEDGERS if refused else BUMP_LEDGERS)


def is_superseded(attempt: Attempt, used_sequence: int, at_ledger: int) -> bool:
    """Whether its source's sequence number proves that it can never apply.

    `used_sequence` is the source's last used number as of `at_ledger`, up to which every ledger was read without
    finding it. An account as it was when the attempt was stored proves nothing.
    """
    return at_ledger > attempt.created_ledger and used_sequence >= attempt.sequence
