"""A peer's stream that ends with its certificate, or with the call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from backend.api.peers import until


class Stream:
    """Yields so many items and then waits; knows whether it was left."""

    def __init__(self, items: int) -> None:
        self._items = items
        self.waiting = asyncio.Event()
        self.left = False

    async def items(self) -> AsyncIterator[int]:
        """The items."""
        try:
            for number in range(self._items):
                yield number
            self.waiting.set()
            await asyncio.Event().wait()
        finally:
            self.left = True


async def all_of(stream: AsyncIterator[int]) -> list[int]:
    return [item async for item in stream]


async def short() -> AsyncIterator[int]:
    yield 1
    yield 2


async def test_stream_that_ends_is_whole() -> None:
    assert await all_of(until(asyncio.Event(), short())) == [1, 2]


async def test_stream_ends_with_the_event_after_what_came_before() -> None:
    stream, ending = Stream(3), asyncio.Event()
    reading = asyncio.create_task(all_of(until(ending, stream.items())))
    await stream.waiting.wait()
    ending.set()
    assert await reading == [0, 1, 2]
    assert stream.left


async def test_cancelled_call_leaves_nobody_waiting_for_an_item() -> None:
    stream = Stream(1)
    reading = asyncio.create_task(all_of(until(asyncio.Event(), stream.items())))
    await stream.waiting.wait()
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    assert reading.cancelled()
    assert stream.left
    assert asyncio.all_tasks() == {asyncio.current_task()}
