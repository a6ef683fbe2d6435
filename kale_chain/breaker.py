"""A circuit breaker: whether an endpoint is worth asking. It says nothing about any ledger or transaction."""

import asyncio
from collections.abc import Callable
from enum import StrEnum

FAILURES_TO_OPEN = 3
"""Calls that must fail one after the other before an endpoint is left alone."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
UNTOLD_WAIT_SECONDS = 1.0
"""How long to stay away from an endpoint that asks for fewer calls without saying for how long."""
LONGEST_WAIT_SECONDS = 600.0
"""The longest that an endpoint's own Retry-After is believed."""


class CircuitState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    """Calls go through."""
    OPEN = "open"
    """The endpoint failed repeatedly and is left alone."""
    HALF_OPEN = "half-open"
    """The pause is over: the next call decides."""


def loop_time() -> float:
    """Seconds on the running event loop's clock."""
    return asyncio.get_running_loop().time()


class CircuitBreaker:
    """Counts what calls of one endpoint came to.

    Args:
        clock: Tells seconds.
        longest_pause: Seconds that an endpoint is left alone at most.
    """

    def __init__(self, clock: Callable[[], float] = loop_time, *, longest_pause: float = LONGEST_PAUSE_SECONDS) -> None:
        self._clock = clock
        self._longest_pause = longest_pause
        self._failures = 0
        self._pauses = 0
        self._open_until: float | None = None
        self._quiet_until: float | None = None

    @property
    def state(self) -> CircuitState:
        """Where it stands now."""
        if self._open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if self._clock() < self._open_until else CircuitState.HALF_OPEN

    @property
    def pause_seconds(self) -> float:
        """How much longer it stays open; 0 if it is not."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock())

    @property
    def quiet_seconds(self) -> float:
        """How much longer the endpoint asked to be left alone (Retry-After); 0 if it did not."""
        return 0.0 if self._quiet_until is None else max(0.0, self._quiet_until - self._clock())

    def succeeded(self) -> None:
        """A call was answered, be it with a refusal."""
        self._failures = self._pauses = 0
        self._open_until = self._quiet_until = None

    def failed(self) -> None:
        """A call was not answered as asked; enough of them, or one after a pause, open the circuit for ever longer."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN or self.state is CircuitState.HALF_OPEN:
            pause = min(FIRST_PAUSE_SECONDS * 2.0**self._pauses, self._longest_pause)
            self._pauses = min(self._pauses + 1, 16)
            self._failures = 0
            self._open_until = self._clock() + pause

    def wait(self, seconds: float | None) -> None:
        """The endpoint asked for no call in the next `seconds`; None: it did not say how many."""
        asked = UNTOLD_WAIT_SECONDS if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)
        self._quiet_until = self._clock() + asked
