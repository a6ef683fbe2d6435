"""Quarantine: after a restore nothing is signed until what was sent before has ended and the ledger was read again.

The database itself refuses attempts meanwhile. This service dates the quarantine by the ledger, adopts what the lost
rows had done, and ends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

import structlog

from backend.domain.lease import Quarantine
from backend.domain.plant import ADOPTED_POOLER, Plant, PlantState
from backend.domain.settlement import PlantConfirmed
from backend.ports.chain import FoundPlant
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.recovering import Recovering
from backend.services.submitting import LEDGER_WINDOW

_log = structlog.get_logger()

QUARANTINE_LEDGERS = LEDGER_WINDOW + 4
"""Ledgers it lasts: the longest a transaction may wait, and how far the RPC may have been behind when it began."""


class Quarantining:
    """Keeps the gate as the rows have it, and ends quarantines."""

    def __init__(self, stores: Stores, chain: ChainAccess, recovering: Recovering) -> None:
        self._quarantines = stores.quarantines
        self._farmers = stores.farmers
        self._plants = stores.plants
        self._attempts = stores.attempts
        self._reader = chain.reader
        self._watch = chain.watch
        self._gate = chain.gate
        self._submitting = chain.submitting
        self._rows = chain.submitting.rows
        self._recovering = recovering

    def outside(self, act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """A duty that rests in quarantine."""

        async def resting() -> None:
            if self._gate.closed is None:
                await act()

        return resting

    async def act(self) -> None:
        """One look: dates new quarantines, and ends them once every ledger that could matter was read."""
        opened = await self._quarantines.open()
        if opened:
            opened = await self._dated(opened)
        last = self._watch.last
        until = max((one.until_ledger or 0 for one in opened), default=0)
        if opened and last is not None and last.sequence >= until:
            await self._end(opened, last.sequence)
            opened = []
        self._gate.closed = _reason(opened)

    async def _dated(self, opened: Sequence[Quarantine]) -> Sequence[Quarantine]:
        new = [one for one in opened if one.until_ledger is None]
        if not new:
            return opened
        self._gate.closed = _reason(opened)
        view = self._watch.view
        ledger = view.ledger.sequence
        until = ledger + QUARANTINE_LEDGERS
        for one in new:
            await self._quarantines.date(one, ledger=ledger, until_ledger=until, block_index=view.farm.index)
            _log.error("quarantine began: nothing is signed", reason=one.reason, ledger=ledger, until_ledger=until)
        return await self._quarantines.open()

    async def _end(self, opened: Sequence[Quarantine], ledger: int) -> None:
        view = self._watch.view
        known = [one.known_ledger for one in opened if one.known_ledger is not None]
        if known:
            await self._adopt_plants(min(known))
        await self._recovering.sweep_all()
        await self._quarantines.end(opened, ledger=ledger, block_index=view.farm.index)
        _log.warning("quarantine ended", ledger=ledger)

    async def _adopt_plants(self, after: int) -> None:
        """Takes plants into the rows that transactions carried out which no attempt knows.

        Their harvests follow by themselves: a pail that is gone is looked for in the same ledgers.
        """
        addresses = await self._farmers.addresses()
        # Later ones are about to be followed, with the payments they were staked from.
        settled = self._submitting.closed
        found = [one for one in await self._reader.plants(addresses, after) if one.ledger <= settled]
        pending = {
            (one.plant.address, one.plant.block_index): one.plant.plant_id for one in await self._plants.unsent()
        }
        confirmed = [
            PlantConfirmed(pending[one.key], one.ledger, one.transaction_hash) for one in found if one.key in pending
        ]
        await self._attempts.apply(confirmed)
        adopted = await self._plants.adopt([_plant(one, addresses[one.address]) for one in found], {})
        _log.warning("ledger read again", after=after, plants=len(found), confirmed=len(confirmed), adopted=adopted)
        self._rows.beat()


def _reason(opened: Sequence[Quarantine]) -> str | None:
    if not opened:
        return None
    untils = [one.until_ledger for one in opened]
    dated = [until for until in untils if until is not None]
    until = f"ledger {max(dated)} has closed" if len(dated) == len(untils) else "the ledger has been read"
    return f"quarantine: nothing is signed until {until}: {opened[-1].reason}"


def _plant(found: FoundPlant, farmer_id: UUID) -> Plant:
    return Plant(
        plant_id=uuid4(),
        farmer_id=farmer_id,
        address=found.address,
        block_index=found.block_index,
        pooler_id=ADOPTED_POOLER,
        stake_stroops=found.stake_stroops,
        state=PlantState.CONFIRMED,
        ledger=found.ledger,
        transaction_hash=found.transaction_hash,
    )
