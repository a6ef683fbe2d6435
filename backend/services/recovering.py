"""Recovering: what the ledger holds of our farmers and no row knows is taken into the rows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import structlog

from backend.domain.attempt import AttemptKind
from backend.domain.plant import Plant, PlantState
from backend.ports.chain import PailKey
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.submitting import Ended
from kale_chain.model import PailEntry

_log = structlog.get_logger()

SWEPT_BLOCKS = 288
"""Blocks a sweep at start looks back: a day of them."""
ADOPTED_POOLER = "recovered"
"""The pooler_id under which adopted plants are stored."""
_PAILS_IN_ONE_GO = 2_000
_BALANCES_EVERY_LEDGERS = 6
_MOVE_BALANCES = frozenset({AttemptKind.PLANT, AttemptKind.HARVEST, AttemptKind.ONBOARDING})


class Recovering:
    """Compares pails on the ledger with the rows, and keeps balances as the ledger has them."""

    def __init__(self, stores: Stores, chain: ChainAccess) -> None:
        self._farmers = stores.farmers
        self._plants = stores.plants
        self._harvests = stores.harvests
        self._reader = chain.reader
        self._watch = chain.watch
        self._rows = chain.submitting.rows
        self._swept_to: int | None = None
        self._balances_due = 0

    async def act(self) -> None:
        """Adopts pails unknown to the rows, and refreshes balances that may have moved.

        Pails are compared once at start, over the last 288 blocks, and then of every block that has closed.
        """
        view = self._watch.view
        index = view.farm.index
        if self._swept_to is None:
            await self.sweep_all()
        elif self._swept_to < index:
            await self.sweep(range(self._swept_to, index))
        self._swept_to = index
        if view.ledger.sequence >= self._balances_due:
            await self.refresh_balances()
            self._balances_due = view.ledger.sequence + _BALANCES_EVERY_LEDGERS

    def note(self, ended: Sequence[Ended]) -> None:
        """Has the balances read again after transactions that move them."""
        if any(end.attempt.kind in _MOVE_BALANCES for end in ended):
            self._balances_due = 0

    async def sweep_all(self) -> int:
        """Adopts our farmers' pails of the last 288 blocks of which no row knows; how many they were."""
        index = self._watch.view.farm.index
        return await self.sweep(range(max(0, index - SWEPT_BLOCKS + 1), index + 1))

    async def sweep(self, blocks: range) -> int:
        """Adopts our farmers' pails in these blocks of which no row knows; how many they were."""
        addresses = await self._farmers.addresses()
        known = {(pail.address, pail.block_index) for pail in await self._harvests.open_pails()}
        keys = [(address, index) for index in blocks for address in addresses if (address, index) not in known]
        adopted = 0
        for start in range(0, len(keys), _PAILS_IN_ONE_GO):
            _, entries = await self._reader.pails(keys[start : start + _PAILS_IN_ONE_GO])
            plants = [_found(addresses[key[0]], key, entry) for key, entry in entries.items()]
            if plants:
                adopted += await self._plants.adopt(plants, {key: entry.live_until for key, entry in entries.items()})
        if adopted:
            _log.warning("pails adopted from the ledger", pails=adopted, first_block=blocks.start, end=blocks.stop)
            self._rows.beat()
        return adopted

    async def refresh_balances(self) -> None:
        """Stores the farmers' KALE balances as the ledger has them."""
        addresses = list(await self._farmers.addresses())
        if addresses:
            await self._farmers.set_balances(await self._reader.balances(addresses))


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
