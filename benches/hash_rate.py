"""Measures the nonce search: kernels beside other implementations, the engine's overhead and its scaling.

Everything is measured in one interleaved run, so that ratios hold on a machine that others use too:

- one thread: the crates `sha3`, `tiny-keccak` and `keccak-asm` on the same 76-byte message, every kernel that the CPU
  can run, and the rate that the CPU's vector ports would allow (how that is estimated: docs/nonce-search.md);
- the fastest kernel as the extension has it, without the engine, and with the engine: 1, 7, 50 and 200 jobs on one
  thread and on all.

Instructions per hash are counted with callgrind where it is installed. Usage: `make bench`, or
`python benches/hash_rate.py --help`. Needs the extension and Cargo.
"""

import argparse
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kale_hash_rs import kernels, usable_threads
from kale_hash_rs._native import measure_rate
from pooler.bench import Contender, Rates, cpu, engine_rate, measure, table

ROOT = Path(__file__).parents[1]
JOBS = (1, 7, 50, 200)
LIMIT = "limit:"
BARE = "no engine"
GRANULE = 16_384
# Few granules against many: what starting costs drops out of the difference.
FEW, MANY = 2, 6


def rates_program() -> str:
    """Builds the bench `rates` of the crate; the path of its program."""
    command = ["cargo", "bench", "--locked", "--package", "kale_hash_rs", "--bench", "rates", "--no-run"]
    built = subprocess.run([*command, "--message-format=json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own programs
    messages = (json.loads(line) for line in built.stdout.splitlines())
    programs = [message["executable"] for message in messages if message["reason"] == "compiler-artifact"]
    return str(next(program for program in programs if program is not None))


@contextmanager
def one_thread_contenders(program: str) -> Iterator[list[Contender]]:
    """Everything that the bench `rates` can measure, while it runs."""
    names = subprocess.run([program, "list"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()  # noqa: S603 - our own programs
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own programs

        def rate(name: str, seconds: float) -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{name} {seconds}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield [Contender(name, 1, partial(rate, name)) for name in names]


def engine_contenders() -> list[Contender]:
    """The fastest kernel without the engine, then the engine with every number of jobs, on one thread and on all."""
    best = kernels()[0]
    bare = Contender(BARE, 1, partial(measure_rate, best))
    return [bare] + [
        Contender(engine_name(jobs), threads, partial(engine_rate, best, threads, jobs))
        for jobs in JOBS
        for threads in sorted({1, usable_threads()})
    ]


def engine_name(jobs: int) -> str:
    """The name of the engine with so many jobs."""
    return f"engine, {jobs} job{'s' * (jobs > 1)}"


def instructions_per_hash(program: str, name: str) -> float | None:
    """Counted with callgrind; None if it is missing or cannot run this."""
    if shutil.which("valgrind") is None:
        return None
    counts = []
    for granules in (FEW, MANY):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, "count", name]
        ran = subprocess.run([*command, str(granules)], capture_output=True, text=True, check=False)  # noqa: S603 - our own programs
        collected = re.search(r"Collected : (\d+)", ran.stderr)
        if ran.returncode or collected is None:
            return None
        counts.append(int(collected[1]))
    return (counts[1] - counts[0]) / (MANY - FEW) / GRANULE


def engine_figures(rates: Sequence[Rates]) -> list[dict[str, Any]]:
    """For every number of jobs its cost on one thread, against no engine and one job, and all threads against one."""
    best = {(rate.name, rate.threads): rate.maximum for rate in rates}
    threads = usable_threads()
    return [
        {
            "jobs": jobs,
            "overhead_against_none": 1 - best[engine_name(jobs), 1] / best[BARE, 1],
            "overhead_against_one_job": 1 - best[engine_name(jobs), 1] / best[engine_name(1), 1],
            "threads": threads,
            "times_one_thread": best[engine_name(jobs), threads] / best[engine_name(jobs), 1],
        }
        for jobs in JOBS
    ]


def kernel_figures(rates: Sequence[Rates], program: str) -> list[dict[str, Any]]:
    """Instructions per hash and the fraction of the ports' limit, for everything that hashes on one thread."""
    best = {rate.name: rate.maximum for rate in rates}
    return [
        {
            "name": name,
            "instructions_per_hash": instructions_per_hash(program, name),
            "limit": best.get(LIMIT + name),
            "fraction_of_limit": best[name] / best[LIMIT + name] if LIMIT + name in best else None,
        }
        for name in best
        if not name.startswith((LIMIT, BARE, "engine"))
    ]


def kernel_table(figures: Sequence[dict[str, Any]]) -> Table:
    """Instructions and limits."""
    drawn = Table(
        title="One thread against the CPU", caption="limit: what the vector ports allow, in millions a second"
    )
    for heading in ("", "instructions a hash", "limit", "reached"):
        drawn.add_column(heading, justify="left" if not heading else "right")
    for one in figures:
        instructions, limit, fraction = (one[key] for key in ("instructions_per_hash", "limit", "fraction_of_limit"))
        drawn.add_row(
            one["name"],
            "–" if instructions is None else f"{instructions:,.0f}",
            "–" if limit is None else f"{limit / 1e6:.2f}",
            "–" if fraction is None else f"{fraction:.0%}",
        )
    return drawn


def engine_table(figures: Sequence[dict[str, Any]]) -> Table:
    """Overhead and scaling."""
    drawn = Table(title=f"The engine, best rounds, up to {usable_threads()} threads")
    for heading in ("jobs", "cost against no engine", "cost against one job", "all threads × one"):
        drawn.add_column(heading, justify="right")
    for one in figures:
        costs = (f"{one[key]:.1%}" for key in ("overhead_against_none", "overhead_against_one_job"))
        drawn.add_row(str(one["jobs"]), *costs, f"{one['times_one_thread']:.2f}")
    return drawn


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the nonce search against other implementations.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure in all (60)")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (15)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--svg", type=Path, help="write the tables and bars as a picture, too")
    chosen = parser.parse_args()
    if chosen.seconds <= 0 or chosen.rounds < 1:
        parser.error("--seconds must be more than 0 and --rounds 1 or more")
    return chosen


def main() -> None:
    """Measures and prints."""
    chosen = arguments()
    program = rates_program()
    with one_thread_contenders(program) as one_thread:
        rates = measure([*one_thread, *engine_contenders()], chosen.seconds, chosen.rounds)
    per_kernel, per_engine = kernel_figures(rates, program), engine_figures(rates)
    console = Console(record=True, quiet=chosen.json, width=None if chosen.svg is None else 110)
    console.print(table(rates, f"Millions of hashes per second, {chosen.rounds} interleaved rounds\n{cpu()}"))
    console.print(kernel_table(per_kernel), engine_table(per_engine))
    if chosen.svg is not None:
        chosen.svg.write_text(console.export_svg(title="make bench"), encoding="utf-8")
    if chosen.json:
        figures = {"rates": [asdict(rate) for rate in rates], "one_thread": per_kernel, "engine": per_engine}
        print(json.dumps({"cpu": cpu(), "rounds": chosen.rounds, **figures}))


if __name__ == "__main__":
    main()
