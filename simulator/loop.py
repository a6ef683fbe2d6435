"""An event loop whose time is made up: nobody waits, and the same program runs in the same order every time.

There are no threads and no sockets: what is given to an executor runs at once, and where everyone waits for a timer
the clock jumps to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from simulator.errors import StuckError

T = TypeVar("T")

_RESOLUTION_SECONDS = 1e-6


class _Timers:
    """In place of a selector: waits for nothing but time."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        """Lets the time pass that the next timer is away."""
        if timeout is None:
            raise StuckError("everything waits, and no timer is set")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.base_events.BaseEventLoop):
    """The loop. `time()` starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self._timers = _Timers()
        self._clock_resolution = _RESOLUTION_SECONDS

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._timers.now

    def run_in_executor(  # type: ignore[override]  # the base's is generic in a way of its own
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Runs it now."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who awaits the future
            done.set_exception(error)
        return done

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in a virtual loop of its own, to its end."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        _cancel_all(loop)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
