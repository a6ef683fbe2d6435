"""What the engine of kale_hash_rs promises, for every kernel that this CPU can run."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kale_hash_rs import (
    Engine,
    EngineClosedError,
    Event,
    Job,
    KernelUnavailableError,
    count_zeros,
    hash_nonce,
    kernels,
    usable_threads,
)
from tests.fixtures.hash_engine import BLOCK, ENTROPY, FARMER, GRANULE, submit

KNOWN_NONCE = 20495217910  # 8 zeros


def events_until_end(engine: Engine) -> list[Event]:
    """All events until one ends a job."""
    events: list[Event] = []
    while not any(event.ended for event in events):
        events += engine.events()
    return events


def best_of(nonces: range) -> tuple[int, int]:
    """The most zeros among `nonces`, and the lowest nonce that has them."""
    zeros = {nonce: count_zeros(hash_nonce(BLOCK, nonce, ENTROPY, FARMER)) for nonce in nonces}
    best = max(zeros.values())
    return best, min(nonce for nonce in nonces if zeros[nonce] == best)


def test_finds_the_known_nonce(engine: Engine) -> None:
    job = submit(engine, nonce_start=KNOWN_NONCE - 20_000, nonce_count=40_000, tag="known")
    assert job.wait()
    assert job.best is not None
    assert (job.best.nonce, job.best.zeros) == (KNOWN_NONCE, 8)
    assert job.best.digest == hash_nonce(BLOCK, KNOWN_NONCE, ENTROPY, FARMER)
    assert (job.tag, job.state, job.hashes) == ("known", "finished", 40_000)


@pytest.mark.parametrize("start", [0, 2**32 - 15_000, 2**64 - 30_000])
def test_best_is_the_most_zeros_then_the_lowest_nonce(engine: Engine, start: int) -> None:
    job = submit(engine, nonce_start=start, nonce_count=30_000)
    assert job.wait()
    assert job.best is not None
    assert (job.best.zeros, job.best.nonce) == best_of(range(start, start + 30_000))
    assert job.next_nonce == start + 30_000


def test_every_better_find_is_an_event_and_the_end_is_the_last(engine: Engine) -> None:
    job = submit(engine, nonce_count=100_000, tag="a")
    *finds, end = events_until_end(engine)
    zeros = [event.find.zeros for event in finds if event.find]
    assert zeros == sorted(set(zeros))
    assert len(zeros) == len(finds) >= 1
    assert (end.tag, end.ended, end.find) == ("a", True, job.best)
    assert not any(event.ended for event in finds)


def test_first_event_needs_no_zeros(engine: Engine) -> None:
    submit(engine, nonce_count=1)
    first, end = events_until_end(engine)
    assert first.find == end.find
    assert first.find is not None
    assert first.find.zeros == count_zeros(hash_nonce(BLOCK, 0, ENTROPY, FARMER)) == 0


def test_finds_below_min_zeros_are_not_told(engine: Engine) -> None:
    job = submit(engine, nonce_count=50_000, min_zeros=20)
    assert [(event.find, event.ended) for event in events_until_end(engine)] == [(None, True)]
    assert job.best is None


def test_max_zeros_ends_a_job_with_the_lowest_nonce(engine: Engine) -> None:
    job = submit(engine, max_zeros=3)
    assert job.wait()
    assert job.state == "finished"
    assert job.best is not None
    first = next(n for n in itertools.count() if count_zeros(hash_nonce(BLOCK, n, ENTROPY, FARMER)) >= 3)
    assert job.best.nonce == first


def test_min_zeros_may_rise_while_running(engine: Engine) -> None:
    job = submit(engine, max_zeros=30)
    engine.events()
    job.set_min_zeros(30)
    best = job.best
    hashes = job.hashes
    with pytest.raises(ValueError, match=r"min_zeros \(31\) <= max_zeros \(30\)"):
        job.set_min_zeros(31)
    job.cancel()
    assert job.wait()
    assert job.best == best
    assert job.hashes >= hashes


def test_cancel_costs_at_most_a_granule_a_thread(engine: Engine) -> None:
    job = submit(engine)
    engine.events()
    job.cancel()
    hashes = job.hashes
    assert job.wait()
    assert job.hashes - hashes <= engine.threads * GRANULE
    assert job.state == "cancelled"
    job.cancel()
    assert job.state == "cancelled"


def test_cancelled_job_resumes_at_next_nonce_without_hashing_twice(engine: Engine) -> None:
    count = 200_000
    first = submit(engine, nonce_count=count)
    engine.events()
    first.cancel()
    assert first.wait()
    second = submit(engine, nonce_start=first.next_nonce, nonce_count=count - first.next_nonce)
    assert second.wait()
    assert first.hashes + second.hashes == count


def test_job_goes_on_after_its_last_nonce(engine: Engine) -> None:
    job = submit(engine, nonce_start=2**64 - 5)
    assert job.wait()
    assert (job.hashes, job.next_nonce) == (5, 2**64)
    rest = submit(engine, nonce_start=job.next_nonce)
    assert (rest.state, rest.hashes, rest.best) == ("finished", 0, None)


@pytest.mark.parametrize(("weight", "other"), [(1, 3), (3, 1)])
def test_jobs_share_by_weight(engine: Engine, weight: int, other: int) -> None:
    count = 40 * weight * GRANULE
    endless = submit(engine, weight=other)
    job = submit(engine, weight=weight, nonce_count=count)
    assert job.wait()
    assert endless.hashes >= 40 * other * GRANULE - (engine.threads + 1) * other * GRANULE


def test_weight_may_change_while_running(engine: Engine) -> None:
    endless, job = submit(engine), submit(engine, nonce_count=40 * GRANULE)
    endless.set_weight(5)
    assert job.wait()
    assert endless.hashes >= 5 * (40 - engine.threads - 1) * GRANULE
    with pytest.raises(ValueError, match="weight must be from 1 to 4294967295, got 0"):
        endless.set_weight(0)


def test_close_cancels_jobs_and_joins_the_threads(engine: Engine) -> None:
    jobs = [submit(engine) for _ in range(30)]
    engine.close()
    engine.close()
    assert {job.state for job in jobs} == {"cancelled"}
    assert not [name for name in thread_names() if name.startswith("kale-hash")]
    with pytest.raises(EngineClosedError, match="the engine is closed"):
        submit(engine)
    assert sum(event.ended for event in engine.events()) == 30
    with pytest.raises(EngineClosedError):
        engine.events()


def test_engine_that_nobody_holds_is_closed() -> None:
    engine = Engine(2)
    job = submit(engine)
    assert not job.wait(0)
    del engine
    assert job.state == "cancelled"
    assert not [name for name in thread_names() if name.startswith("kale-hash")]


def thread_names() -> list[str]:
    """The names of this process's threads as the kernel knows them."""
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


def test_workers_give_way_to_other_work() -> None:
    with Engine(1) as engine:
        assert submit(engine, nonce_count=1).wait()
        tasks = Path("/proc/self/task").iterdir()
        worker = next(int(task.name) for task in tasks if (task / "comm").read_text() == "kale-hash-0\n")
        assert os.getpriority(os.PRIO_PROCESS, worker) == max(10, os.getpriority(os.PRIO_PROCESS, 0))


def test_engine_without_jobs_uses_no_cpu(engine: Engine) -> None:
    assert submit(engine, nonce_count=100_000).wait()
    tasks = [task for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text().startswith("kale-hash")]
    assert len(tasks) == engine.threads
    while not all(") S " in (task / "stat").read_text() for task in tasks):
        pass  # they look for more work for a moment before they sleep
    used = [(task / "schedstat").read_text().split()[0] for task in tasks]
    for nonce in range(5_000):
        hash_nonce(BLOCK, nonce, ENTROPY, FARMER)
    assert [(task / "schedstat").read_text().split()[0] for task in tasks] == used


def test_waiting_lets_other_threads_run_and_close_ends_it() -> None:
    engine = Engine(1)
    taken: list[Event] = []

    def take_all() -> None:
        try:
            while True:
                taken.extend(engine.events())
        except EngineClosedError:
            return

    taker = threading.Thread(target=take_all)
    taker.start()
    job = submit(engine, tag="for the other thread")
    assert not job.wait(0)
    engine.close()
    taker.join()
    assert taken[-1].ended
    assert taken[-1].tag == "for the other thread"


def test_nothing_to_tell_is_an_empty_list() -> None:
    with Engine(1) as engine:
        assert engine.events(0) == []
        assert engine.events(0.01) == []


@pytest.mark.parametrize("call", ["engine.events()", "engine.submit(1, bytes(32), bytes(32)).wait()"])
def test_interrupt_ends_a_wait(call: str) -> None:
    script = f"""
import signal
from kale_hash_rs import Engine
# A shell that started the tests in the background has left SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
engine = Engine(1)
try:
    print("waiting", flush=True)
    {call}
    while True:
        {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    engine.close()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate()[0] == "interrupted\n"
        assert process.returncode == 0


def test_fork_gets_an_error_and_can_have_an_engine_of_its_own() -> None:
    with Engine(2) as engine:
        job = submit(engine)
        engine.events()
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a hang ends the child, and so fails the test
            os._exit(0 if child_is_refused(engine, job) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert job.state == "running"


def child_is_refused(engine: Engine, job: Job) -> bool:
    """Whether every use of a parent's engine is refused in a fork, and a new engine works there."""
    calls: list[Callable[[], object]] = [
        engine.stats,
        engine.events,
        job.wait,
        job.cancel,
        lambda: job.hashes,
        lambda: submit(engine),
    ]
    for call in calls:
        try:
            call()
        except EngineClosedError as error:
            if f"belongs to process {os.getppid()}" not in str(error):
                return False
        else:
            return False
    engine.close()
    with Engine(1) as own:
        return submit(own, nonce_count=10).wait()


@pytest.mark.parametrize("name", ["avx2048", "AVX2", "", "sha3"])
def test_kernel_that_this_cpu_lacks_is_an_error(name: str) -> None:
    with pytest.raises(KernelUnavailableError, match=f'named "{name}"; it can run: {", ".join(kernels())}'):
        Engine(1, name)


def test_kernel_and_threads_default_to_the_best() -> None:
    with Engine() as engine:
        assert (engine.kernel, engine.threads) == (kernels()[0], usable_threads())
        assert repr(engine) == f'Engine(threads={engine.threads}, kernel="{engine.kernel}", order="weight")'
