"""The faults of a soak, injected into a pool of real processes.

Ledgers close many times faster than on a network, but a process starts as slowly as ever: three seconds are a minute of
ledger time. So that an outage is as long on the ledger as it would be in earnest, no ledger closes while a process
starts; those that it misses are those that close while it is down.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from devnet.demo.pool import Pool
from simulator.disk import SmallDisk

FAULTS = ("backend killed", "pooler killed", "both restarted in order", "database stopped", "RPC cut")
DISK_FULL = "database's disk full"
DOWN_LEDGERS = 3
"""Ledgers that close until a service that was killed serves again: it is tried again after 5 s, and starts in 10."""
OUTAGE_LEDGERS = 6
"""Ledgers that close while the database is stopped or its disk full."""
FROZEN_SECONDS = 5.0
"""How long the RPC, and the ledger with it, stands still."""
_NEXT_TOUCHED_SECONDS = 240
"""A fault that ends later in a block than this meets those who ask for the next block's plants."""


class Faults:
    """Injects faults, and remembers the blocks they touched.

    Args:
        pool: What is hit.
        chance: Says which fault comes.
        close_seconds: Seconds between two ledgers.
        disk: The database's disk; None: it is never filled.
    """

    def __init__(self, pool: Pool, chance: random.Random, close_seconds: float, disk: SmallDisk | None) -> None:
        self._pool = pool
        self._chance = chance
        self._close_seconds = close_seconds
        self._disk = disk
        self._kinds = (*FAULTS, DISK_FULL) if disk else FAULTS
        self.injected: Counter[str] = Counter()
        self.touched: set[int] = set()

    @property
    def block(self) -> int:
        """The block as the backend last told."""
        return self._pool.picture.backend.chain.block_index

    async def inject(self) -> str:
        """One fault, until everything is back; its name."""
        fault = self._chance.choice(self._kinds)
        first = self.block
        await self._do(fault)
        self.injected[fault] += 1
        await self._pool.moved()
        chain = self._pool.picture.backend.chain
        late = chain.ledger_time - chain.block_opened_ledger_time >= _NEXT_TOUCHED_SECONDS
        self.touched |= set(range(first, self.block + 1 + late))
        return fault

    async def _do(self, fault: str) -> None:
        if fault in ("backend killed", "pooler killed"):
            await self._kill(fault.split(maxsplit=1)[0])
        elif fault == "both restarted in order":
            await self._restart()
        elif fault == "database stopped":
            await asyncio.to_thread(self._pool.postgres.stop)
            await self._ledgers(OUTAGE_LEDGERS)
            await self._start_database()
        elif fault == DISK_FULL:
            await self._fill_disk()
        else:
            ledger = self._pool.services["ledger"].process_id
            os.kill(ledger, signal.SIGSTOP)
            await asyncio.sleep(FROZEN_SECONDS)
            os.kill(ledger, signal.SIGCONT)

    async def _kill(self, name: str) -> None:
        service = self._pool.services[name]
        await service.crash()
        await self._ledgers(DOWN_LEDGERS)
        async with self._halted():
            await service.start()

    async def _restart(self) -> None:
        services = self._pool.services
        for name in ("pooler", "backend"):
            await services[name].stop()
        await self._ledgers(DOWN_LEDGERS)
        async with self._halted():
            for name in ("backend", "pooler"):
                await services[name].start()

    async def _fill_disk(self) -> None:
        """A server that cannot write its log ends; it is started again once there is room, as an init system would."""
        assert self._disk
        await asyncio.to_thread(self._disk.fill)
        await self._ledgers(OUTAGE_LEDGERS)
        self._disk.clear()
        if not self._pool.postgres.running:
            await asyncio.to_thread(self._pool.postgres.stop)
            await self._start_database()

    async def _start_database(self) -> None:
        async with self._halted():
            await asyncio.to_thread(self._pool.postgres.start)

    async def _ledgers(self, count: int) -> None:
        """Waits as long as so many ledgers take: whoever could tell of them may be down."""
        await asyncio.sleep(count * self._close_seconds)

    @asynccontextmanager
    async def _halted(self) -> AsyncIterator[None]:
        """No ledger closes inside; the RPC answers."""
        await self._halt(halted=True)
        try:
            yield
        finally:
            await self._halt(halted=False)

    async def _halt(self, *, halted: bool) -> None:
        url = f"{self._pool.services['ledger'].record['rpc_url']}/devnet/halt"
        async with aiohttp.ClientSession() as session, session.post(url, json={"halted": halted}) as answer:
            answer.raise_for_status()
