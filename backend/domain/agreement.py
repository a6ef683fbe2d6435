"""Agreement: what several RPC endpoints must say together before a transaction counts as lost.

One endpoint alone can lag, forget or lie. Where several are configured, a majority of them, and never fewer than two,
must hold the same ledger and not the transaction; a single contradiction withholds the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

TOLERATED_LAG = 3
"""Ledgers an endpoint may be behind the foremost one and still have a vote."""


def quorum(configured: int) -> int:
    """How many of the configured endpoints must agree: the one there is, else a majority and at least two."""
    return 1 if configured == 1 else max(2, configured // 2 + 1)


class Verdict(StrEnum):
    """What the votes come to."""

    AGREED = "agreed"
    WAITING = "waiting"
    """Too few could vote; later more may."""
    DISPUTED = "disputed"
    """Endpoints contradict each other: somebody must look."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What one endpoint says of a closed ledger and of a transaction."""

    endpoint: str
    ledger_hash: str
    """Its hash of the ledger."""
    shown: bool
    """Whether it holds the transaction, by any of its hashes, in whatever ledger."""


def verdict(votes: Sequence[Vote], configured: int) -> Verdict:
    """Whether a transaction is in no ledger up to the one that was voted on."""
    if any(vote.shown for vote in votes) or len({vote.ledger_hash for vote in votes}) > 1:
        return Verdict.DISPUTED
    return Verdict.AGREED if len(votes) >= quorum(configured) else Verdict.WAITING


def lagging(latest: int, foremost: int) -> bool:
    """Whether an endpoint whose latest ledger is `latest` has lost its vote."""
    return foremost - latest > TOLERATED_LAG
