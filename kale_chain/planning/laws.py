"""How long things take on the ledger, as counted, and what follows for a transaction aimed at a ledger.

Chances are integers: weights over a common denominator, so that plans compare without rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Self


@dataclass(frozen=True, slots=True)
class Law:
    """How often each delay was seen.

    Attributes:
        counts: How often the delay was 0, 1, 2, … ledgers.
        lost: How often it never came.
    """

    counts: tuple[int, ...]
    lost: int = 0

    def __post_init__(self) -> None:
        if not any(self.counts) or min(self.counts) < 0 or self.lost < 0:
            raise ValueError(f"a law needs counts of 0 and more, one of them above 0, got {self}")

    @property
    def total(self) -> int:
        """All that was counted, lost ones too."""
        return sum(self.counts) + self.lost

    @property
    def longest(self) -> int:
        """The longest delay that was seen, in ledgers."""
        return max(delay for delay, count in enumerate(self.counts) if count)

    def with_seen(self, delays: Sequence[int], lost: int = 0) -> Self:
        """This law and what was seen since: `delays[d]` times a delay of `d` ledgers, `lost` times none at all.

        A default counts as much as the cases it stands for and fades as more is seen.
        """
        counts = tuple(mine + more for mine, more in zip_longest(self.counts, delays, fillvalue=0))
        return replace(self, counts=counts, lost=self.lost + lost)


LATENCY = Law(counts=(92, 7), lost=1)
"""Ledgers between the one a transaction is aimed at and the one that applies it, for want of anything seen."""

TURNOVER = Law(counts=(4, 2, 1, 1))
"""Ledgers between the first that can open the next block and the one that does, for want of anything seen."""


@dataclass(frozen=True, slots=True)
class Landings:
    """Where a transaction ends up whose bytes are sent once more a ledger later if they were lost.

    Attributes:
        weights: Of each delay in ledgers after the one aimed at.
        lost: Weight of never being applied.
    """

    weights: tuple[int, ...]
    lost: int

    @classmethod
    def of(cls, latency: Law) -> Self:
        """The landings under a law of latency."""
        once = [count * latency.total for count in latency.counts] + [0]
        again = [0] + [count * latency.lost for count in latency.counts]
        return cls(tuple(map(sum, zip(once, again, strict=True))), latency.lost**2)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Every delay that can be, with its weight."""
        return ((delay, weight) for delay, weight in enumerate(self.weights) if weight)


def works_in(turnover: Law, after: int) -> int:
    """The weight, over twice `turnover.total`, with which a ledger still takes a block's work.

    In the ledger that opens the next block the order of transactions is drawn: half of the works come before the plant
    that opens.

    Args:
        turnover: The law of turnovers.
        after: Ledgers from the first that can open the next block to the work's; negative before.
    """
    later = sum(count for delay, count in enumerate(turnover.counts) if delay > after)
    same = turnover.counts[after] if 0 <= after < len(turnover.counts) else 0
    return 2 * (later + turnover.lost) + same
