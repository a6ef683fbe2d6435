"""Measures the hash rate: every kernel on one and more threads, beside the `sha3` crate on one.

Machines are shared and their clocks vary, so the runs are interleaved: each round measures every contender once. What
else the machine does can only slow a run down, so ratios are those of the best rounds.
"""

import json as json_text
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from rich.bar import Bar
from rich.console import Console
from rich.progress import track
from rich.table import Table

from kale_hash_rs import Engine, kernels, usable_threads
from kale_hash_rs._native import measure_rate

REFERENCE = "sha3"
ROUNDS = 5
_BAR_WIDTH = 24


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        name: Its name in the table.
        threads: The threads that it uses.
        rate: Measures for some seconds; hashes per second.
    """

    name: str
    threads: int
    rate: Callable[[float], float]


@dataclass(frozen=True)
class Rates:
    """What one contender reached: hashes per second over the rounds.

    Attributes:
        times_reference: Its best round against the best one of the first contender.
        times_one_thread: Its best round against its own on one thread; None if that was not measured.
    """

    name: str
    threads: int
    minimum: float
    median: float
    maximum: float
    times_reference: float
    times_one_thread: float | None


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
    rates = measure(contenders(usable_threads() if threads is None else threads), seconds, ROUNDS)
    if json:
        result = {"cpu": cpu(), "seconds": seconds, "rounds": ROUNDS, "rates": [asdict(rate) for rate in rates]}
        print(json_text.dumps(result))  # noqa: T201
    else:
        Console().print(table(rates, f"Millions of hashes per second, {ROUNDS} interleaved rounds\n{cpu()}"))


def contenders(threads: int) -> list[Contender]:
    """The `sha3` crate, then every kernel on 1, 2, 4 … and `threads` threads.

    Raises:
        ValueError: If `threads` is less than 1.
    """
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    counts = sorted({1, *(2**power for power in range(threads.bit_length())), threads})
    found = [Contender(REFERENCE, 1, partial(measure_rate, REFERENCE))]
    for kernel in kernels():
        found += [Contender(kernel, count, partial(engine_rate, kernel, count, 1)) for count in counts]
    return found


def engine_rate(kernel: str, threads: int, jobs: int, seconds: float) -> float:
    """Hashes per second of an engine with so many endless jobs."""
    with Engine(threads, kernel) as engine:
        start = time.perf_counter()
        while not (hashes := engine.stats().hashes):  # on a busy machine no thread may have begun in so short a time
            for number in range(jobs):
                engine.submit(
                    37, bytes(32), bytes(32), nonce_start=number << 40, min_zeros=64, deadline=seconds, tag=str(number)
                )
            ended = 0
            while ended < jobs:
                ended += sum(event.ended for event in engine.events())
        return hashes / (time.perf_counter() - start)


def measure(contenders: Sequence[Contender], seconds: float, rounds: int) -> list[Rates]:
    """Measures every contender in every round, for so many seconds in all; progress is on standard error."""
    console = Console(stderr=True)
    runs = track(
        _interleaved(contenders, seconds / rounds / len(contenders), rounds),
        total=rounds * len(contenders),
        description="Measuring",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    return _summary(contenders, list(runs))


def _interleaved(contenders: Sequence[Contender], seconds: float, rounds: int) -> Iterator[float]:
    """One rate for each contender, in order, again and again for all rounds."""
    for _ in range(rounds):
        for contender in contenders:
            yield contender.rate(seconds)


def _summary(contenders: Sequence[Contender], runs: list[float]) -> list[Rates]:
    measured = {(one.name, one.threads): runs[place :: len(contenders)] for place, one in enumerate(contenders)}
    best = {key: max(rates) for key, rates in measured.items()}
    reference = next(iter(best.values()))
    return [
        Rates(
            name=name,
            threads=threads,
            minimum=min(rates),
            median=median(rates),
            maximum=max(rates),
            times_reference=max(rates) / reference,
            times_one_thread=max(rates) / best[name, 1] if (name, 1) in best else None,
        )
        for (name, threads), rates in measured.items()
    ]


def table(rates: Sequence[Rates], title: str) -> Table:
    """The rates in millions a second, with a bar up to the median; the first contender is the reference."""
    drawn = Table(title=title, caption="ratios are those of the best rounds; bars show medians")
    drawn.add_column("", no_wrap=True)
    for heading in ("threads", "min", "median", "max", f"× {rates[0].name}", "× 1 thread"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("", min_width=_BAR_WIDTH // 2)
    most = max(rate.median for rate in rates)
    for rate in rates:
        drawn.add_row(
            rate.name,
            str(rate.threads),
            *(f"{figure / 1e6:.2f}" for figure in (rate.minimum, rate.median, rate.maximum)),
            f"{rate.times_reference:.2f}",
            "–" if rate.times_one_thread is None else f"{rate.times_one_thread:.2f}",
            Bar(most, 0, rate.median, width=_BAR_WIDTH),
        )
    return drawn


def cpu() -> str:
    """The name of this machine's CPU, as far as the system tells it, and how many threads may run."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {usable_threads()} usable threads"
