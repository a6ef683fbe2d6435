"""The whole pool from real parts: every process, the embedded PostgreSQL, the local ledger."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devnet.demo import books
from devnet.demo.pool import Options, Pool

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

FARMERS = 4
CLOSE_SECONDS = 0.3
PATIENCE_SECONDS = 240


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    """A pool of four farmers among four neighbours that farms until the test ends."""
    options = Options(
        farmers=FARMERS,
        blocks=2,
        neighbours=4,
        close_seconds=CLOSE_SECONDS,
        keep=True,
        directory=tmp_path,
        run_id="test",
    )
    async with contextlib.AsyncExitStack() as stack:
        yield await Pool.start(options, stack, Console(quiet=True))


async def until(pool: Pool, condition: Callable[[list[books.PailRow]], bool]) -> list[books.PailRow]:
    """The first rows that meet the condition."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition(rows := await books.pails(pool.database_url)):
            await pool.moved()
    return rows


def block(rows: list[books.PailRow], index: int) -> list[books.PailRow]:
    return [row for row in rows if row.block_index == index]


def logged(pool: Pool, event: str) -> list[dict[str, Any]]:
    """The backend's log records of an event."""
    records = [json.loads(line) for line in pool.services["backend"].log.read_text().splitlines()]
    return [record for record in records if record["event"] == event]


def told(pool: Pool, word: str, index: int) -> int:
    """Farmers whose plant or harvest in a block the log tells; it does once that is committed, so a moment later."""
    return len({line["farmer_id"] for line in logged(pool, word) if line["block_index"] == index})


def newest(rows: list[books.PailRow]) -> int:
    return max((row.block_index for row in rows), default=0)


def planted_but_unworked(rows: list[books.PailRow]) -> bool:
    pails = block(rows, newest(rows))
    return len(pails) == FARMERS and all(row.planted and row.zeros is None for row in pails)


@pytest.mark.parametrize("service", ["backend", "pooler"])
async def test_a_service_killed_in_mid_block_loses_no_stake(pool: Pool, service: str) -> None:
    rows = await until(pool, lambda rows: planted_but_unworked(rows) and told(pool, "planted", newest(rows)) == FARMERS)
    hit = newest(rows)

    await pool.services[service].crash()
    await pool.services[service].start()

    # A report of work may be stored after its pail was harvested.
    rows = await until(
        pool,
        lambda rows: all(row.complete for row in block(rows, hit)) and told(pool, "harvested", hit) == FARMERS,
    )
    assert len(block(rows, hit)) == FARMERS
    for word in ("planted", "harvested"):
        lines = [line for line in logged(pool, word) if line["block_index"] == hit]
        assert len({line["transaction_hash"] for line in lines}) == len(lines) == FARMERS
    outcome = await pool.close_books()
    assert all(account.balanced for account in outcome.accounts)
    assert all(account.reward_stroops > 0 for account in outcome.accounts)


async def test_grpcurl_lists_describes_and_watches(pool: Pool, grpcurl: str) -> None:
    async def call(name: str, *words: str, data: str | None = None) -> str:
        options = ["-plaintext", *(["-d", data] if data else [])]
        child = await asyncio.create_subprocess_exec(
            grpcurl, *options, pool.address(name), *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await child.communicate()
        assert child.returncode == 0, output.decode()
        return output.decode()

    services = (await call("backend", "list")).split()
    assert {"kalepool.v1.PoolService", "kalepool.v1.FarmerService", "kalepool.v1.StatusService"} <= set(services)
    assert "rpc Plant" in await call("backend", "describe", "kalepool.v1.PoolService")
    assert "kalepool.v1.StatusService" in (await call("pooler", "list")).split()
    for name in ("backend", "pooler"):
        assert '"SERVING"' in await call(name, "grpc.health.v1.Health/Check")

    rows = await until(pool, lambda rows: any(row.planted for row in rows))
    request = {"request_id": "demo:watched", "pooler_id": "demo", "block_index": rows[-1].block_index}
    stream = await call("backend", "kalepool.v1.PoolService/Plant", data=json.dumps(request))
    assert stream.count('"planted": {') == FARMERS
    assert '"summary"' in stream


def test_the_demonstration_farms_and_balances_every_account() -> None:
    options = {"--farmers": 3, "--blocks": 2, "--neighbours": 5, "--close-seconds": CLOSE_SECONDS}
    demo = subprocess.run(
        [sys.executable, "-m", "devnet.demo", *(str(word) for option in options.items() for word in option)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "2 blocks farmed by every farmer; 3 of 3 accounts equal the ledger" in " ".join(demo.stdout.split())
