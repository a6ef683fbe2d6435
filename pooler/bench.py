"""Measures the hash rate: every kernel on one thread beside the `sha3` crate, and the engine on more and more threads.

Machines are shared and their clocks vary, so the runs are interleaved: each round measures every contender once, and
the table tells the least, the median and the greatest rate over the rounds.
"""

import json as json_text
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from kale_hash_rs import Engine, kernels, usable_threads
from kale_hash_rs._native import measure_rate

REFERENCE = "sha3"
ROUNDS = 5


@dataclass(frozen=True)
class Rates:
    """What one contender reached: hashes per second over the rounds, and its median against the `sha3` crate's."""

    name: str
    threads: int
    minimum: float
    median: float
    maximum: float
    times_sha3: float


@dataclass(frozen=True)
class _Contender:
    name: str
    threads: int
    rate: Callable[[float], float]  # hashes per second, measured for that many seconds


def run_bench(seconds: float, threads: int | None, *, json: bool) -> None:
    """Measures and prints a table, or JSON.

    Args:
        seconds: How long to measure in all.
        threads: The most threads for the engine; None: as many as the process may use.
        json: Whether to print one JSON object instead of the table.

    Raises:
        ValueError: If `seconds` is not positive or `threads` is less than 1.
    """
    if seconds <= 0:
        raise ValueError(f"seconds must be more than 0, got {seconds}")
    contenders = _contenders(usable_threads() if threads is None else threads)
    console = Console(stderr=True)
    runs = track(
        _interleaved(contenders, seconds),
        total=ROUNDS * len(contenders),
        description="Measuring",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    rates = _summary(contenders, list(runs))
    if json:
        print(json_text.dumps({"seconds": seconds, "rounds": ROUNDS, "rates": [asdict(rate) for rate in rates]}))  # noqa: T201
    else:
        Console().print(_table(rates))


def _contenders(threads: int) -> list[_Contender]:
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    one_thread = [_Contender(name, 1, partial(measure_rate, name)) for name in (REFERENCE, *kernels())]
    counts = sorted({1, *(2**power for power in range(threads.bit_length())), threads})
    return one_thread + [_Contender("engine", count, partial(_engine_rate, count)) for count in counts]


def _engine_rate(threads: int, seconds: float) -> float:
    with Engine(threads) as engine:
        job = engine.submit(37, bytes(32), bytes(32))
        engine.events()  # the first find: every thread has begun
        start, hashes = time.perf_counter(), job.hashes
        job.wait(seconds)
        while job.hashes == hashes:  # a rate needs a granule at least
            job.wait(seconds)
        return (job.hashes - hashes) / (time.perf_counter() - start)


def _interleaved(contenders: list[_Contender], seconds: float) -> Iterator[float]:
    """One rate for each contender, in order, again and again for all rounds."""
    for _ in range(ROUNDS):
        for contender in contenders:
            yield contender.rate(seconds / ROUNDS / len(contenders))


def _summary(contenders: list[_Contender], runs: list[float]) -> list[Rates]:
    rounds = [runs[place :: len(contenders)] for place in range(len(contenders))]
    reference = median(rounds[0])
    return [
        Rates(contender.name, contender.threads, min(rates), median(rates), max(rates), median(rates) / reference)
        for contender, rates in zip(contenders, rounds, strict=True)
    ]


def _table(rates: list[Rates]) -> Table:
    table = Table(title=f"Millions of hashes per second, {ROUNDS} interleaved rounds")
    for heading in ("", "threads", "min", "median", "max", f"times {REFERENCE}"):
        table.add_column(heading, justify="left" if not heading else "right")
    for rate in rates:
        figures = [f"{figure / 1e6:.2f}" for figure in (rate.minimum, rate.median, rate.maximum)]
        table.add_row(rate.name, str(rate.threads), *figures, f"{rate.times_sha3:.2f}")
    return table
