"""Many blocks as shards, each a world of its own: run side by side, recorded, and gone on with after a stop."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulator.world import Outcome, simulate

SHARD_BLOCKS = 250


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a run.

    Attributes:
        seed: Of its world.
        blocks: How many it lives for.
        store: What it keeps its rows in: a name of `simulator.world.DATABASES`.
    """

    seed: str
    blocks: int
    store: str = "memory"

    @property
    def command(self) -> str:
        """What runs it again, alone."""
        return f"python -m simulator --replay {self.seed} --blocks {self.blocks} --store {self.store}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a shard; `outcome` is simulator.world.Outcome as a dictionary, `violation` its text."""

    shard: Shard
    outcome: dict[str, Any]
    violation: str | None


def shards_of(seed: int, blocks: int, *, size: int = SHARD_BLOCKS, store: str = "memory") -> list[Shard]:
    """The shards of a run: the same for the same seed and number of blocks."""
    sizes = [min(size, blocks - start) for start in range(0, blocks, size)]
    return [Shard(f"{seed}.{number}", part, store) for number, part in enumerate(sizes)]


def run_shard(shard: Shard) -> Result:
    """Runs one."""
    outcome = simulate(shard.seed, shard.blocks, store=shard.store)
    return Result(shard, _plain(outcome), None if outcome.violation is None else str(outcome.violation))


class Results:
    """Finished shards, one JSON line each, in a file that is only appended to.

    Args:
        path: The file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def finished(self) -> dict[Shard, Result]:
        """What was recorded, good results only: a shard with a violation is run again."""
        if self._path is None or not self._path.exists():
            return {}
        results = [_read(line) for line in self._path.read_text().splitlines()]
        return {result.shard: result for result in results if result is not None and result.violation is None}

    def add(self, result: Result) -> None:
        """Appends a result."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")


def run_all(shards: list[Shard], *, jobs: int) -> Iterator[Result]:
    """Runs shards in `jobs` processes; each result as it comes, in whatever order."""
    if jobs == 1:
        yield from map(run_shard, shards)
        return
    waiting = list(reversed(shards))
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: set[Future[Result]] = set()
        try:
            while True:
                while waiting and len(running) < jobs:
                    running.add(pool.submit(run_shard, waiting.pop()))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in running:
                future.cancel()


def _read(line: str) -> Result | None:
    """A recorded result; None for a line that was cut off."""
    try:
        fields = json.loads(line)
        return Result(Shard(**fields["shard"]), fields["outcome"], fields["violation"])
    except (ValueError, KeyError, TypeError):
        return None


def _plain(outcome: Outcome) -> dict[str, Any]:
    fields = asdict(outcome)
    del fields["violation"]
    return fields
