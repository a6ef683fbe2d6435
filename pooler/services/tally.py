"""Counting what became of work transactions, for the metrics."""

from collections import Counter
from enum import StrEnum

from kale_common.metrics import Buckets

INCLUSION_LEDGERS = (1, 2, 3, 4, 6, 8, 12)


class Ending(StrEnum):
    """What became of a work transaction."""

    ACCEPTED = "accepted"
    """The farm took it."""
    REFUSED = "refused"
    """A ledger applied it in vain: the farm refused it."""
    EXPIRED = "expired"
    """No ledger applied it in time."""
    NOT_TAKEN = "not_taken"
    """The network refused it."""


class Tally:
    """Counts since the process began.

    Attributes:
        endings: Work transactions by what became of them.
        inclusion: Ledgers that those needed which a ledger applied.
        zeros: Accepted works by their leading zero nibbles.
        gaps: Accepted works by the ledgers between plant and work.
    """

    def __init__(self) -> None:
        self.endings: Counter[Ending] = Counter()
        self.inclusion = Buckets(INCLUSION_LEDGERS)
        self.zeros = Buckets(tuple(range(17)))
        self.gaps = Buckets((1, 10, 20, 30, 40, 50, 55, 60))
