"""Bad spells: what lasts for ledgers, and what befalls the backend as a whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kale_chain.model import BLOCK_SECONDS
from simulator.chain import LEDGER_SECONDS
from simulator.life import Life
from simulator.truth import PailKey

if TYPE_CHECKING:
    from simulator.world import World

_USUAL_BASE_FEE = 100
_SPIKE = 20
_SNAPSHOT_BLOCKS = 3
_LONGEST = 12
_HALT_SECONDS = (1_800, 14_400)
_ONE_ENDPOINT_ONLY = 0.6
_LEDGERS_IN_BLOCK = BLOCK_SECONDS // LEDGER_SECONDS


@dataclass
class Spell:
    """Something that lasts until `until` (in spells' own count of ledgers)."""

    name: str
    until: int
    end: Callable[[], None]


class Spells:
    """Begins and ends them.

    Attributes:
        expired: Pails whose life was ended, and why.
        restores: How often the database was restored.
        restored: The ledger of the last time, and the fence that the backup had.
        lied: Whether an endpoint has ever lied.
    """

    def __init__(self, world: World, rolls: random.Random) -> None:
        self._world = world
        self.rolls = rolls
        self.expired: dict[PailKey, str] = {}
        self.restores = 0
        self.restored: tuple[int, int] | None = None
        self.lied = False
        self._halt_seconds = 0
        self._count = 0
        self._spells: dict[str, Spell] = {}
        self._backed_up: int | None = None
        self._snapshot_block = 0
        self._rival: Life | None = None
        self._busy: list[asyncio.Task[object]] = []

    @property
    def active(self) -> bool:
        """Whether something keeps the backend from working as it should."""
        return bool(self._spells) or not self._world.owner.at_rest

    def next_ledger(self) -> int:
        """Seconds until the next ledger closes; hours after a halt was struck."""
        seconds, self._halt_seconds = self._halt_seconds or LEDGER_SECONDS, 0
        return seconds

    def pass_ledger(self) -> None:
        """Ends what is over and begins what the dice say."""
        self._count += 1
        for spell in [spell for spell in self._spells.values() if spell.until <= self._count]:
            self._end(spell)
        climate, weather, chain = self._world.weather.climate, self._world.weather, self._world.chain
        if weather.strikes("outage", climate.outage):
            self._begin_outage()
        if weather.strikes("database outage", climate.database_outage):
            weather.database_down = True
            self._begin("database outage", lambda: setattr(weather, "database_down", False), longest=4)
        if weather.strikes("lag", climate.lag) and "lag" not in self._spells:
            faults = self.rolls.choice(chain.nodes).faults
            faults.lag = self.rolls.randint(1, 4)
            self._begin("lag", lambda: setattr(faults, "lag", 0))
        if weather.strikes("fee spike", climate.fee_spike):
            chain.client.engine.set_base_fee(_USUAL_BASE_FEE * _SPIKE)
            self._begin("fee spike", lambda: chain.client.engine.set_base_fee(_USUAL_BASE_FEE))
        if weather.strikes("queue dropped", climate.queue_dropped):
            chain.client.engine.drop_queue()
        if weather.strikes("restore", climate.restore / _LEDGERS_IN_BLOCK):
            self._restore()
        self._befall_network()

    def _befall_network(self) -> None:
        """What befalls the farm, the network and one of several endpoints."""
        climate, weather = self._world.weather.climate, self._world.weather
        if weather.strikes("pause", climate.pause):
            owner = self._world.owner
            owner.paused = True
            self._begin("pause", lambda: setattr(owner, "paused", False), longest=30)
        if weather.strikes("halt", climate.halt):
            self._halt_seconds = self.rolls.randint(*_HALT_SECONDS)
        if len(self._world.chain.nodes) > 1 and "lie" not in self._spells and weather.strikes("lie", climate.lie):
            self._begin_lie()

    def new_block(self) -> None:
        """What befalls the backend as a whole, at most once a block."""
        weather, climate = self._world.weather, self._world.weather.climate
        if weather.strikes("pail expired", climate.pail_expired):
            self._expire_a_pail()
        if weather.strikes("block removed", climate.block_removed):
            self._remove_a_block()
        if weather.strikes("upgrade", climate.upgrade):
            self._world.owner.upgrade()
        if weather.strikes("second backend", climate.second_backend):
            self._begin_rival()
        elif weather.strikes("clean restart", climate.clean_restart) and self._world.life is not None:
            self._run(self._world.life.stop())
        self._remember()

    def end_all(self) -> None:
        """Ends everything."""
        for spell in list(self._spells.values()):
            self._end(spell)

    def _begin(self, name: str, end: Callable[[], None], *, longest: int = _LONGEST) -> None:
        if name not in self._spells:
            self._spells[name] = Spell(name, self._count + self.rolls.randint(1, longest), end)

    def _end(self, spell: Spell) -> None:
        del self._spells[spell.name]
        spell.end()

    def _begin_outage(self) -> None:
        """Of several endpoints one or all answer nothing."""
        weather, nodes = self._world.weather, self._world.chain.nodes
        if len(nodes) > 1 and self.rolls.random() < _ONE_ENDPOINT_ONLY:
            if "outage of one endpoint" in self._spells:
                return
            node = self.rolls.choice(nodes)
            node.down = True
            self._begin("outage of one endpoint", lambda: setattr(node, "down", False))
        else:
            weather.rpc_down = True
            self._begin("outage", lambda: setattr(weather, "rpc_down", False))

    def _begin_lie(self) -> None:
        """An endpoint hides what the pool did, until somebody takes it off the list and starts the backend again."""
        node = self.rolls.choice(self._world.chain.nodes)
        node.hidden_payer = self._world.chain.scenario.master.public_key
        self.lied = True

        def end() -> None:
            node.hidden_payer = None
            if self._world.life is not None:
                self._run(self._world.life.stop())

        self._begin("lie", end)

    def _remove_a_block(self) -> None:
        """The farm's owner removes a block that still has pails of ours."""
        blocks = sorted({pail.block_index for pail in self._world.truth.open_pails.values()})
        older = [index for index in blocks if index < self._world.truth.index]
        if older:
            self._world.owner.remove(self.rolls.choice(older))

    def _expire_a_pail(self) -> None:
        pails = [pail for pail in self._world.truth.open_pails.values() if pail.block_index < self._world.truth.index]
        if pails:
            pail = self.rolls.choice(pails)
            self._world.chain.expire(pail.address, pail.block_index)
            self.expired[pail.key] = "its life was ended"

    def _begin_rival(self) -> None:
        """Another backend starts while one runs whose connection to the database broke unnoticed."""
        if self._world.life is not None and self._world.life.ready:
            self._world.database.free_lock()
            self._rival = self._world.new_life()
            self._run(self._rival.start())
            self._begin("second backend", self._end_rival, longest=20)

    def _end_rival(self) -> None:
        if self._rival is not None:
            self._rival.end()
            self._rival = None

    def _remember(self) -> None:
        """Takes a backup now and then."""
        if self._world.truth.index - self._snapshot_block >= _SNAPSHOT_BLOCKS:
            self._backed_up = self._world.database.back_up()
            self._snapshot_block = self._world.truth.index

    def _restore(self) -> None:
        """The database is lost, and the last backup takes its place."""
        if self._backed_up is None:
            return
        self.restores += 1
        self._end_rival()
        if self._world.life is not None:
            self._world.life.end()
        self._world.database.restore()
        self._world.checker.forget()
        self.restored = self._world.chain.sequence, self._backed_up

    def _run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._busy = [task for task in self._busy if not task.done()]
        self._busy.append(asyncio.create_task(coroutine))
