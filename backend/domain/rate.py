"""Rate limits: a token bucket for each client, kept as one number."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

_MAX_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """How much a client may do."""

    per_second: float
    """Calls a second that go on for ever."""
    burst: int
    """Calls at once after a pause."""


@dataclass(slots=True)
class RateLimits:
    """The buckets of all clients, by the generic cell rate algorithm (ITU-T I.371).

    Of each client only the moment is kept at which its bucket is full again. Times are seconds of any clock that never
    goes back. The clients longest unheard of are forgotten first where there are too many.
    """

    rate: Rate
    max_clients: int = _MAX_CLIENTS
    _full_at: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def wait(self, client: str, now: float) -> float:
        """Seconds until this client may call again; 0: now."""
        after = max(self._full_at.get(client, now), now) + 1 / self.rate.per_second
        # A thousandth of a call less than the burst would lose calls to rounding.
        return max(0.0, after - now - (self.rate.burst + 1e-3) / self.rate.per_second)

    def take(self, client: str, now: float) -> None:
        """Counts a call of this client."""
        self._full_at[client] = max(self._full_at.get(client, now), now) + 1 / self.rate.per_second
        self._full_at.move_to_end(client)
        if len(self._full_at) > self.max_clients:
            self._full_at.popitem(last=False)
