"""A pooler's world in memory: the farm's reference model as ledger, a backend and an engine that do as they are told.

Every test decides when a ledger closes and what goes wrong; `Rig` runs the pooler's real services and its real journal.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from kale_chain.breaker import CircuitState
from kale_chain.errors import FarmError, FarmErrorCode, Retry, RpcUnavailableError
from kale_chain.farm_model import FarmModel
from kale_chain.model import Block, Farm, Ledger, Pail
from pooler.domain.assignment import Assignment, Failure, Find, Reason
from pooler.domain.attempt import Attempt, WorkResult
from pooler.domain.presence import Notice, State
from pooler.domain.report import Acknowledgement, Report
from pooler.domain.snapshot import Circuit
from pooler.errors import BackendRefusedError, BackendUnavailableError
from pooler.ports import (
    Found,
    News,
    PlantedEvent,
    PlantFailedEvent,
    PlantMessage,
    PlantsDone,
    SendState,
    Sent,
    WorkOrder,
)
from pooler.services.assembly import Assembly, Options, Ports
from pooler.state.journal import SqliteJournal

START = 1_000_000
LEDGER_SECONDS = 5
PATIENCE_SECONDS = 30


class Bell:
    """Rung at everything that happens; `until` waits for a condition without looking at a clock."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def ring(self) -> None:
        for event in self._waiting:
            event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            while not condition():
                await event.wait()
                event.clear()
        finally:
            self._waiting.discard(event)


class World:
    """Ledger and farm. Implements the ports LedgerFeed, FarmView and WorkChannels.

    Attributes:
        down: Whether the RPC answers nothing.
        lost: How many of the next works the network loses for good.
        again: How many of the next sends are answered TRY_AGAIN_LATER (and not taken).
        refused: A code to refuse the next sends with, or "".
        sent: Every attempt ever handed in, in order, repeats included.
    """

    def __init__(self, *, channels: int = 8) -> None:
        self.bell = Bell()
        self.model = FarmModel(START, {})
        self.ledger = Ledger(100, START)
        self.count = channels
        self.down = False
        self.lost = 0
        self.again = 0
        self.refused = ""
        self.sent: list[Attempt] = []
        self.plants: list[Callable[[Ledger], None]] = []
        self._history: list[tuple[Ledger, dict[str, WorkResult]]] = [(self.ledger, {})]
        self._queue: dict[str, Attempt] = {}
        self._dropped: set[str] = set()
        self._sequences = dict.fromkeys(range(channels), 0)
        self._uses: dict[str, int] = {}

    @property
    def problem(self) -> str | None:
        return "down" if self.down else None

    def close(self) -> None:
        """Closes one ledger: works first, then plants."""
        self.ledger = Ledger(self.ledger.sequence + 1, self.ledger.close_time + LEDGER_SECONDS)
        results = {}
        for key, attempt in list(self._queue.items()):
            del self._queue[key]
            if self.ledger.sequence < attempt.max_ledger:
                results[key] = self._apply(attempt)
        plants, self.plants = self.plants, []
        for plant in plants:
            plant(self.ledger)
        self._history.append((self.ledger, results))
        self.bell.ring()

    def _apply(self, attempt: Attempt) -> WorkResult:
        self._sequences[attempt.channel] = self._uses[attempt.transaction_hash]
        sequence = self.ledger.sequence
        if attempt.block_index != self.model.index:
            return WorkResult(sequence, None, Failure(Reason.CONTRACT_REFUSED, "trapped"))
        try:
            gap = self.model.record_work(attempt.address, attempt.find.zeros, attempt.find.digest, self.ledger)
        except FarmError as error:
            final = error.code is FarmErrorCode.PAIL_MISSING
            return WorkResult(sequence, None, Failure(Reason.CONTRACT_REFUSED, str(error), final=final))
        return WorkResult(sequence, gap, None)

    def _ask(self) -> None:
        if self.down:
            raise RpcUnavailableError("http://rpc", "any", "down")

    async def latest(self) -> Ledger:
        self._ask()
        return self.ledger

    async def news(self, after: int) -> AsyncIterator[News]:
        while True:
            await self._closed(after)
            fresh = [(ledger, results) for ledger, results in self._history if ledger.sequence > after]
            found = {key: result for _, results in fresh for key, result in results.items()}
            after = self.ledger.sequence
            yield News(self.ledger, found.get)

    async def _closed(self, after: int) -> None:
        await self.bell.until(lambda: not self.down and self.ledger.sequence > after)

    async def farm_and_block(self, index: int) -> tuple[Farm, Block | None]:
        self._ask()
        model = self.model
        farm = Farm(model.index, model.farm_block, model.paused, self.ledger.sequence, self.ledger.sequence + 1_000)
        return farm, model.blocks.get(index)

    async def pails(self, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Pail]:
        self._ask()
        return {key: self.model.pails[key] for key in keys if key in self.model.pails}

    async def sequences(self, channels: Collection[int]) -> dict[int, int]:
        self._ask()
        return {number: self._sequences[number] for number in channels}

    async def refresh_fees(self) -> None:
        self._ask()

    def build(self, order: WorkOrder) -> Attempt:
        key = f"{order.channel}/{order.sequence}/{order.assignment.address}/{order.find.zeros}/{order.max_ledger}"
        self._uses[key] = order.sequence
        return Attempt(
            transaction_hash=key,
            block_index=order.assignment.block_index,
            address=order.assignment.address,
            find=order.find,
            stage=order.stage,
            channel=order.channel,
            envelope=key,
            max_ledger=order.max_ledger,
        )

    async def send(self, attempt: Attempt) -> Sent:
        self._ask()
        self.sent.append(attempt)
        if self.refused:
            return Sent(SendState.REFUSED, self.refused)
        if attempt.transaction_hash in self._dropped:
            return Sent(SendState.TAKEN)
        if self.lost:
            self.lost -= 1
            self._dropped.add(attempt.transaction_hash)
            return Sent(SendState.TAKEN)
        if self.again:
            self.again -= 1
            return Sent(SendState.AGAIN)
        return self._take(attempt)

    def _take(self, attempt: Attempt) -> Sent:
        key = attempt.transaction_hash
        if key in self._queue:
            return Sent(SendState.TAKEN)
        if self._uses[key] != self._sequences[attempt.channel] + 1:
            return Sent(SendState.REFUSED, "txBAD_SEQ")
        busy = {other.channel for other in self._queue.values()}
        assert attempt.channel not in busy, "two transactions pending on one channel account"
        self._queue[key] = attempt
        return Sent(SendState.TAKEN)


@dataclass
class FakeBackend:
    """Plants in the next ledger that is in the block, as many as asked; takes reports.

    Attributes:
        farmers: Addresses of the pool's farmers.
        failing: Farmers whose plant fails.
        down: Whether it answers nothing.
        cuts: Numbers of messages after which a plant stream is cut, each once.
        cut_acks: Whether the next report streams are cut after their first acknowledgement.
        refusals: Errors to raise at the next requests for plants.
        reports: What was reported, by report id.
        deliveries: Every report that arrived, repeats included.
        blocks: Blocks that were reported.
        asked: Every plant request: block and farmers.
        unattended: Whether it knows no attendance.
        states: What the pooler told on its last attendance stream.
        notices: What to tell on it; None cuts it.
    """

    world: World
    farmers: list[str]
    failing: set[str] = field(default_factory=set)
    down: bool = False
    cuts: list[int] = field(default_factory=list)
    cut_acks: bool = False
    refusals: list[BackendRefusedError] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    deliveries: list[Report] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    unattended: bool = False
    states: list[State] = field(default_factory=list)
    notices: asyncio.Queue[Notice | None] = field(default_factory=asyncio.Queue)
    problem: str | None = None
    changed: Callable[[], None] = lambda: None
    _logs: dict[int, list[PlantMessage]] = field(default_factory=dict)

    def _ask(self) -> None:
        if self.down:
            raise BackendUnavailableError("down")

    @property
    def circuits(self) -> Sequence[Circuit]:
        return (Circuit("backend:3000", CircuitState.CLOSED, in_use=True),)

    async def check(self) -> None:
        self._ask()

    async def plant(self, block_index: int, *, farmers: int, resume_after: int) -> AsyncGenerator[PlantMessage, None]:
        self._ask()
        self.asked.append((block_index, farmers))
        self.world.bell.ring()
        if self.refusals:
            raise self.refusals.pop(0)
        if block_index not in self._logs:
            self._begin(block_index, self.farmers[:farmers])
            self.world.bell.ring()
        position = resume_after
        while True:
            await self._longer(self._logs[block_index], position)
            self._ask()
            message = self._logs[block_index][position]
            position += 1
            yield message
            if isinstance(message, PlantsDone):
                return
            if position in self.cuts:
                self.cuts.remove(position)
                raise BackendUnavailableError("cut")

    async def _longer(self, log: list[PlantMessage], length: int) -> None:
        await self.world.bell.until(lambda: self.down or len(log) > length)

    def _begin(self, block_index: int, farmers: list[str]) -> None:
        log: list[PlantMessage] = []
        self._logs[block_index] = log

        def plant(ledger: Ledger) -> None:
            if block_index > self.world.model.index and ledger.close_time < self.world.model.farm_block.ends_at:
                self.world.plants.append(plant)
                return
            for number, farmer in enumerate(farmers, 1):
                if farmer in self.failing:
                    log.append(PlantFailedEvent(number, f"id-{farmer}", "INSUFFICIENT_BALANCE", "no"))
                    continue
                self.world.model.plant(farmer, 0, ledger)
                assert self.world.model.index == block_index, "asked for another block than the farm is in"
                log.append(PlantedEvent(number, assignment(block_index, farmer, ledger.sequence)))
            log.append(PlantsDone(len(farmers) - len(self.failing), len(self.failing)))

        self.world.plants.append(plant)

    async def report_work(self, reports: Sequence[Report]) -> AsyncIterator[Acknowledgement]:
        self._ask()
        for report in reports:
            self.deliveries.append(report)
            self.reports.setdefault(report.report_id, report)
            self.world.bell.ring()
            yield Acknowledgement(report.report_id, None)
            # The acknowledgement before this was taken.
            self.world.bell.ring()
            if self.cut_acks:
                self.cut_acks = False
                raise BackendUnavailableError("cut")

    async def attend(self, states: AsyncIterator[State]) -> AsyncGenerator[Notice, None]:
        self._ask()
        if self.unattended:
            raise BackendRefusedError("UNIMPLEMENTED", "an old backend", Retry.NEVER)
        self.states = [await anext(states)]
        self.world.bell.ring()
        yield Notice(1, welcome="1")
        hearing = asyncio.create_task(self._hear(states))
        try:
            while (notice := await self.notices.get()) is not None:
                yield notice
        finally:
            hearing.cancel()
        raise BackendUnavailableError("cut")

    async def _hear(self, states: AsyncIterator[State]) -> None:
        async for state in states:
            self.states.append(state)
            self.world.bell.ring()

    async def report_block(self, block_index: int, *, opened_at: int, ledger: int) -> bool:
        self._ask()
        assert opened_at <= self.world.ledger.close_time
        assert ledger <= self.world.ledger.sequence
        self.blocks.append(block_index)
        self.world.bell.ring()
        return True


@dataclass
class FakeSearch:
    """A search that finds what a test says."""

    assignment: Assignment
    entropy: bytes
    min_zeros: int
    max_zeros: int
    nonce_start: int
    nonce_count: int
    hashes: int = 0
    running: bool = True

    def cancel(self) -> None:
        self.running = False


class FakeEngine:
    """Searches that find what a test says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: asyncio.Queue[list[Found]] = asyncio.Queue()
        self.searches: list[FakeSearch] = []
        self.spares: list[FakeSearch] = []

    def search(
        self,
        assignment: Assignment,
        entropy: bytes,
        *,
        min_zeros: int,
        max_zeros: int,
        nonce_start: int,
        nonce_count: int,
        spare: bool = False,
    ) -> FakeSearch:
        one = FakeSearch(assignment, entropy, min_zeros, max_zeros, nonce_start, nonce_count)
        (self.spares if spare else self.searches).append(one)
        self._world.bell.ring()
        return one

    async def finds(self) -> AsyncIterator[list[Found]]:
        while True:
            yield await self._found.get()
            self._world.bell.ring()

    def rate(self) -> float:
        return 1.0

    def capacity(self) -> float:
        return 2.0

    def of(self, farmer: str) -> FakeSearch:
        """The farmer's running search."""
        (one,) = [one for one in self.searches if one.assignment.address == farmer and one.running]
        return one

    def find(self, block_index: int, farmer: str, zeros: int, *, ended: bool = False) -> None:
        """The search for a farmer finds a hash."""
        one = Find(zeros, zeros + 1, bytes([zeros, block_index % 256]) * 16)
        self._found.put_nowait([Found(block_index, farmer, one, ended)])

    @property
    def running(self) -> set[str]:
        """The farmers that are searched for."""
        return {one.assignment.address for one in self.searches if one.running}


def assignment(block_index: int, farmer: str, ledger: int) -> Assignment:
    """The assignment of a planted farmer."""
    return Assignment(block_index, f"id-{farmer}", farmer, ledger, 0)


class Rig:
    """A running pooler in its world; entering starts it, leaving kills it."""

    def __init__(self, world: World, backend: FakeBackend, directory: Path, **changes: float) -> None:
        self.world = world
        self.backend = backend
        self.engine = FakeEngine(world)
        self.handled = 0
        self.turns = 0
        self._directory = directory
        self._options = {
            "max_searches": 8,
            "max_repeats": 2,
            "work_patience": 600.0,
            "monitor_interval": 60.0,
            **changes,
        }
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        journal = self._stack.enter_context(SqliteJournal(self._directory, farm="farm", pooler_id="p"))
        ports = Ports(
            feed=self.world,
            farm=self.world,
            channels=self.world,
            backend=self.backend,
            engine=self.engine,
            journal=journal,
            load=lambda: 0.5,
            fee_balance=self._balance,
        )
        options = Options(
            pooler_id="p",
            farmers=int(self._options["max_searches"]),
            max_searches=int(self._options["max_searches"]),
            max_repeats=int(self._options["max_repeats"]),
            work_patience=self._options["work_patience"],
            monitor_interval=self._options["monitor_interval"],
        )
        self.assembly = Assembly(ports, options)
        self._relay = asyncio.create_task(self._relayed())
        self._farming = asyncio.create_task(self.assembly.farm())
        self._farming.add_done_callback(lambda _: self.world.bell.ring())
        await self.settled()
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in (self._farming, self._relay):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._stack.aclose()

    async def _balance(self) -> int:
        return 5

    async def _relayed(self) -> None:
        while True:
            await self.assembly.overview.bell.wait()
            # Rung at the end of every turn, and at nothing else here.
            self.turns += 1
            self.handled = self.assembly.overview.snapshot().ledger.sequence
            self.world.bell.ring()

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Something that goes on beside the pooler; its end is told."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self.world.bell.ring())
        return task

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something holds, or the pooler ends with an error."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.world.bell.until(lambda: self._farming.done() or condition())
        if self._farming.done():
            await self._farming

    async def settled(self) -> None:
        """Waits until the pooler has handled the last ledger."""
        await self.until(lambda: self.handled == self.world.ledger.sequence)

    async def close(self, ledgers: int = 1) -> None:
        """Closes ledgers, each handled before the next."""
        for _ in range(ledgers):
            self.world.close()
            await self.settled()

    async def until_time(self, seconds: int) -> None:
        """Closes ledgers until the block's age is at least `seconds`."""
        while self.world.ledger.close_time < self.world.model.farm_block.timestamp + seconds:
            await self.close()

    async def found(self, farmer: str, zeros: Iterable[int]) -> None:
        """Has a farmer's search find hashes, and waits until they are taken."""
        index = self.world.model.index
        for count in zeros:
            self.engine.find(index, farmer, count)
            await self.until(lambda count=count: self.best(farmer) == count)  # type: ignore[misc]

    def best(self, farmer: str) -> int | None:
        """Most zeros found for a farmer in the current block."""
        farmers = self.assembly.overview.snapshot().farmers
        return next((one.best_zeros for one in farmers if one.farmer_id == f"id-{farmer}"), None)

    async def reported(self, count: int) -> None:
        """Waits until so many reports are known to the backend and acknowledged."""
        await self.until(
            lambda: len(self.backend.reports) >= count and self.assembly.overview.snapshot().unacknowledged_reports == 0
        )
