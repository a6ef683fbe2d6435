"""Deadlines, the order of jobs, counters and refused arguments of the engine of kale_hash_rs."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from kale_hash_rs import Engine, EngineClosedError, JobStats, kernel_hashes, kernels
from tests.fixtures.hash_engine import BLOCK, ENTROPY, FARMER, GRANULE, submit


def test_job_whose_deadline_has_passed_hashes_nothing(engine: Engine) -> None:
    job = submit(engine, deadline=0, nonce_start=5)
    assert (job.state, job.hashes, job.next_nonce, job.best) == ("expired", 0, 5, None)
    assert job.wait(0)
    assert [(event.find, event.ended) for event in engine.events(0)] == [(None, True)]


def test_deadline_ends_a_job_that_can_be_resumed_where_it_stopped(engine: Engine) -> None:
    job = submit(engine, deadline=0.05, nonce_start=GRANULE)
    assert job.wait()
    assert job.state == "expired"
    assert job.next_nonce == GRANULE + job.hashes
    assert job.hashes % GRANULE == 0
    *_, last = engine.events(0)
    assert (last.ended, last.find) == (True, job.best)
    job.cancel()
    assert job.state == "expired"


def test_deadline_of_a_job_behind_others_passes_too(engine: Engine) -> None:
    endless = submit(engine, weight=2**32 - 1)
    job = submit(engine, deadline=0.05)
    assert job.wait()
    assert (job.state, endless.state) == ("expired", "running")


@pytest.mark.parametrize("deadline", [3600.0, float("inf"), 1e300])
def test_job_that_ends_in_time_is_finished(engine: Engine, deadline: float) -> None:
    job = submit(engine, deadline=deadline, nonce_count=GRANULE + 1)
    assert job.wait()
    assert (job.state, job.hashes) == ("finished", GRANULE + 1)
    closed = submit(engine, deadline=deadline)
    engine.close()
    assert closed.state == "cancelled"


def test_fewest_zeros_first_leaves_those_ahead_alone() -> None:
    with Engine(1, order="fewest_zeros") as engine:
        behind = submit(engine, min_zeros=3, max_zeros=40)
        ahead = submit(engine, min_zeros=41, weight=2**32 - 1)
        while not any(event.find and event.find.zeros >= 5 for event in engine.events()):
            pass
        assert ahead.hashes == 0
        assert engine.order == "fewest_zeros"
        behind.cancel()
        while ahead.hashes == 0:
            assert not ahead.wait(0.01)
        assert behind.wait()


def test_raised_minimum_moves_a_job_back() -> None:
    with Engine(1, order="fewest_zeros") as engine:
        first = submit(engine, min_zeros=20)
        first.set_min_zeros(22)
        second = submit(engine, min_zeros=21, nonce_count=50 * GRANULE)
        hashes = first.hashes
        assert second.wait()
        # The first had the granule that was under way when the second came, and perhaps one after the second's end.
        assert first.hashes - hashes <= 2 * GRANULE


def test_equal_zeros_share_by_weight() -> None:
    with Engine(1, order="fewest_zeros") as engine:
        endless = submit(engine, min_zeros=40, weight=3)
        job = submit(engine, min_zeros=40, nonce_count=40 * GRANULE)
        assert job.wait()
        assert endless.hashes >= 3 * 38 * GRANULE


def test_events_of_each_job_rise_and_end_with_its_end(engine: Engine) -> None:
    jobs = {
        str(number): submit(engine, nonce_count=40_000, nonce_start=number << 40, tag=str(number))
        for number in range(20)
    }
    told: dict[str, list[int]] = {tag: [] for tag in jobs}
    ended: set[str] = set()
    while len(ended) < len(jobs):
        for event in engine.events():
            assert event.tag not in ended
            if event.ended:
                ended.add(event.tag)
                assert event.find == jobs[event.tag].best
            else:
                assert event.find is not None
                told[event.tag].append(event.find.zeros)
    for tag, zeros in told.items():
        best = jobs[tag].best
        assert best is not None
        assert zeros == sorted(set(zeros))
        assert zeros[-1] == best.zeros


def test_limited_events_come_in_the_same_order() -> None:
    with Engine(1) as engine:
        job = submit(engine, nonce_count=200_000)
        assert job.wait()
        first, second = engine.events(limit=1), engine.events(0, 1)
        rest = engine.events(0)
        events = first + second + rest
        assert (len(first), len(second)) == (1, 1)
        assert [event.ended for event in events] == [False] * (len(events) - 1) + [True]
        assert engine.events(0) == []


def test_stats_count_hashes_finds_and_ends(engine: Engine) -> None:
    before = kernel_hashes()
    assert list(before) == sorted(kernels())
    finished = [submit(engine, nonce_count=20_000) for _ in range(3)]
    assert all(job.wait() for job in finished)
    events = engine.events()
    submit(engine, deadline=0)
    endless = submit(engine, min_zeros=60, weight=7, tag="endless")
    (running,) = engine.stats().running
    assert isinstance(running, JobStats)
    assert (running.tag, running.weight, running.zeros) == ("endless", 7, None)
    assert running.hashes <= endless.hashes
    endless.cancel()
    assert endless.wait()
    stats = engine.stats()
    assert stats.hashes == 60_000 + endless.hashes
    assert stats.finds == sum(not event.ended for event in events)
    assert (stats.jobs, stats.running) == (0, [])
    assert (stats.finished, stats.cancelled, stats.expired) == (3, 1, 1)
    assert (stats.threads, stats.kernel) == (engine.threads, engine.kernel)
    assert kernel_hashes()[engine.kernel] - before[engine.kernel] == stats.hashes


def test_workers_need_nothing_of_python(engine: Engine) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)  # who needs the interpreter now waits for an hour
    try:
        job = submit(engine, nonce_count=10 * GRANULE)
        while job.state == "running":
            pass
    finally:
        sys.setswitchinterval(interval)
    assert job.hashes == 10 * GRANULE


def test_closed_engine_refuses_work_and_its_jobs_still_answer(engine: Engine) -> None:
    job = submit(engine, min_zeros=1, max_zeros=30)
    engine.close()
    assert [event.ended for event in engine.events()][-1]
    closed: list[Callable[[], object]] = [lambda: submit(engine), engine.events, lambda: engine.events(0, 1)]
    for call in closed:
        with pytest.raises(EngineClosedError, match=r"^the engine is closed$"):
            call()
    job.cancel()
    job.set_weight(2)
    job.set_min_zeros(3)
    assert (job.state, job.wait()) == ("cancelled", True)
    assert engine.stats().hashes == job.hashes


@pytest.mark.parametrize("threads", [0, -1, 4097, 2**200])
def test_impossible_thread_counts_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match="threads must be from 1 to 4096, got"):
        Engine(threads)


def test_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match='order must be "weight" or "fewest_zeros", got "fastest"'):
        Engine(1, order="fastest")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_zeros": 65}, "min_zeros must be from 0 to 64, got 65"),
        ({"max_zeros": -1}, "max_zeros must be from 0 to 64, got -1"),
        ({"min_zeros": 5, "max_zeros": 4}, r"min_zeros \(5\) <= max_zeros \(4\) <= 64 must hold"),
        ({"nonce_start": -1}, "nonce_start must be from 0 to 18446744073709551616, got -1"),
        ({"nonce_start": 2**64 + 1}, "nonce_start must be from 0 to 18446744073709551616"),
        ({"nonce_start": 10, "nonce_count": 2**64 - 9}, "nonce_count must be from 0 to 18446744073709551606"),
        ({"weight": 0}, "weight must be from 1 to 4294967295, got 0"),
        ({"weight": 2**32}, "weight must be from 1 to 4294967295, got 4294967296"),
        ({"deadline": -0.1}, "deadline must be 0 or more seconds, or None, got -0.1"),
        ({"deadline": float("nan")}, "deadline must be 0 or more seconds, or None, got NaN"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with Engine(1) as engine:
        with pytest.raises(ValueError, match=message):
            submit(engine, **options)
        assert engine.stats().jobs == 0


@pytest.mark.parametrize(
    ("block_index", "entropy", "farmer", "message"),
    [
        (2**32, ENTROPY, FARMER, "block_index must be from 0 to 4294967295, got 4294967296"),
        (BLOCK, ENTROPY[1:], FARMER, "entropy must have 32 bytes, got 31"),
        (BLOCK, ENTROPY, FARMER + b"\0", "farmer must have 32 bytes, got 33"),
    ],
)
def test_bad_messages_are_refused(block_index: int, entropy: bytes, farmer: bytes, message: str) -> None:
    with Engine(1) as engine, pytest.raises(ValueError, match=message):
        engine.submit(block_index, entropy, farmer)


@pytest.mark.parametrize("options", [{"weight": 1.5}, {"tag": b"tag"}, {"deadline": "soon"}, {"unknown": 1}])
def test_options_of_another_type_are_type_errors(options: dict[str, Any]) -> None:
    with Engine(1) as engine, pytest.raises(TypeError):
        submit(engine, **options)


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_bad_timeouts_are_refused(timeout: float) -> None:
    with Engine(1) as engine:
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds, or None"):
            engine.events(timeout)
        with pytest.raises(ValueError, match="limit must be from 1 to"):
            engine.events(0, 0)
