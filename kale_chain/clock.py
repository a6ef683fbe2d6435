"""The block clock: how fast ledgers close, and in which of them the next block can open.

A block is over at a ledger *time*, while transactions are aimed at ledger *numbers*. What lies between is the pace of
ledgers, which this learns from their closes. Times are seconds of ledger time, whole as the ledger keeps them.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from kale_chain.model import Ledger

SURE = 2.33
"""Standard deviations that an interval, or a sum of them, stays within 99 times of 100 on one side."""

HALT_SECONDS = 30
"""A ledger that took longer tells of a halt and nothing of the usual pace."""

_RECENT = 60
"""Ledgers whose mean and spread count: about a block."""
_REMEMBERED = 300
"""Ledgers whose shortest counts: a shorter one then comes less than once in a hundred."""
_ENOUGH = 12
"""With fewer ledgers seen than this the extremes of `UNKNOWN` hold too."""
_FARTHEST = 10_000
"""Ledgers that are looked ahead at most."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The ledgers in which the next block can open.

    Attributes:
        earliest: The first that may close at or after the block's end; a plant may open the next block in it.
        expected: The one that most likely is the first to close so.
        latest: The first that surely does.
    """

    earliest: int
    expected: int
    latest: int

    @property
    def last_safe(self) -> int:
        """The last ledger that surely is before the end; at or before the last closed one if there is none left."""
        return self.earliest - 1


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds from one ledger to the next.

    Attributes:
        mean: The usual.
        deviation: Its standard deviation.
        shortest: Fewer are not to be expected.
        longest: More are not to be expected, but for halts.
    """

    mean: float
    deviation: float
    shortest: float
    longest: float

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.mean <= self.longest or self.deviation < 0:
            raise ValueError(f"no pace of ledgers: {self}")

    def least(self, ledgers: int, deviations: float = SURE) -> float:
        """Seconds that so many ledgers surely take."""
        return max(ledgers * self.shortest, ledgers * self.mean - deviations * self.deviation * math.sqrt(ledgers))

    def most(self, ledgers: int, deviations: float = SURE) -> float:
        """Seconds that so many ledgers take at most, but for halts."""
        return min(ledgers * self.longest, ledgers * self.mean + deviations * self.deviation * math.sqrt(ledgers))

    def opening(self, last: Ledger, ends_at: int, *, deviations: float = SURE) -> Opening:
        """Where the next block can open.

        Args:
            last: The last closed ledger.
            ends_at: Ledger time from which a plant opens the next block (`Block.ends_at` of the farm's record).
            deviations: How sure the bounds are, in standard deviations.
        """
        left = ends_at - last.close_time
        if left <= 0:
            return Opening(last.sequence + 1, last.sequence + 1, last.sequence + 1)

        def first(seconds: Iterator[float]) -> int:
            return next((n for n, passed in enumerate(seconds, 1) if passed >= left), _FARTHEST)

        ahead = range(1, _FARTHEST)
        earliest = first(self.most(n, deviations) for n in ahead)
        expected = first(n * self.mean for n in ahead)
        latest = first(self.least(n, deviations) for n in ahead)
        return Opening(last.sequence + earliest, last.sequence + expected, last.sequence + latest)

    def next_reaches(self, last: Ledger, time: int) -> bool:
        """Whether the ledger after `last` surely closes at `time` or later (wrong less than once in a hundred)."""
        return last.close_time + self.least(1) >= time


UNKNOWN = Pace(mean=5.0, deviation=0.7, shortest=4.0, longest=8.0)
"""The public networks' pace, for want of anything seen; shorter and longer ledgers than they usually have."""


class BlockClock:
    """Learns the pace of ledgers from those that close.

    Ledgers may be missed (the time is shared among those between), come again or go backwards (they are passed over);
    halts are not learned from.
    """

    def __init__(self) -> None:
        self._last: Ledger | None = None
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._pace = UNKNOWN

    @property
    def last(self) -> Ledger | None:
        """The last ledger observed; None before the first."""
        return self._last

    @property
    def pace(self) -> Pace:
        """The pace as learned so far; `UNKNOWN` before anything was."""
        return self._pace

    def observe(self, ledger: Ledger) -> None:
        """A ledger has closed."""
        before = self._last
        if before is not None and (ledger.sequence <= before.sequence or ledger.close_time < before.close_time):
            return
        self._last = ledger
        if before is None:
            return
        ledgers = ledger.sequence - before.sequence
        each = (ledger.close_time - before.close_time) / ledgers
        if 0 < each <= HALT_SECONDS:
            self._seconds.extend([each] * min(ledgers, _RECENT))
            self._pace = self._learned()

    def _learned(self) -> Pace:
        recent = list(islice(reversed(self._seconds), _RECENT))
        mean = sum(recent) / len(recent)
        deviation = math.sqrt(sum((seconds - mean) ** 2 for seconds in recent) / len(recent))
        shortest, longest = min(self._seconds), max(recent)
        if len(self._seconds) < _ENOUGH:
            shortest, longest = min(shortest, UNKNOWN.shortest), max(longest, UNKNOWN.longest)
            deviation = max(deviation, UNKNOWN.deviation)
        return Pace(max(mean, shortest), deviation, shortest, max(mean, longest))
