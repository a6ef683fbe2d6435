"""How event loops wait for engines: one watched file descriptor for each loop and engine, and only while it waits."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from kale_hash_rs._native import Engine, EngineClosedError, Event, Find, Job, Watch

# What a future waits for: a job's number, or None for any news.
_Topic = int | None


class _Waiters:
    """The futures of one event loop that wait for news of one engine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, watch: Watch) -> None:
        self._loop = loop
        self._watch = watch
        self._futures: defaultdict[_Topic, set[asyncio.Future[None]]] = defaultdict(set)
        loop.add_reader(watch.fileno(), self._look)

    def _look(self) -> None:
        for topic in (None, *self._watch.take()):
            for future in self._futures.get(topic, ()):
                if not future.done():
                    future.set_result(None)

    def add(self, topic: _Topic) -> asyncio.Future[None]:
        future = self._loop.create_future()
        self._futures[topic].add(future)
        return future

    def remove(self, topic: _Topic, future: asyncio.Future[None]) -> bool:
        """Forgets a future; returns whether it was the last, so that the descriptor is no longer polled."""
        self._futures[topic].remove(future)
        if not self._futures[topic]:
            del self._futures[topic]
        if not self._futures:
            self._loop.remove_reader(self._watch.fileno())
        return not self._futures

    @property
    def lost(self) -> bool:
        """Whether the loop was closed before its futures were done."""
        return self._loop.is_closed()


_waiters: dict[tuple[asyncio.AbstractEventLoop, int], _Waiters] = {}


@contextmanager
def _future(source: Engine | Job, topic: _Topic) -> Iterator[asyncio.Future[None]]:
    """A future that is done at the next news of `topic`."""
    loop = asyncio.get_running_loop()
    key = loop, source._engine_id  # noqa: SLF001 - the native half of this module
    waiters = _waiters.get(key)
    if waiters is None:
        for other in [other for other, its in list(_waiters.items()) if its.lost]:
            _waiters.pop(other, None)
        waiters = _waiters[key] = _Waiters(loop, source._watch())  # noqa: SLF001
    future = waiters.add(topic)
    try:
        yield future
    finally:
        if waiters.remove(topic, future):
            _waiters.pop(key, None)


async def ended(job: Job) -> Find | None:
    """Waits for a job's end; returns its best find."""
    if job.state == "running":
        with _future(job, job._number) as future:  # noqa: SLF001
            if job.state == "running":  # else it ended before it was watched
                await future
    return job.best


async def next_events(engine: Engine, limit: int | None = None) -> list[Event]:
    """Waits for events and takes them, `limit` at most.

    Raises:
        EngineClosedError: If the engine is closed and its last events were taken.
    """
    events = engine.events(0, limit)
    while not events:
        with _future(engine, None) as future:
            events = engine.events(0, limit)
            if not events:  # else they came before the engine was watched
                await future
    return events


async def next_event(engine: Engine) -> Event:
    """Waits for the next event and takes it.

    Raises:
        StopAsyncIteration: If the engine is closed and its last event was taken.
        EngineClosedError: In a fork of the process that made the engine.
    """
    try:
        (event,) = await next_events(engine, 1)
    except EngineClosedError as error:
        engine.stats()  # which a fork is refused, too, but a closed engine answers
        raise StopAsyncIteration from error
    return event
