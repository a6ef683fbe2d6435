"""Kills a real PostgreSQL and the real backend with SIGKILL, over and over, while they farm; then closes the books."""

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated

import psycopg
import typer
from rich.console import Console

from devnet.demo.pool import Options, Outcome, Pool
from simulator.scratch import scratch_pool

BACKEND_SHARE = 0.2
"""A killed backend takes longest to come back: the rest of the kills hit PostgreSQL, one in ten hits both."""
BOTH_SHARE = 0.1
SETTLE_SECONDS = 180

app = typer.Typer(add_completion=False)

_STANDING = """
SELECT
    (SELECT count(*) FROM plant_transactions WHERE status = 'confirmed') AS planted,
    (SELECT count(*) FROM harvest_transactions WHERE status = 'confirmed') AS harvested,
    (SELECT count(*) FROM harvest_transactions WHERE status = 'lost') AS lost,
    (SELECT count(*) FROM harvest_transactions WHERE status = 'failed') AS taken,
    (SELECT count(*) FROM attempts) AS attempts,
    (SELECT count(*) FROM attempts WHERE status = 'open') AS open_attempts,
    (SELECT count(*) FROM (
        SELECT FROM attempts WHERE status = 'succeeded' GROUP BY kind, intent_id HAVING count(*) > 1
    ) AS doubled) AS doubled
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts of rows."""

    planted: int
    harvested: int
    lost: int
    taken: int
    attempts: int
    open_attempts: int
    doubled: int


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run."""

    seed: int
    kills: int
    killed: dict[str, int]
    seconds: float
    standing: Standing
    accounts: int
    balanced: int

    @property
    def good(self) -> bool:
        """Whether nothing was lost, nothing happened twice, and every balance is the ledger's."""
        standing = self.standing
        return self.balanced == self.accounts and standing.lost == standing.taken == standing.doubled == 0


@dataclass(frozen=True, slots=True)
class Kills:
    """What is asked for."""

    number: int
    seed: int
    longest_pause: float


@app.command()
def run(
    *,
    number: Annotated[int, typer.Option("--kills", min=1, help="How many.")] = 200,
    seed: Annotated[int, typer.Option(help="What is killed when.")] = 1,
    farmers: Annotated[int, typer.Option(min=1, max=100, help="Farmers in the pool.")] = 5,
    close_seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two ledgers.")] = 1.0,
    longest_pause: Annotated[float, typer.Option(min=0.1, help="Seconds between two kills, at most.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Farm on the local ledger while PostgreSQL and the backend are killed; exit code 1 if anything was lost.

    Everything is real: processes, database, gRPC, contract. After the last kill, or Ctrl-C, the pool has some minutes
    to harvest.
    """
    console = Console(stderr=True)
    asked = Kills(number, seed, longest_pause)
    with scratch_pool(f"kills-{seed}", farmers=farmers, close_seconds=close_seconds, console=console) as options:
        report = asyncio.run(_run(options, asked, console))
    typer.echo(json.dumps(asdict(report)) if as_json else _text(report))
    raise typer.Exit(0 if report.good else 1)


async def _run(options: Options, kills: Kills, console: Console) -> Report:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with contextlib.AsyncExitStack() as stack:
        pool = await Pool.start(options, stack, Console(quiet=True))
        killed = await _kill(pool, kills, console)
        outcome, standing = await close_pool(pool)
    return Report(
        seed=kills.seed,
        kills=killed.total(),
        killed=dict(killed),
        seconds=round(loop.time() - started, 1),
        standing=standing,
        accounts=len(outcome.accounts),
        balanced=sum(account.balanced for account in outcome.accounts),
    )


async def _kill(pool: Pool, kills: Kills, console: Console) -> Counter[str]:
    chance = random.Random(kills.seed)  # noqa: S311 - chance, not secrecy
    killed: Counter[str] = Counter()
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, enough.set)
    for done in range(1, kills.number + 1):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), chance.uniform(0, kills.longest_pause))
            break
        lot = chance.random()
        what = "both" if lot < BOTH_SHARE else "backend" if lot < BOTH_SHARE + BACKEND_SHARE else "postgresql"
        await _crash(pool, what)
        killed[what] += 1
        standing = await standing_of(pool)
        console.print(
            f"{done}/{kills.number} {what} killed; {standing.planted} planted, {standing.harvested} harvested, "
            f"{standing.lost} lost, {standing.open_attempts} attempts open"
        )
    return killed


async def _crash(pool: Pool, what: str) -> None:
    """Kills at once, and brings back what was killed: the database first, as the backend needs it to start."""
    backend = pool.services["backend"]
    if what in ("backend", "both"):
        backend.kill()
    if what in ("postgresql", "both"):
        await asyncio.to_thread(pool.postgres.kill)
        await asyncio.to_thread(pool.postgres.start)
    if what in ("backend", "both"):
        await backend.crash()
        await backend.start()


async def close_pool(pool: Pool) -> tuple[Outcome, Standing]:
    """Waits until every block but the newest is harvested, and closes the books."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while await _unharvested(pool):
                await pool.moved()
    return await pool.close_books(), await standing_of(pool)


async def _unharvested(pool: Pool) -> int:
    """Pending harvests of blocks before the newest planted one."""
    async with await psycopg.AsyncConnection.connect(pool.database_url, autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM harvest_transactions WHERE status = 'pending'"
            " AND block_index < (SELECT max(block_index) FROM plant_transactions WHERE status = 'confirmed')"
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def standing_of(pool: Pool) -> Standing:
    """Counts of the pool's rows now."""
    async with await psycopg.AsyncConnection.connect(pool.database_url, autocommit=True) as connection:
        row = await (await connection.execute(_STANDING)).fetchone()
    assert row is not None
    return Standing(*row)


def _text(report: Report) -> str:
    standing = report.standing
    killed = ", ".join(f"{what} {count}" for what, count in sorted(report.killed.items()))
    return (
        f"{report.kills} kills ({killed}) in {report.seconds:.0f} s, seed {report.seed}: {standing.planted} planted, "
        f"{standing.harvested} harvested, {standing.lost} lost, {standing.doubled} done twice, "
        f"{standing.attempts} transactions; {report.balanced} of {report.accounts} accounts equal the ledger to the "
        "stroop"
    )


if __name__ == "__main__":
    sys.exit(app())
