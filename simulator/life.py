"""One life of a backend: the real services from start to crash, and what they run into on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from backend.app import Parts
from backend.config import Settings
from backend.domain.lease import Head
from backend.errors import BackendError, DatabaseUnavailableError, LeaseLostError
from backend.services.leasing import Leasing
from kale_chain.errors import ChainError
from simulator.chain import Chain
from simulator.database import SimulatedDatabase
from simulator.rpc import SimulatedTransport, simulated_rpc
from simulator.vault import SeededVault
from simulator.weather import Weather

T = TypeVar("T")

POLL_SECONDS = 6.0
CHANNELS = 6
_RENEW_SECONDS = 30.0
_LEFT_OUT = frozenset({"status"})
"""Parts that only watch, once a second."""

_present: ContextVar[Life | None] = ContextVar("life", default=None)


class GoneError(Exception):
    """The backend is not there to be called."""


class HeadMemory:
    """The head's record outside the database; see backend.ports.lease.HeadRecord."""

    def __init__(self) -> None:
        self.head: Head | None = None

    async def read(self) -> Head | None:
        """What was last written."""
        return self.head

    async def write(self, head: Head) -> None:
        """Replaces it."""
        self.head = head


class Life:
    """A backend's life.

    Args:
        chain: The ledger.
        database: Its database.
        head: The head's record outside it.
        vault: The farmers' keys.
        weather: What goes wrong on the way to ledger and database.
        watch_sent: Told of every transaction (base64 envelope) that is sent.

    Attributes:
        parts: The services, once started.
        ready: Whether it has started and not yet ended.
        ended: Set at its end.
        fault: What ended it, if not a crash.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        database: SimulatedDatabase,
        head: HeadMemory,
        vault: SeededVault,
        weather: Weather,
        watch_sent: Callable[[str], None],
    ) -> None:
        self.parts: Parts | None = None
        self.ready = False
        self.ended = asyncio.Event()
        self.fault: BaseException | None = None
        self._chain = chain
        self._database = database
        self._head = head
        self._vault = vault
        self._weather = weather
        self._watch_sent = watch_sent
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._leasing: Leasing | None = None

    async def start(self) -> bool:
        """Starts as `backend.app` does, without listeners; False if it could not."""
        task = self.spawn("start", self._start())
        await asyncio.wait({task})
        if self.ended.is_set() or task.cancelled():
            return False
        error = task.exception()
        if error is None:
            self.ready = True
            return True
        self.end()
        if not isinstance(error, BackendError | ChainError):
            self.fault = error
        return False

    async def step(self, what: str) -> None:
        """A place where the program can end; see simulator.rpc.Traveller."""
        del what
        if self.ended.is_set():
            raise asyncio.CancelledError
        if self._weather.strikes("crash", self._weather.climate.crash):
            self.end()
            raise asyncio.CancelledError

    async def call(self, act: Callable[[Parts], Awaitable[T]]) -> T:
        """Calls a service as a client does.

        Raises:
            GoneError: the backend is not there, or ended before it answered.
        """
        if not self.ready or self.parts is None:
            raise GoneError
        task = self.spawn("call", _called(act, self.parts))
        await asyncio.wait({task})
        if task.cancelled():
            raise GoneError
        return task.result()

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs something as part of this life: it and what it starts end with it."""
        token = _present.set(self)
        try:
            return asyncio.create_task(coroutine, name=name)
        finally:
            _present.reset(token)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Counts a task as part of this life."""
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def end(self) -> None:
        """Ends at once, wherever it is; its connections break."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.ready = False
        if self.parts is not None or self._leasing is not None:
            self._database.disconnect(self.stores)
        for task in list(self._tasks):
            task.cancel()

    async def stop(self) -> None:
        """Stops cleanly, as at SIGTERM."""
        if not self.ready or self.parts is None or self._leasing is None:
            return
        self.ready = False
        stopping = self.spawn("stop", self._stop(self.parts, self._leasing))
        await asyncio.wait({stopping})
        self.end()

    async def _start(self) -> None:
        self.stores = self._database.open(before=self._before, after=self._after)
        leasing = self._leasing = Leasing(self.stores.lease, self._head)
        await leasing.start("a simulated backend")
        transports = [
            SimulatedTransport(self._chain, node, self._weather, self, self._watch_sent) for node in self._chain.nodes
        ]
        rpc = simulated_rpc(transports)
        parts = Parts(_settings(self._chain), self.stores, rpc, self._chain.identity, self._vault)
        after = await parts.following.start()
        await parts.trusting.look()
        await parts.quarantining.act()
        self.parts = parts
        self._run("lease", leasing.hold(every=_RENEW_SECONDS))
        for name, coroutine in parts.tasks(after):
            if name in _LEFT_OUT:
                coroutine.close()
            else:
                self._run(name, coroutine)

    async def _stop(self, parts: Parts, leasing: Leasing) -> None:
        for task in [task for task in self._tasks if task.get_name() != "stop"]:
            task.cancel()
        await parts.chain.finishing.close()
        await leasing.stop()

    def _run(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self.spawn(name, coroutine).add_done_callback(self._part_ended)

    def _part_ended(self, task: asyncio.Task[Any]) -> None:
        """A part that runs for ever has ended: so does the program."""
        if task.cancelled() or self.ended.is_set():
            return
        error = task.exception()
        if not isinstance(error, LeaseLostError):
            self.fault = error
        self.end()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()

    async def _before(self) -> None:
        await self.step("before a transaction")
        climate = self._weather.climate
        if self._weather.database_down or self._weather.strikes("database refused", climate.database_refused):
            raise DatabaseUnavailableError("the simulated database is out of reach")
        await asyncio.sleep(0)

    async def _after(self) -> None:
        await self.step("after a commit")
        if self._weather.strikes("commit unacknowledged", self._weather.climate.database_unacknowledged):
            raise DatabaseUnavailableError("the simulated database did what was asked, and did not say so")


def follow_lives(loop: asyncio.AbstractEventLoop) -> None:
    """Makes every task belong to the life in which it was started."""

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        life = _present.get()
        if life is not None:
            life.adopt(task)
        return task

    loop.set_task_factory(make)


async def _called(act: Callable[[Parts], Awaitable[T]], parts: Parts) -> T:
    """Begins when its task does: one that is cancelled before has nothing to be awaited."""
    return await act(parts)


def _settings(chain: Chain) -> Settings:
    master = chain.scenario.master
    return Settings.model_validate(
        {
            "database_url": "postgresql://simulated@localhost/simulated",
            "key_file": "simulated.key",
            "stellar_network": "local",
            "stellar_rpc_url": ",".join(node.name for node in chain.nodes),
            "stellar_network_passphrase": chain.identity.passphrase,
            "kale_contract_id": chain.identity.farm_id,
            "master_wallet_address": master.public_key,
            "master_wallet_secret": master.secret,
            "harvest_channels": CHANNELS,
            "ledger_poll_ms": int(POLL_SECONDS * 1000),
            "harvest_interval_seconds": 60,
            "stake_policy": "asked",
            "withdrawal_farmer_day_stroops": 0,
            "withdrawal_pool_day_stroops": 0,
        }
    )
