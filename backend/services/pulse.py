"""Telling waiters that something changed."""

from __future__ import annotations

import asyncio


class Pulse:
    """Counts changes and wakes everyone who waits for the next; who looks at `count` first misses none."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    def beat(self) -> None:
        """Counts a change and wakes the waiters."""
        self.count += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def after(self, count: int) -> int:
        """The present count, as soon as it is above `count`."""
        while self.count <= count:
            await self._changed.wait()
        return self.count
