"""A soak: the real processes farm for as many blocks as asked for, with a fault every so often; then the books."""

import asyncio
import contextlib
import json
import random
import signal
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated
from urllib.parse import urlsplit

import psutil
import typer
from rich.console import Console

from devnet.demo import books
from devnet.demo.pool import Options, Pool
from simulator.disk import SmallDisk, small_disk
from simulator.kills import Standing, close_pool
from simulator.outages import Faults
from simulator.scratch import scratch_pool

SETTLED_BLOCKS = 1
"""A process counts for memory and descriptors once it is so many blocks old."""
SAMPLED_SECONDS = range(120, 240)
"""And only in this part of each block, in seconds of its age: the same work is under way then."""
WATCHED = ("backend", "pooler")
_SAMPLE_SECONDS = 1.0
_DATABASE = {"max_wal_size": "128MB"}
"""What is written must fit the small disk between two checkpoints."""
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for.

    Attributes:
        blocks: How many.
        pause: Seconds between two faults.
        seed: Which fault comes when.
        minutes: The longest it may take; 0: no limit.
    """

    blocks: int
    pause: float
    seed: int
    minutes: float


@app.command()
def run(
    *,
    blocks: Annotated[int, typer.Option(min=2, help="How many blocks.")] = 300,
    farmers: Annotated[int, typer.Option(min=1, max=100, help="Farmers in the pool.")] = 100,
    pause: Annotated[float, typer.Option(min=1, help="Seconds between two faults.")] = 60.0,
    close_seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two ledgers.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Which fault comes when.")] = 1,
    minutes: Annotated[float, typer.Option(min=0, help="End after so long, whatever was reached; 0: never.")] = 0.0,
    cores: Annotated[int, typer.Option(min=1, help="Cores to search on; the services need some too.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Farm on the local ledger with a fault every so often; exit code 1 if an aim was missed.

    Ctrl-C, like --minutes, ends it early, with the books closed and a report of what was seen. As root the database
    gets a small disk of its own, and one of the faults fills it.
    """
    console = Console(stderr=True)
    asked = Asked(blocks, pause, seed, minutes)
    pool = scratch_pool(f"soak-{seed}", farmers=farmers, close_seconds=close_seconds, console=console)
    with pool as options, small_disk(console) as disk:
        ready = replace(options, database_settings=_DATABASE, pooler_settings={"MACHINE_CPU_CORES": str(cores)})
        report = asyncio.run(_soak(ready, asked, disk, console))
    typer.echo(json.dumps(asdict(report) | {"misses": report.misses}) if as_json else _text(report))
    raise typer.Exit(1 if report.misses else 0)


async def _soak(options: Options, asked: Asked, disk: SmallDisk | None, console: Console) -> Report:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    if asked.minutes:
        loop.call_later(asked.minutes * 60, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        pool = await Pool.start(options, stack, Console(quiet=True))
        faults = Faults(pool, random.Random(asked.seed), options.close_seconds, disk)  # noqa: S311  (chance, not secrecy)
        usage = {name: Usage() for name in WATCHED}
        sampling = asyncio.create_task(_sample(pool, usage))
        while not pool.picture.backend.chain.ledger_sequence:
            await pool.moved()
        # The running block may be too old for a plant.
        first = faults.block + 1
        await _until_over(faults, first + asked.blocks, asked.pause, stop, console)
        sampling.cancel()
        last = faults.block
        outcome, standing = await close_pool(pool)
        done = [one for one in books.summarise(await books.pails(pool.database_url)) if first <= one.block_index < last]
    planted = {one.block_index: one.planted for one in done}
    calm = [index for index in range(first, last) if index not in faults.touched]
    return Report(
        seed=asked.seed,
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


async def _until_over(faults: Faults, end: int, pause: float, stop: asyncio.Event, console: Console) -> None:
    """A fault every `pause` seconds until block `end` has begun, or `stop` is set."""
    while faults.block < end and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        if not stop.is_set() and faults.block < end:
            console.print(f"block {faults.block}: {await faults.inject()}")


async def _sample(pool: Pool, usage: dict[str, Usage]) -> None:
    """Reads memory and descriptors of processes that have lived a while, always in the same part of a block."""
    rpc_port = urlsplit(pool.services["ledger"].record["rpc_url"]).port
    born: dict[tuple[str, int], int] = {}
    while True:
        chain = pool.picture.backend.chain
        age = chain.ledger_time - chain.block_opened_ledger_time
        for name, one in usage.items():
            number = pool.services[name].process_id
            settled = chain.block_index > born.setdefault((name, number), chain.block_index) + SETTLED_BLOCKS
            if not settled or age not in SAMPLED_SECONDS:
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(number)
                memory, descriptors = process.memory_info().rss, process.num_fds() - _connections(process, rpc_port)
                one.memory.append(memory)
                one.descriptors.append(descriptors)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _connections(process: psutil.Process, port: int | None) -> int:
    """Connections to the RPC: as many as calls were made at once in the last 15 s, up to the limit of 100."""
    return sum(bool(one.raddr) and one.raddr.port == port for one in process.net_connections("tcp"))


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
