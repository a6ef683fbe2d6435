"""Two backends over one database and one ledger: one of them plants, the other ends, and says why."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from backend.db import open_stores
from backend.errors import LeaseLostError
from kalepool.v1 import pool_pb2
from tests.fixtures.backend import PATIENCE_SECONDS, Pool, StartBackend
from tests.fixtures.stores import Query

ROOT = Path(__file__).resolve().parents[2]
EXIT_LEASE = 4
DEPOSIT = 100 * 10_000_000
END_LEASE_SESSION = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name = 'kale-backend lease' AND datname = current_database()
"""
FENCES = "SELECT DISTINCT fence FROM attempts ORDER BY fence"


class Process:
    """`kale-backend run` in a process of its own, with what it has logged."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())
        self._news = asyncio.Event()

    async def _read(self) -> None:
        assert self.child.stderr is not None
        async for line in self.child.stderr:
            self.lines.append(line.decode().strip())
            self._news.set()

    async def until(self, event: str) -> dict[str, Any]:
        """The record of an event, once it is logged."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self._news.clear()
                for line in self.lines:
                    record = json.loads(line) if line.startswith("{") else {}
                    if record.get("event") == event:
                        return dict(record)
                assert self.child.returncode is None, self.lines
                await self._news.wait()

    async def ended(self) -> int:
        """Its exit code, once everything it said was read."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reading
            return await self.child.wait()

    @property
    def last_words(self) -> str:
        """What it said to whoever started it."""
        return next(line for line in reversed(self.lines) if line.startswith("kale-backend: "))


@pytest.fixture
def environment(backend_settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings as a process takes them."""
    return {name.upper(): str(value) for name, value in backend_settings.items()} | {"PYTHONPATH": str(ROOT)}


@asynccontextmanager
async def running(environment: Mapping[str, str]) -> AsyncIterator[Process]:
    """A backend's process; killed at the end if it has not ended by then."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend", "run", env=environment, cwd=ROOT / "tests", stderr=subprocess.PIPE
    )
    try:
        yield Process(child)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_second_process_is_refused_while_the_first_lives(environment: Mapping[str, str], query: Query) -> None:
    async with running(environment) as first:
        await first.until("ready")
        async with running(environment) as second:
            assert await second.ended() == EXIT_LEASE
        assert f"process {first.child.pid}, fence 1, started" in second.last_words
        assert query("SELECT fence FROM lease") == [(1,)]
        first.child.terminate()
        assert await first.ended() == 0


async def test_frozen_backend_that_wakes_up_after_another_took_over_ends(
    environment: Mapping[str, str], query: Query
) -> None:
    async with running(environment) as first:
        await first.until("ready")
        first.child.send_signal(signal.SIGSTOP)
        # What the server does by itself after 30 s without a word.
        query(END_LEASE_SESSION)
        async with running(environment) as second:
            await second.until("ready")
            first.child.send_signal(signal.SIGCONT)
            assert await first.ended() == EXIT_LEASE
            assert f"process {second.child.pid} with fence 2" in first.last_words
            second.child.terminate()
            assert await second.ended() == 0


async def test_older_backend_plants_nothing_once_another_has_the_lease(
    start_backend: StartBackend, application_url: str, query: Query
) -> None:
    async with start_backend() as pool:
        (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
        block = await pool.open_block()
        query(END_LEASE_SESSION)
        other = await open_stores(application_url, max_connections=2)
        await other.lease.take("the other", await other.lease.head())
        failing = asyncio.create_task(pool.backend.failed())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await plant(pool, block)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "held by the other" in (caught.value.details() or "")
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(LeaseLostError):
                await failing
        await pool.world.devnet.advance(2)
        assert await pool.world.farm.pails([(farmer.wallet_address, block)]) == {}
        assert query(FENCES) == [(1,)]
        await other.close()


async def plant(pool: Pool, block: int) -> None:
    async for _ in pool.pool.Plant(pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block)):
        pass
