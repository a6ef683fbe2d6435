"""A world in which a backend lives: one seed decides everything that happens in it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from unittest import mock

import structlog

from backend.domain.farmer import Farmer, FarmerState
from backend.domain.signing import SigningRules
from backend.services import trusting
from kale_chain.model import BLOCK_SECONDS
from simulator import loop as virtual
from simulator.actors import Accounts, Pooler, Strangers
from simulator.chain import LEDGER_SECONDS, Chain
from simulator.checks import Checker, Health
from simulator.database import MemoryDatabase, SimulatedDatabase
from simulator.errors import SimulatorError, Violation
from simulator.holders import Holders
from simulator.life import HeadMemory, Life, follow_lives
from simulator.owner import Owner
from simulator.postgres import PostgresDatabase
from simulator.spells import Spells
from simulator.truth import Truth
from simulator.vault import SeededVault
from simulator.weather import Climate, Weather, calmed, dice

_TEMPORARY_TTL = 600
_FARMERS = 3
_DEPOSIT = 1_000_000_000
_CHECK_SECONDS = 150
_BACKSTOP_SECONDS = 240
_BACKSTOP_LEDGERS = 2
"""Undisturbed ledgers in which the backstop must succeed."""
_PATIENCE_LEDGERS = 400
_DRAIN_BLOCKS = 12
_STALLED_SECONDS = 30
_SEVERAL_ENDPOINTS = 0.2
_GARBAGE = 200_000


DATABASES: Mapping[str, Callable[[], SimulatedDatabase]] = {"memory": MemoryDatabase, "postgres": PostgresDatabase}
"""Kinds of databases by name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        blocks: Blocks that were opened.
        ledgers: Ledgers that closed.
        pails: Pails that the pool planted.
        lost: Those that were lost, by an injected cause.
        checks: Balances compared.
        lives: Backends that were started.
        restores: Databases restored to an older point.
        struck: What went wrong, by kind.
        trace: SHA-256 over everything that happened, hex.
        violation: What must never happen and did.
    """

    blocks: int
    ledgers: int
    pails: int
    lost: int
    checks: int
    lives: int
    restores: int
    struck: dict[str, int]
    trace: str
    violation: Violation | None = None


@dataclass
class Trace:
    """A hash over what happens."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def note(self, *what: object) -> None:
        """Adds what happened."""
        self.digest.update(repr(what).encode())


def usual(seed: int | str) -> Climate:
    """The climate of a seed's world: one in five has three RPC endpoints, of which one may lie."""
    if dice(seed, "climate").random() < _SEVERAL_ENDPOINTS:
        return Climate(endpoints=3, lie=0.001)
    return Climate()


def simulate(seed: int | str, blocks: int, climate: Climate | None = None, *, store: str = "memory") -> Outcome:
    """Lets a world live for so many blocks, and then until every pail is at its end.

    Args:
        seed: Decides everything that happens.
        blocks: How many it lives for.
        climate: What goes wrong how often; None: as usual.
        store: What it keeps its rows in: a name of `DATABASES`.
    """
    world_climate = climate or usual(seed)
    # Nearly nothing here is garbage in circles, and looking for it all along costs a tenth of the time.
    gc.set_threshold(_GARBAGE)
    patches = (
        mock.patch("os.urandom", dice(seed, "ids").randbytes),
        mock.patch.object(trusting, "LOOK_SECONDS", LEDGER_SECONDS),
    )
    with patches[0], patches[1], _program_faults() as faults:
        database = DATABASES[store]()
        try:
            return virtual.run(World(seed, world_climate, faults, database).live(blocks))
        finally:
            database.close()


@contextmanager
def _program_faults() -> Iterator[list[str]]:
    """Silences the log, and collects what it says of faults of the program."""
    faults: list[str] = []

    def collect(_logger: object, method: str, event: MutableMapping[str, Any]) -> NoReturn:
        if event.get("exc_info") or method == "exception":
            faults.append(f"{event['event']}: {traceback.format_exc(limit=-4)}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR), processors=[collect])
    try:
        yield faults
    finally:
        structlog.configure(**before)


class World:
    """Ledger, database, backend, pooler, strangers, weather and clock."""

    def __init__(
        self, seed: int | str, climate: Climate, faults: list[str], database: SimulatedDatabase | None = None
    ) -> None:
        self.chain = Chain(temporary_ttl=_TEMPORARY_TTL, endpoints=climate.endpoints)
        self.truth = Truth(self.chain)
        self.health = Health()
        self.checker = Checker(self.chain, self.truth, self.health, climate.harvest_after_blocks)
        self.owner = Owner(self.chain, self.truth)
        self.weather = Weather(climate, dice(seed, "weather"))
        self.database = MemoryDatabase() if database is None else database
        self.head = HeadMemory()
        rules = SigningRules.of(self.chain.identity, self.chain.scenario.master.public_key)
        self.vault = SeededVault(self.chain.signer("faucet"), rules)
        self.accounts = Accounts(self.chain, self.truth, 6)
        self.strangers = Strangers(self.chain, self.truth, self.accounts, climate, dice(seed, "strangers"))
        self.pooler = Pooler(self.chain, self.truth, self.accounts, climate, dice(seed, "pooler"))
        self.holders = Holders(self.chain, self.accounts, climate, dice(seed, "holders"))
        self.spells = Spells(self, dice(seed, "spells"))
        self.trace = Trace()
        self.faults = faults
        self.found: Violation | None = None
        self.life: Life | None = None
        self.lives = 0
        self._clear_late = self._clear_longest = 0
        self._checked = -1
        self._acting: dict[str, asyncio.Task[None]] = {}

    async def live(self, blocks: int) -> Outcome:
        """Lives for so many blocks; what it finds is in the outcome."""
        follow_lives(asyncio.get_running_loop())
        keeper = asyncio.create_task(self._keep_alive(), name="keeper")
        violation = None
        try:
            await self._begin(keeper)
            first = self.truth.index
            await self._until(lambda: self.truth.index >= first + blocks)
            await self._drain()
        except Violation as found:
            violation = found
        finally:
            keeper.cancel()
            if self.life is not None:
                self.life.end()
        return self._outcome(violation)

    def new_life(self) -> Life:
        """Another backend over the same database and ledger."""
        self.lives += 1
        return Life(
            chain=self.chain,
            database=self.database,
            head=self.head,
            vault=self.vault,
            weather=self.weather,
            watch_sent=self._sent,
        )

    def is_healthy(self) -> bool:
        """Whether nothing lasting keeps the backend from working."""
        life = self.life
        if life is None or not life.ready or life.parts is None or self.spells.active:
            return False
        last = life.parts.chain.watch.last
        caught_up = last is not None and last.sequence >= self.chain.sequence - 2
        return caught_up and life.parts.chain.gate.closed is None

    async def ledger(self) -> None:
        """One ledger: everybody acts, it closes, and is looked at."""
        struck = self.weather.struck
        seconds = self.spells.next_ledger()
        await self._wait_for_ledger(seconds)
        self.accounts.next_ledger()
        self.strangers.act()
        await self._let_act("pooler", self.pooler.act)
        await self._let_act("holders", self.holders.act)
        before, opened = self.truth.index, self.truth.opened
        record = self.chain.close(seconds)
        tables = self.database.tables
        self.trace.note(record.hash, tables.position, self.weather.struck)
        self.checker.applied(tables, record)
        self.truth.read(record)
        self.holders.read(record)
        self.owner.act()
        healthy = self.is_healthy()
        self.health.ledgers = self.health.ledgers + 1 if healthy else 0
        clear = healthy and self.weather.struck == struck and seconds == LEDGER_SECONDS
        self._count_late(record.close_time - opened, clear=clear)
        if self.truth.index != before:
            self._end_block(before)
        self._raise_faults()
        await self._check_when_due()
        self.spells.pass_ledger()

    async def _begin(self, keeper: asyncio.Task[None]) -> None:
        """A backend, farmers with deposits, and accounts for everybody else."""
        climate, self.weather.climate = self.weather.climate, calmed(self.weather.climate)
        self.accounts.create()
        await self._until(lambda: self.life is not None and self.life.ready)
        made = [await self._new_farmer(number) for number in range(_FARMERS)]
        await self._until(lambda: len(self.database.tables.farmers.having(FarmerState.ACTIVE)) == _FARMERS)
        for farmer in made:
            self.accounts.deposit(farmer.address, _DEPOSIT)
            await self.ledger()
            self.truth.deposits[farmer.address] = self.chain.kale(farmer.address)
            self.pooler.knows(farmer.address, farmer.farmer_id)
            self.holders.knows(farmer.address, farmer.farmer_id)
        if climate.withdrawal or climate.exit:
            self.holders.begin()
            await self.ledger()
        await self._until(lambda: self.truth.index > 0)
        if climate.spendable_stroops is not None:
            self.chain.impoverish(climate.spendable_stroops)
        self.weather.climate = climate
        assert not keeper.done()

    async def _new_farmer(self, number: int) -> Farmer:
        assert self.life is not None
        after = self.weather.climate.harvest_after_blocks
        return await self.life.call(
            lambda parts: parts.onboarding.create(f"farmer {number}", 1000 * (number + 1), after)
        )

    async def _until(self, met: Callable[[], bool]) -> None:
        """Ledgers close until the condition holds. Raises Violation if the world stands still."""
        seen, standing = self.truth.index, 0
        while not met():
            await self.ledger()
            standing = 0 if self.truth.index != seen else standing + 1
            seen = self.truth.index
            if standing > _PATIENCE_LEDGERS:
                raise Violation("standstill", seen, f"no block has opened in {standing} ledgers")

    async def _drain(self) -> None:
        """Good weather, and no more plants, until every pail is harvested."""
        self.spells.end_all()
        self.weather.climate = self.strangers.climate = self.holders.climate = calmed(self.weather.climate)
        self.strangers.patience = 0
        self.pooler.resting = self.holders.settling = True
        last = self.truth.index + _DRAIN_BLOCKS
        await self._until(lambda: not self.truth.open_pails or self.truth.index >= last)
        for _ in range(2 * BLOCK_SECONDS // LEDGER_SECONDS):
            await self.ledger()
        await self.checker.final(self.database)
        self.holders.final()

    async def _keep_alive(self) -> None:
        """Starts a backend whenever there is none, as a service manager does."""
        rolls = self.spells.rolls
        while True:
            life = self.new_life()
            self.life = life
            if await life.start():
                await life.ended.wait()
            else:
                life.end()
            await asyncio.sleep(rolls.choice((1.0, 5.0, 20.0, 90.0)))

    async def _let_act(self, name: str, act: Callable[[Life | None], Coroutine[Any, Any, None]]) -> None:
        """Lets someone act, who may take longer than until the next ledger."""
        acting = self._acting.get(name)
        if acting is None or acting.done():
            if acting is not None:
                acting.result()
            acting = self._acting[name] = asyncio.create_task(act(self.life), name=name)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(acting), 2.0)

    def _end_block(self, index: int) -> None:
        """A pail without work at its block's end is lost; that must have a cause."""
        unworked = self.truth.unworked(index)
        if unworked and self._had_time():
            raise Violation("stake lost", index, f"nothing hindered the backstop: {unworked[0]}")
        self.truth.lose(unworked, "no work")
        self._clear_late = self._clear_longest = 0
        self.spells.new_block()

    def _count_late(self, age: int, *, clear: bool) -> None:
        """Counts ledgers in a row late in a block in which nothing went wrong."""
        if age >= _BACKSTOP_SECONDS:
            self._clear_late = self._clear_late + 1 if clear else 0
            self._clear_longest = max(self._clear_longest, self._clear_late)

    def _had_time(self) -> bool:
        """Whether the backstop had enough ledgers in a row in which nothing went wrong."""
        return self._clear_longest > _BACKSTOP_LEDGERS

    async def _wait_for_ledger(self, seconds: int) -> None:
        """Lets the time pass; where it is long, the RPC says that the network stands still."""
        await asyncio.sleep(min(seconds, _STALLED_SECONDS))
        if seconds > _STALLED_SECONDS:
            self._stall(stalled=True)
            await asyncio.sleep(seconds - _STALLED_SECONDS)
            self._stall(stalled=False)

    def _stall(self, *, stalled: bool) -> None:
        for node in self.chain.nodes:
            node.stalled = stalled

    def _sent(self, envelope: str) -> None:
        self.found = self.found or self.checker.sent(self.database.tables, envelope)

    def _raise_faults(self) -> None:
        if self.found is not None:
            raise self.found
        if self.faults:
            raise Violation("program fault", self.truth.index, self.faults[0])
        life = self.life
        if life is not None and life.fault is not None:
            if isinstance(life.fault, SimulatorError):
                raise life.fault
            raise Violation("program fault", self.truth.index, repr(life.fault)) from life.fault
        for pail in list(self.truth.open_pails.values()):
            if pail.block_index < self.truth.index and not self.chain.has_pail(pail.address, pail.block_index):
                why = self.spells.expired.get(pail.key)
                if why is None:
                    raise Violation("life ended", pail.block_index, f"{pail} was not harvested in its life")
                self.truth.lose([pail], why)

    async def _check_when_due(self) -> None:
        age = self.chain.close_time - self.truth.opened
        if age >= _CHECK_SECONDS and self._checked != self.truth.index:
            self._checked = self.truth.index
            self.checker.unsigned(self.database.tables, self.spells.restored)
            self.checker.lied = self.spells.lied
            await self.checker.check(self.database)

    def _outcome(self, violation: Violation | None) -> Outcome:
        pails = self.truth.pails.values()
        return Outcome(
            blocks=self.truth.index,
            ledgers=self.chain.sequence,
            pails=len(pails),
            lost=sum(pail.lost is not None for pail in pails),
            checks=self.health.checks,
            lives=self.lives,
            restores=self.spells.restores,
            struck=dict(sorted(self.weather.by_kind.items())),
            trace=self.trace.digest.hexdigest(),
            violation=violation,
        )
