"""A soak: the real processes farm for as many blocks as asked for, with a fault every so often; then the books."""

import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated

import psutil
import typer
from rich.console import Console

from devnet.demo import books
from devnet.demo.pool import Options, Pool
from simulator.kills import Standing, close_pool
from simulator.scratch import scratch_pool

FAULTS = ("backend killed", "pooler killed", "both restarted in order", "database stopped", "RPC cut")
OUTAGE_SECONDS = 5.0
"""How long the database is stopped, or the RPC (and with it the ledger) frozen."""
WATCHED = ("backend", "pooler")
_SAMPLE_SECONDS = 2.0
_THIRDS = 3
_PLANTED_LEAST = 0.999
_MEMORY_MOST = 1.1
_DESCRIPTORS_APART = 5

app = typer.Typer(add_completion=False)


@dataclass
class Usage:
    """What one service held over time: resident bytes and open descriptors, in order."""

    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def ratio(self) -> float:
        """The median memory of the last third over that of the second."""
        second, last = self._third(self.memory, 1), self._third(self.memory, 2)
        return statistics.median(last) / statistics.median(second) if second and last else 1.0

    def apart(self) -> int:
        """How far the median descriptors of the last third are from those of the second."""
        second, last = self._third(self.descriptors, 1), self._third(self.descriptors, 2)
        return round(abs(statistics.median(last) - statistics.median(second))) if second and last else 0

    @staticmethod
    def _third(values: Sequence[int], number: int) -> Sequence[int]:
        size = len(values) // _THIRDS
        return values[number * size : (number + 1) * size]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a soak.

    Attributes:
        blocks: Blocks that were over at the end.
        calm_blocks: Those of them in which no fault was injected.
        eligible: Farmers times calm blocks.
        planted: Plants that succeeded in calm blocks.
        faults: Faults by kind.
        memory_ratio: Memory of the last third over that of the second, by service.
        descriptors_apart: Descriptors of the last third less those of the second, by service.
        standing: Rows at the end.
        accounts: Farmers' accounts.
        balanced: Those that equal the ledger to the stroop.
        seconds: How long it took.
    """

    seed: int
    blocks: int
    calm_blocks: int
    eligible: int
    planted: int
    faults: dict[str, int]
    memory_ratio: dict[str, float]
    descriptors_apart: dict[str, int]
    standing: Standing
    accounts: int
    balanced: int
    seconds: float

    @property
    def misses(self) -> list[str]:
        """The aims that were not met."""
        found = []
        if self.planted < _PLANTED_LEAST * self.eligible:
            found.append(f"{self.planted} of {self.eligible} eligible plants")
        if self.standing.lost or self.standing.doubled or self.balanced < self.accounts:
            found.append(f"{self.standing.lost} stakes lost, {self.balanced} of {self.accounts} accounts equal")
        found += [
            f"{name}'s memory grew {ratio:.2f}-fold"
            for name, ratio in self.memory_ratio.items()
            if ratio > _MEMORY_MOST
        ]
        found += [
            f"{name}'s descriptors are {apart} apart"
            for name, apart in self.descriptors_apart.items()
            if apart > _DESCRIPTORS_APART
        ]
        return found


@app.command()
def run(
    *,
    blocks: Annotated[int, typer.Option(min=2, help="How many blocks.")] = 300,
    farmers: Annotated[int, typer.Option(min=1, max=100, help="Farmers in the pool.")] = 100,
    pause: Annotated[float, typer.Option(min=1, help="Seconds between two faults.")] = 60.0,
    close_seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two ledgers.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Which fault comes when.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Farm on the local ledger with a fault every so often; exit code 1 if an aim was missed. Ctrl-C ends it early."""
    console = Console(stderr=True)
    with scratch_pool(f"soak-{seed}", farmers=farmers, close_seconds=close_seconds, console=console) as options:
        report = asyncio.run(_soak(options, blocks, pause, seed, console))
    typer.echo(json.dumps(asdict(report) | {"misses": report.misses}) if as_json else _text(report))
    raise typer.Exit(1 if report.misses else 0)


class _Faults:
    """Injects faults, and remembers the blocks they touched."""

    def __init__(self, pool: Pool, seed: int, console: Console) -> None:
        self._pool = pool
        self._chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._console = console
        self.injected: Counter[str] = Counter()
        self.touched: set[int] = set()

    @property
    def block(self) -> int:
        """The block as the backend last told."""
        return self._pool.picture.backend.chain.block_index

    async def inject(self) -> None:
        """One fault, until everything is back."""
        fault = self._chance.choice(FAULTS)
        first = self.block
        await self._do(fault)
        self.injected[fault] += 1
        await self._pool.moved()
        # Plants for the block after are asked for before it opens, and may have met the fault.
        self.touched |= set(range(first, self.block + 2))
        self._console.print(f"block {self.block}: {fault}")

    async def _do(self, fault: str) -> None:
        services = self._pool.services
        if fault in ("backend killed", "pooler killed"):
            await services[fault.split(maxsplit=1)[0]].crash()
            await services[fault.split(maxsplit=1)[0]].start()
        elif fault == "both restarted in order":
            for name in ("pooler", "backend"):
                await services[name].stop()
            for name in ("backend", "pooler"):
                await services[name].start()
        elif fault == "database stopped":
            await asyncio.to_thread(self._pool.postgres.stop)
            await asyncio.sleep(OUTAGE_SECONDS)
            await asyncio.to_thread(self._pool.postgres.start)
        else:
            ledger = services["ledger"].process_id
            os.kill(ledger, signal.SIGSTOP)
            await asyncio.sleep(OUTAGE_SECONDS)
            os.kill(ledger, signal.SIGCONT)


async def _soak(options: Options, blocks: int, pause: float, seed: int, console: Console) -> Report:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        pool = await Pool.start(options, stack, Console(quiet=True))
        faults = _Faults(pool, seed, console)
        usage = {name: Usage() for name in WATCHED}
        sampling = asyncio.create_task(_sample(pool, usage))
        while not pool.picture.backend.chain.ledger_sequence:
            await pool.moved()
        # The running block may be too old for a plant.
        first = faults.block + 1
        await _until_over(faults, first + blocks, pause, stop)
        sampling.cancel()
        last = faults.block
        outcome, standing = await close_pool(pool)
        done = [one for one in books.summarise(await books.pails(pool.database_url)) if first <= one.block_index < last]
    planted = {one.block_index: one.planted for one in done}
    calm = [index for index in range(first, last) if index not in faults.touched]
    return Report(
        seed=seed,
        blocks=last - first,
        calm_blocks=len(calm),
        eligible=options.farmers * len(calm),
        planted=sum(planted.get(index, 0) for index in calm),
        faults=dict(faults.injected),
        memory_ratio={name: round(one.ratio(), 3) for name, one in usage.items()},
        descriptors_apart={name: one.apart() for name, one in usage.items()},
        standing=standing,
        accounts=len(outcome.accounts),
        balanced=sum(account.balanced for account in outcome.accounts),
        seconds=round(loop.time() - begun, 1),
    )


async def _until_over(faults: _Faults, end: int, pause: float, stop: asyncio.Event) -> None:
    """A fault every `pause` seconds until block `end` has begun, or `stop` is set."""
    while faults.block < end and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        if not stop.is_set() and faults.block < end:
            await faults.inject()


async def _sample(pool: Pool, usage: dict[str, Usage]) -> None:
    while True:
        for name, one in usage.items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pool.services[name].process_id)
                memory, descriptors = process.memory_info().rss, process.num_fds()
                one.memory.append(memory)
                one.descriptors.append(descriptors)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _text(report: Report) -> str:
    share = report.planted / report.eligible if report.eligible else 1.0
    faults = ", ".join(f"{count} × {name}" for name, count in sorted(report.faults.items())) or "none"
    memory = ", ".join(f"{name} {ratio:.2f}" for name, ratio in report.memory_ratio.items())
    descriptors = ", ".join(f"{name} {apart}" for name, apart in report.descriptors_apart.items())
    planted = f"{report.planted} of {report.eligible} ({share:.2%})"
    equal = f"{report.balanced} of {report.accounts}"
    return "\n".join(
        [
            f"{report.blocks} blocks in {report.seconds:.0f} s, {report.calm_blocks} without a fault; faults: {faults}",
            f"eligible plants made in these: {planted}",
            f"stakes lost: {report.standing.lost}; done twice: {report.standing.doubled}; accounts equal: {equal}",
            f"memory, last third over second: {memory}; descriptors apart: {descriptors}",
            "missed: " + "; ".join(report.misses) if report.misses else "every aim was met",
        ]
    )


if __name__ == "__main__":
    app()
