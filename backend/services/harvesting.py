"""Harvesting: at every new block and every so often, pails that are due are harvested, shortest life first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from backend.domain.attempt import Attempt, AttemptKind
from backend.domain.harvest import OpenPail, due, lendable, loss, taken
from backend.domain.plant import FarmView
from backend.domain.settlement import Effect, HarvestClosed, HarvestConfirmed
from backend.ports.chain import PailKey
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.channels import Channel, Channels
from backend.services.submitting import LEDGER_WINDOW, attempt_of
from kale_chain.model import PailEntry

_log = structlog.get_logger()


class Harvesting:
    """Harvests what is due. The pails on the ledger are read first: no fee is spent on what cannot be harvested."""

    def __init__(self, stores: Stores, chain: ChainAccess, channels: Channels) -> None:
        self._harvests = stores.harvests
        self._attempts = stores.attempts
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._watch = chain.watch
        self._channels = channels

    async def act(self) -> None:
        """One round: learns how long pails live, closes what is lost or taken, harvests what is due."""
        view = self._watch.view
        pails = await self._harvests.open_pails()
        closed = view.ledger.sequence
        ripe = [
            pail
            for pail in due(pails, farm_index=view.farm.index, closed_ledger=closed)
            if self._submitting.held_until(pail.harvest_id) <= closed
        ]
        unread = [pail for pail in pails if pail.live_until is None]
        wanted = {pail.harvest_id: pail for pail in (*ripe, *unread)}
        if not wanted:
            return
        ledger, entries = await self._reader.pails([_key(pail) for pail in wanted.values()])
        if ledger < view.farm.ledger:
            return  # an answer older than the farm's could show a pail as it was before its work
        await self._learn_lives(unread, entries)
        open_ones = await self._close_dead(ripe, entries, view, ledger)
        await self._harvest(open_ones, view)

    async def _learn_lives(self, unread: Sequence[OpenPail], entries: Mapping[PailKey, PailEntry]) -> None:
        lives = {pail.harvest_id: entries[_key(pail)].live_until for pail in unread if _key(pail) in entries}
        if lives:
            await self._harvests.set_lives(lives)

    async def _close_dead(
        self, ripe: Sequence[OpenPail], entries: Mapping[PailKey, PailEntry], view: FarmView, ledger: int
    ) -> list[OpenPail]:
        """Closes the pails that are lost or were harvested by someone else; the others are returned."""
        ended: list[Effect] = []
        missing: list[OpenPail] = []
        harvestable: list[OpenPail] = []
        for pail in ripe:
            entry = entries.get(_key(pail))
            lost = loss(pail, entry, farm_index=view.farm.index, ledger=ledger)
            if lost is not None:
                ended.append(HarvestClosed(pail.harvest_id, lost=True, failure=lost))
                _log.error("stake lost", block_index=pail.block_index, address=pail.address, reason=lost.message)
            else:
                (missing if entry is None else harvestable).append(pail)
        ended += await self._harvested_by_others(missing)
        if ended:
            await self._attempts.apply(ended)
            self._submitting.rows.beat()
        return harvestable

    async def _harvested_by_others(self, pails: Sequence[OpenPail]) -> list[Effect]:
        """Books what someone else's harvest paid our farmers."""
        if not pails:
            return []
        found = await self._reader.harvests({_key(pail): pail.planted_ledger for pail in pails})
        ended: list[Effect] = []
        for pail in pails:
            result = found.get(_key(pail))
            _log.warning("harvested by someone else", block_index=pail.block_index, address=pail.address)
            if result is None or result.return_value is None:
                ended.append(HarvestClosed(pail.harvest_id, lost=False, failure=taken()))
            else:
                reward, paid_by = result.return_value, result.hash.hex()
                ended.append(HarvestConfirmed(pail.harvest_id, reward, result.ledger, paid_by))
        return ended

    async def _harvest(self, pails: Sequence[OpenPail], view: FarmView) -> None:
        if not pails:
            return
        age = view.ledger.close_time - view.farm.block.timestamp
        wanted = min(len(pails), lendable(self._channels.count, block_age_seconds=age))
        async with self._channels.lend(wanted) as channels:
            attempts = [
                self._attempt(pail, channel, view.ledger.sequence)
                for pail, channel in zip(pails, channels, strict=False)
            ]
            if not attempts:
                return
            _log.info("harvesting", due=len(pails), sending=len(attempts), block_index=view.farm.index)
            async with self._submitting.storing():
                await self._harvests.begin(attempts)
            await self._submitting.submit(attempts)

    def _attempt(self, pail: OpenPail, channel: Channel, last_ledger: int) -> Attempt:
        signed = self._factory.harvest(
            channel.address,
            farmer=pail.address,
            block_index=pail.block_index,
            sequence=channel.sequence,
            max_ledger=last_ledger + LEDGER_WINDOW,
            shortfalls=self._submitting.failures(pail.harvest_id),
        )
        return attempt_of(signed, AttemptKind.HARVEST, pail.harvest_id, created_ledger=last_ledger)


def _key(pail: OpenPail) -> PailKey:
    return pail.address, pail.block_index
