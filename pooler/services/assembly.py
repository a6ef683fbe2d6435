"""All services of a pooler over its ports, wired together and run together."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kale_chain.errors import RpcError
from pooler.domain.presence import State
from pooler.domain.round import Rounds
from pooler.errors import BackendError
from pooler.ports import Backend, FarmView, HashEngine, Journal, LedgerFeed, WorkChannels
from pooler.services.assigning import Assigning
from pooler.services.attending import Attending
from pooler.services.farming import Farming
from pooler.services.overview import Overview
from pooler.services.planning import Planning
from pooler.services.reporting import Reporting
from pooler.services.searching import Searching
from pooler.services.submitting import Submitting
from pooler.services.watching import Watching

_HEALTH_SECONDS = 5.0
_BALANCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What a pooler works with."""

    feed: LedgerFeed
    farm: FarmView
    channels: WorkChannels
    backend: Backend
    engine: HashEngine
    journal: Journal
    load: Callable[[], float]
    fee_balance: Callable[[], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen; times in seconds. See `.env.example` for the meaning of each."""

    pooler_id: str
    farmers: int
    max_searches: int
    max_repeats: int
    work_patience: float
    monitor_interval: float


class Assembly:
    """A pooler.

    Attributes:
        overview: What it is doing.
    """

    def __init__(self, ports: Ports, options: Options) -> None:
        self._ports = ports
        self._options = options
        rounds = Rounds()
        self._watching = Watching(ports.farm)
        planning = Planning(ports.channels, rounds)
        self._searching = Searching(ports.engine, ports.journal, rounds, limit=options.max_searches)
        self._submitting = Submitting(
            ports.channels,
            ports.farm,
            ports.journal,
            rounds,
            max_repeats=options.max_repeats,
            patience=options.work_patience,
            latency=planning.latency,
        )
        self._reporting = Reporting(ports.backend, ports.journal)
        self.overview = Overview(
            pooler_id=options.pooler_id,
            problems={"stellar": lambda: ports.feed.problem, "backend": lambda: ports.backend.problem},
            backend=ports.backend,
            rate=ports.engine.rate,
            load=ports.load,
            watching=self._watching,
            searching=self._searching,
            submitting=self._submitting,
            reporting=self._reporting,
            rounds=rounds,
        )
        ports.backend.changed = self.overview.ring
        self._farming = Farming(
            pooler_id=options.pooler_id,
            feed=ports.feed,
            watching=self._watching,
            planning=planning,
            submitting=self._submitting,
            searching=self._searching,
            reporting=self._reporting,
            journal=ports.journal,
            rounds=rounds,
            interval=options.monitor_interval,
            turned=self.overview.ring,
        )
        self._attending = Attending(
            ports.backend,
            ports.journal,
            state=self._state,
            take=self._farming.take,
            release=self._farming.release,
        )

    async def farm(self) -> None:
        """Farms until cancelled.

        Raises:
            RpcError: The ledger could not be read at the very start.
        """
        last = await self._ports.feed.latest()
        sight = await self._watching.look()
        assert sight is not None, "the first look is never behind another"
        after = await self._farming.restore(last, sight)
        async with asyncio.TaskGroup() as tasks:
            assigning = Assigning(
                self._ports.backend,
                self._ports.journal,
                farmers=self._options.farmers,
                take=self._farming.take,
                ready=self._attending.settled,
                tasks=tasks,
            )
            self.overview.assigning = assigning
            tasks.create_task(self._searching.run(), name="finds")
            tasks.create_task(self._reporting.run(), name="reports")
            tasks.create_task(self._attending.run(), name="attendance")
            tasks.create_task(self._watch_backend(), name="backend's health")
            tasks.create_task(self._watch_balance(), name="fee account")
            tasks.create_task(self._farming.run(assigning, after), name="farming")

    async def drain(self) -> None:
        """Has the backend give this pooler's farmers to others; returns once that is done."""
        await self._attending.drain()

    def _state(self) -> State:
        return State(
            acknowledged=0,
            max_farmers=self._options.farmers,
            hashes_per_second=self._ports.engine.capacity(),
            running_searches=self._searching.running,
            machine_load=self._ports.load(),
            unacknowledged_reports=self._reporting.unacknowledged,
            draining=False,
        )

    async def _watch_backend(self) -> None:
        while True:
            with contextlib.suppress(BackendError):
                await self._ports.backend.check()
            await asyncio.sleep(_HEALTH_SECONDS)

    async def _watch_balance(self) -> None:
        while True:
            with contextlib.suppress(RpcError):
                self.overview.fee_balance_stroops = await self._ports.fee_balance() or 0
            await asyncio.sleep(_BALANCE_SECONDS)
