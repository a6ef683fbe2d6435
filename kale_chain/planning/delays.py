"""Delays as they are seen, which make the laws that plans go by."""

from collections import Counter, deque
from collections.abc import Iterable

from kale_chain.planning.laws import Law

REMEMBERED = 500
"""Delays that count; of those on disk older ones may be forgotten."""
_LONGEST = 30


class Delays:
    """What was seen of one kind of delay, beside the default that is believed until then.

    Args:
        default: The law for want of anything seen.
    """

    def __init__(self, default: Law) -> None:
        self._default = default
        self._seen: deque[int | None] = deque(maxlen=REMEMBERED)
        self._fresh: list[int | None] = []

    def add(self, delay: int | None) -> None:
        """A delay in ledgers, or None: it never came. One of more than 30 ledgers was a halt and is passed over."""
        if delay is None or delay <= _LONGEST:
            seen = None if delay is None else max(delay, 0)
            self._seen.append(seen)
            self._fresh.append(seen)

    def remember(self, seen: Iterable[int | None]) -> None:
        """What an earlier run has seen, before anything that this one has."""
        self._seen = deque([*seen, *self._seen], maxlen=REMEMBERED)

    def drain(self) -> list[int | None]:
        """What was added since the last call of this."""
        fresh, self._fresh = self._fresh, []
        return fresh

    @property
    def law(self) -> Law:
        """The default and the last 500 that were seen."""
        counts = Counter(self._seen)
        lost = counts.pop(None, 0)
        most = max((delay for delay in counts if delay is not None), default=-1)
        return self._default.with_seen([counts[delay] for delay in range(most + 1)], lost)
