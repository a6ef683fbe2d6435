"""Three poolers of different speed; one killed, one paused, one cut off, one added: every farmer is worked for.

`FARMERS=60 BLOCKS=10` in the environment make it the whole run; without them it is a short one.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console

from devnet.demo import books
from devnet.demo.pool import Options, Pool
from kale_common.processes import Service
from tests.fixtures.cutting import CuttingProxy, cutting

FARMERS = int(os.environ.get("FARMERS", "6"))
BLOCKS = int(os.environ.get("BLOCKS", "4"))
CLOSE_SECONDS = float(os.environ.get("CLOSE_SECONDS", "0.35"))
PATIENCE_SECONDS = 120 + 60 * BLOCKS
SLOW_KERNEL = "portable" if FARMERS >= 30 else "auto"
"""A slow pooler gets few farmers: none of a handful."""
CUT_OFF_LEDGERS = 6
PAUSED_LEDGERS = 8
RANGE_BITS = 51
"""Above these bits of a nonce is the generation of the lease."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE_SECONDS)]

HOLDERS = """
SELECT p.block_index, w.pooler_id, w.nonce, 1 + (
    SELECT count(*) FROM lease_handovers AS h
    WHERE h.block_index = p.block_index AND h.farmer_id = p.farmer_id AND h.generation <= coalesce(g.generation, 1)
) AS generation
FROM work_results AS w
INNER JOIN plant_transactions AS p ON p.block_index = w.block_index AND p.farmer_id = w.farmer_id
LEFT JOIN LATERAL (
    SELECT max(h.generation) AS generation FROM lease_handovers AS h
    WHERE h.block_index = w.block_index AND h.farmer_id = w.farmer_id AND h.pooler_id = w.pooler_id
) AS g ON true
WHERE w.nonce IS NOT NULL AND w.pooler_id <> 'backend' AND w.status = 'success'
"""


class ManyPoolers:
    """A pool whose poolers come, go and lose their way."""

    def __init__(self, pool: Pool, stack: contextlib.AsyncExitStack, directory: Path) -> None:
        self.pool = pool
        self.poolers: dict[str, Service] = {"demo": pool.services["pooler"]}
        self._stack = stack
        self._directory = directory

    async def add(self, name: str, *, backend: str | None = None, kernel: str = "auto") -> Service:
        """Another pooler."""
        env = self.pool._network() | {
            "BACKEND_API_URL": f"http://{backend or self.pool.address('backend')}",
            "POOLER_ID": name,
            "FEE_ACCOUNT_SECRET_FILE": str(self._directory / f"{name}.key"),
            "STATE_DIRECTORY": str(self._directory / name),
            "MAX_WORK_PROCESSES": str(FARMERS),
            "MACHINE_CPU_CORES": "1",
            "HASH_KERNEL": kernel,
            "LOG_LEVEL": "debug",
            "PORT": "0",
            "HTTP_PORT": "0",
        }
        for step in ("create", "fund"):
            await Service(f"{name}-{step}", "pooler", "accounts", step, env=env, directory=self._directory).run()
        service = Service(name, "pooler", "run", env=env, directory=self._directory)
        self._stack.push_async_callback(stopped, service)
        await service.start()
        self.poolers[name] = service
        return service

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the pool's database."""
        async with await psycopg.AsyncConnection.connect(self.pool.database_url, autocommit=True) as connection:
            return await (await connection.execute(statement.encode())).fetchall()

    async def until_searching(self, after: int, pooler: str) -> int:
        """The next block after `after` whose plants are final, with a pooler that has some farmers unworked."""
        statement = f"""
            SELECT p.block_index FROM plant_transactions AS p
            LEFT JOIN work_results AS w ON w.block_index = p.block_index AND w.farmer_id = p.farmer_id
            WHERE p.block_index > {after}
            GROUP BY p.block_index
            HAVING count(*) FILTER (WHERE p.status = 'pending') = 0
            AND count(*) FILTER (WHERE p.pooler_id = '{pooler}' AND p.status = 'confirmed' AND w.id IS NULL) > 0
            ORDER BY p.block_index LIMIT 1
        """  # noqa: S608
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (rows := await self.rows(statement)):
                await self.pool.moved()
        return int(rows[0][0])

    async def ledgers(self, count: int) -> None:
        """Waits until so many ledgers have closed, as the backend sees them."""
        end = self.pool.picture.backend.chain.ledger_sequence + count
        while self.pool.picture.backend.chain.ledger_sequence < end:
            await self.pool.moved()

    def starts(self) -> list[tuple[int, str, int]]:
        """Where every pooler's searches began: block, farmer, first nonce."""
        found = []
        for service in self.poolers.values():
            for line in service.log.read_text().splitlines():
                record = json.loads(line) if line.startswith("{") else {}
                if record.get("event") == "search started":
                    found.append((record["block_index"], record["farmer_id"], record["nonce_start"]))
        return found


async def stopped(service: Service) -> None:
    """Stops a pooler that was not killed."""
    if service.running:
        await service.stop()


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[ManyPoolers]:
    """A pool with its first pooler."""
    options = Options(
        farmers=FARMERS,
        blocks=BLOCKS,
        neighbours=4,
        close_seconds=CLOSE_SECONDS,
        keep=True,
        directory=tmp_path,
        run_id="test",
    )
    async with contextlib.AsyncExitStack() as stack:
        yield ManyPoolers(await Pool.start(options, stack, Console(quiet=True)), stack, tmp_path)


async def faults(many: ManyPoolers, proxy: CuttingProxy) -> int:
    """Kills, pauses and cuts off one pooler each, in blocks of their own, and adds one; the first fault's block."""
    first = await many.until_searching(-1, "killed")
    await many.poolers["killed"].crash()
    await many.add("added")
    second = await many.until_searching(first, "paused")
    os.kill(many.poolers["paused"].process_id, signal.SIGSTOP)
    await many.ledgers(PAUSED_LEDGERS)
    os.kill(many.poolers["paused"].process_id, signal.SIGCONT)
    await many.until_searching(second, "severed")
    proxy.severed = True
    proxy.cut()
    await many.ledgers(CUT_OFF_LEDGERS)
    proxy.severed = False
    return first


def farmed(rows: list[books.PailRow], first: int) -> list[int]:
    """Blocks after `first` that are over and in which farmers were planted; none until all are worked and harvested.

    Reports may come after the harvest: they are waited for too. A block that passes before a loaded machine has sent
    its plants stakes nothing, and is not counted.
    """
    last = max((row.block_index for row in rows), default=0)
    blocks: dict[int, list[bool]] = defaultdict(list)
    for row in rows:
        if row.planted and first < row.block_index < last:
            blocks[row.block_index].append(row.harvested and row.zeros is not None)
    return list(blocks) if all(map(all, blocks.values())) else []


async def test_every_farmer_is_worked_for_whatever_becomes_of_the_poolers(many: ManyPoolers) -> None:
    backend_port = int(many.pool.services["backend"].record["grpc_port"])
    async with cutting(backend_port) as proxy:
        await many.pool.services["pooler"].stop()
        del many.poolers["demo"]
        await many.add("killed")
        await many.add("paused", kernel=SLOW_KERNEL)
        await many.add("severed", backend=f"127.0.0.1:{proxy.port}")
        first = await faults(many, proxy)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(farmed(await books.pails(many.pool.database_url), first)) < BLOCKS:
                await many.pool.moved()
    rows = await books.pails(many.pool.database_url)
    blocks = farmed(rows, first)
    reasons = Counter(reason for (reason,) in await many.rows("SELECT reason FROM lease_handovers"))
    assert reasons["silent"] >= 3
    assert all(count == 1 for count in Counter(many.starts()).values()), "two searches began at the same nonce"
    for _, _, nonce, generation in await many.rows(HOLDERS):
        assert int(nonce) >> RANGE_BITS == generation
    outcome = await many.pool.close_books()
    assert all(account.balanced for account in outcome.accounts)
    assert await many.rows("SELECT count(*) FROM harvest_transactions WHERE status IN ('lost', 'failed')") == [(0,)]
    backstops = await many.rows("SELECT count(*) FROM work_results WHERE pooler_id = 'backend'")
    fewest = min(Counter(row.block_index for row in rows if row.planted and row.block_index in blocks).values())
    missed = max(blocks) - first - len(blocks)
    assert missed <= len(blocks), "even a loaded machine plants in every other block"
    told = f"blocks {len(blocks)} (missed {missed}), planted in each at least {fewest}, hand-overs {dict(reasons)}"
    print(f"{told}, works of the backstop {backstops[0][0]}")  # noqa: T201
