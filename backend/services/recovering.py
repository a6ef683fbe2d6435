"""Recovering: what the ledger holds of our farmers and no row knows is taken into the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import structlog

from backend.domain.harvest import KnownHarvest
from backend.domain.plant import ADOPTED_POOLER, Plant, PlantState
from backend.domain.settlement import HarvestReopened
from backend.ports.chain import PailKey
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from kale_chain.model import PailEntry

_log = structlog.get_logger()

SWEEP_SECONDS = 3600
"""Ledger time from one sweep of everything that lives to the next."""
_BLOCKS_IN_ONE_GO = 200
_PAILS_IN_ONE_GO = 2_000


class Recovering:
    """Compares pails on the ledger with the rows."""

    def __init__(self, stores: Stores, chain: ChainAccess) -> None:
        self._farmers = stores.farmers
        self._plants = stores.plants
        self._harvests = stores.harvests
        self._attempts = stores.attempts
        self._reader = chain.reader
        self._watch = chain.watch
        self._submitting = chain.submitting
        self._rows = chain.submitting.rows
        self._swept_to: int | None = None
        self._swept_at = 0

    async def act(self) -> None:
        """Adopts pails that no row knows.

        They are compared at start and then hourly in every block that lives, and in each block once it has closed.
        Not before every closed ledger was settled: what those to come hold is booked from them.
        """
        view = self._watch.view
        if self._submitting.closed < view.ledger.sequence:
            return
        index = view.farm.index
        if self._swept_to is None or view.ledger.close_time - self._swept_at >= SWEEP_SECONDS:
            await self.sweep_all()
            self._swept_at = view.ledger.close_time
        elif self._swept_to < index:
            await self.sweep(range(self._swept_to, index))
        self._swept_to = index

    async def sweep_all(self) -> int:
        """Adopts or reopens our farmers' pails in every block that lives; how many they were."""
        return await self.sweep(await self._living_blocks())

    async def sweep(self, blocks: Sequence[int]) -> int:
        """Adopts our farmers' pails in these blocks of which no row knows; how many they were.

        A pail that lives and is worked although its harvest was closed (because of a wrong answer, say) is counted too:
        its harvest is pending again.
        """
        addresses = await self._farmers.addresses()
        known = await self._harvests.known(blocks)
        held = {key for key, harvest in known.items() if not harvest.closed}
        keys = [(address, index) for index in blocks for address in addresses if (address, index) not in held]
        taken_in = 0
        for start in range(0, len(keys), _PAILS_IN_ONE_GO):
            ledger, entries = await self._reader.pails(keys[start : start + _PAILS_IN_ONE_GO])
            if ledger >= self._watch.view.farm.ledger:
                taken_in += await self._adopt(addresses, {key: one for key, one in entries.items() if key not in known})
                taken_in += await self._reopen({known[key]: one for key, one in entries.items() if key in known})
        if taken_in:
            self._rows.beat()
        return taken_in

    async def _living_blocks(self) -> list[int]:
        """The blocks that the ledger holds, looking back until there are 200 in a row that it does not."""
        living: set[int] = set()
        stop = self._watch.view.farm.index + 1
        while stop > 0:
            start = max(0, stop - _BLOCKS_IN_ONE_GO)
            _, found = await self._reader.blocks(range(start, stop))
            if not found:
                break
            living |= set(found)
            stop = start
        return sorted(living)

    async def _adopt(self, addresses: Mapping[str, UUID], entries: Mapping[PailKey, PailEntry]) -> int:
        # Adopted ahead of its ledger, a stake would meet the balance of an earlier one, which may not cover it.
        settled = self._submitting.closed
        entries = {key: entry for key, entry in entries.items() if entry.pail.sequence <= settled}
        if not entries:
            return 0
        plants = [_found(addresses[key[0]], key, entry) for key, entry in entries.items()]
        adopted = await self._plants.adopt(plants, {key: entry.live_until for key, entry in entries.items()})
        if adopted:
            _log.warning("pails adopted from the ledger", pails=adopted)
        return adopted

    async def _reopen(self, entries: Mapping[KnownHarvest, PailEntry]) -> int:
        wrong = [harvest for harvest, entry in entries.items() if harvest.closed and entry.pail.worked]
        if wrong:
            _log.error("harvests were closed although their pails live; they are pending again", pails=len(wrong))
            await self._attempts.apply([HarvestReopened(harvest.harvest_id) for harvest in wrong])
        return len(wrong)


def _found(farmer_id: UUID, key: PailKey, entry: PailEntry) -> Plant:
    address, block_index = key
    return Plant(
        plant_id=uuid4(),
        farmer_id=farmer_id,
        address=address,
        block_index=block_index,
        pooler_id=ADOPTED_POOLER,
        stake_stroops=entry.pail.stake,
        state=PlantState.CONFIRMED,
        ledger=entry.pail.sequence,
    )
