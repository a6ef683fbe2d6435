"""How the engine of kale_hash_rs is waited for in event loops: without threads, and with nothing left behind."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kale_hash_rs import Engine, EngineClosedError, Event, Find, Job
from tests.fixtures.hash_engine import submit

GRANULES = 100_000
WATCH_DESCRIPTORS = 2


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def result(job: Job) -> Find | None:
    """What awaiting a job gives, as a coroutine."""
    return await job


async def started(task: "asyncio.Task[object]") -> None:
    """Lets a task run until it waits."""
    await asyncio.sleep(0)
    assert not task.done()


async def test_awaiting_a_job_gives_its_best_find(engine: Engine) -> None:
    job = submit(engine, nonce_count=GRANULES)
    best = await job
    assert best is not None
    assert (job.state, best) == ("finished", job.best)
    assert await job == best
    assert await submit(engine, nonce_count=20_000, min_zeros=60) is None


async def test_many_waits_share_one_watch_and_need_no_thread(engine: Engine) -> None:
    before, threads = descriptors(), threading.active_count()
    jobs = [submit(engine, max_zeros=3, nonce_start=number << 40) for number in range(200)]
    endless = submit(engine)
    waits = [asyncio.create_task(result(job)) for job in [*jobs, *jobs, endless]]
    await started(waits[-1])
    assert descriptors() - before == WATCH_DESCRIPTORS
    assert threading.active_count() == threads
    finds = await asyncio.gather(*waits[:-1])
    assert all(find is not None and find.zeros >= 3 for find in finds)
    assert finds[:200] == finds[200:]
    endless.cancel()
    await waits[-1]
    assert endless.state == "cancelled"
    assert descriptors() == before


async def test_cancelled_wait_leaves_the_job_and_nothing_else(engine: Engine) -> None:
    before = descriptors()
    job = submit(engine)
    wait, other = asyncio.create_task(result(job)), asyncio.create_task(result(job))
    await started(wait)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await job
    assert (job.state, other.done()) == ("running", False)
    job.cancel()
    assert await other == job.best
    assert descriptors() == before


async def test_deadline_ends_a_wait(engine: Engine) -> None:
    job = submit(engine, deadline=0.02)
    assert await job == job.best
    assert job.state == "expired"


async def test_events_can_be_iterated_until_the_engine_is_closed(engine: Engine) -> None:
    before = descriptors()
    jobs = [submit(engine, nonce_count=GRANULES, tag=str(number)) for number in range(3)]
    events: list[Event] = []
    async for event in engine:
        events.append(event)
        if sum(event.ended for event in events) == len(jobs):
            engine.close()
    assert engine.stats().finds == sum(not event.ended for event in events)
    assert sorted(event.tag for event in events if event.ended) == ["0", "1", "2"]
    assert descriptors() == before
    with pytest.raises(EngineClosedError):
        await engine.next_events()


async def test_leaving_the_iteration_loses_no_event(engine: Engine) -> None:
    job = submit(engine, nonce_count=GRANULES)
    await job
    told = engine.stats().finds
    async for event in engine:
        first = event
        break
    assert not first.ended
    rest = await engine.next_events()
    assert len(rest) == told
    assert [event.ended for event in rest] == [False] * (told - 1) + [True]


async def test_cancelled_wait_for_events_loses_none(engine: Engine) -> None:
    before = descriptors()
    wait = asyncio.create_task(engine.next_events())
    await started(wait)
    job = submit(engine, nonce_count=1)
    assert job.wait()
    # Both events are there, and the loop has not seen them yet.
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert [event.ended for event in await engine.next_events()] == [False, True]
    assert descriptors() == before


async def test_every_event_reaches_one_of_those_who_wait(engine: Engine) -> None:
    taken: list[Event] = []

    async def take() -> None:
        async for event in engine:
            taken.append(event)  # noqa: PERF401 - what was taken counts even if this is cancelled

    takers = [asyncio.create_task(take()) for _ in range(5)]
    jobs = [submit(engine, nonce_count=20_000) for _ in range(20)]
    for job in jobs:
        await job
    engine.close()
    await asyncio.gather(*takers)
    stats = engine.stats()
    assert len(taken) == stats.finds + stats.finished


async def test_closing_from_another_thread_ends_every_wait(engine: Engine) -> None:
    before = descriptors()
    jobs = [submit(engine) for _ in range(10)]
    waits = [asyncio.create_task(result(job)) for job in jobs]
    for wait in waits:
        await started(wait)
    closing = threading.Thread(target=engine.close)
    closing.start()
    await asyncio.gather(*waits)
    closing.join()
    assert {job.state for job in jobs} == {"cancelled"}
    assert descriptors() == before


async def waited_for(job: Job) -> None:
    """Waits for an endless job, then ends it."""
    wait = asyncio.create_task(result(job))
    await started(wait)
    job.cancel()
    await wait


def test_closed_loop_leaves_nothing_once_another_waits(engine: Engine) -> None:
    before = descriptors()
    loop = asyncio.new_event_loop()
    job = submit(engine)
    wait = loop.create_task(result(job))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert descriptors() - before == WATCH_DESCRIPTORS
    asyncio.run(waited_for(submit(engine)))
    wait._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio would print a warning
    del wait
    gc.collect()
    assert descriptors() == before


def test_loops_of_several_threads_wait_for_one_engine(engine: Engine) -> None:
    job = submit(engine, max_zeros=4)
    finds: list[Find | None] = []
    threads = [threading.Thread(target=lambda: finds.append(asyncio.run(result(job)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert finds == [job.best] * 4


def test_fork_is_refused_at_once() -> None:
    with Engine(1) as engine:
        job = submit(engine)
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a hang ends the child, and so fails the test
            waits = (result(job), events(engine), first(engine))
            calls: list[Callable[[], object]] = [partial(asyncio.run, wait) for wait in waits]
            os._exit(sum(not refused(call) for call in calls))
        assert os.waitpid(child, 0)[1] == 0


async def events(engine: Engine) -> list[Event]:
    """The next events, as a coroutine of this module."""
    return await engine.next_events()


async def first(engine: Engine) -> Event | None:
    """The next event by iteration; None if the engine is closed."""
    async for event in engine:
        return event
    return None


def refused(call: Callable[[], object]) -> bool:
    """Whether a call raises EngineClosedError."""
    try:
        call()
    except EngineClosedError:
        return True
    return False
