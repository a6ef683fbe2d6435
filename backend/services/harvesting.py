"""Harvesting: at every new block and every so often, pails that are due are harvested, shortest life first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from backend.domain.attempt import Attempt, AttemptKind
from backend.domain.failure import Failure
from backend.domain.harvest import OpenPail, due, lendable, loss, taken
from backend.domain.plant import FarmView
from backend.domain.result import TransactionResult
from backend.domain.settlement import Effect, HarvestClosed, HarvestConfirmed
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.channels import Channel, Channels
from backend.services.sighting import Sight, key_of, look
from backend.services.submitting import LEDGER_WINDOW, attempt_of

_log = structlog.get_logger()


class Harvesting:
    """Harvests what is due. The pails on the ledger are read first: no fee is spent on what cannot be harvested."""

    def __init__(self, stores: Stores, chain: ChainAccess, channels: Channels) -> None:
        self._harvests = stores.harvests
        self._attempts = stores.attempts
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._budget = chain.budget
        self._watch = chain.watch
        self._channels = channels

    async def act(self) -> None:
        """One round: learns how long pails live, harvests what is due, closes what is lost or taken."""
        view = self._watch.view
        pails = await self._harvests.open_pails()
        closed = view.ledger.sequence
        ripe = [
            pail
            for pail in due(pails, farm_index=view.farm.index, closed_ledger=closed)
            if self._submitting.held_until(pail.harvest_id) <= closed
        ]
        unread = [pail for pail in pails if pail.live_until is None]
        sight = await look(self._reader, list({pail.harvest_id: pail for pail in (*ripe, *unread)}.values()), view)
        if sight is None:
            return
        await self._learn_lives(unread, sight)
        losses = {pail.harvest_id: _loss(pail, sight, view) for pail in ripe}
        harvestable = [p for p in ripe if sight.pail(p) is not None and losses[p.harvest_id] is None]
        await self._harvest(harvestable, view)
        await self._close([pail for pail in ripe if pail not in harvestable], losses, sight)

    async def _learn_lives(self, unread: Sequence[OpenPail], sight: Sight) -> None:
        lives = {pail.harvest_id: entry.live_until for pail in unread if (entry := sight.pail(pail)) is not None}
        if lives:
            await self._harvests.set_lives(lives)

    async def _close(self, pails: Sequence[OpenPail], losses: Mapping[UUID, Failure | None], sight: Sight) -> None:
        """Closes pails that were harvested by someone else, lost, or emptied in a way that cannot be found."""
        last = self._watch.last
        if not pails or last is None or sight.ledger > last.sequence:
            return  # what emptied a pail is about to be read and booked
        missing = {key_of(pail): pail.planted_ledger for pail in pails if sight.pail(pail) is None}
        found = await self._reader.harvests(missing) if missing else {}
        effects = [_ending(pail, found.get(key_of(pail)), losses[pail.harvest_id]) for pail in pails]
        await self._attempts.apply(effects)
        self._submitting.rows.beat()

    async def _harvest(self, pails: Sequence[OpenPail], view: FarmView) -> None:
        if not pails:
            return
        age = view.ledger.close_time - view.farm.block.timestamp
        lent = lendable(
            self._channels.count,
            block_age_seconds=age,
            backstop_age_seconds=self._channels.backstop_age_seconds,
        )
        allowance = await self._budget.allowance(view.ledger.sequence)
        async with self._channels.lend(min(len(pails), lent)) as channels:
            # Reading pails and lending channels may have taken ledgers: what is signed counts from the last one.
            last_ledger = self._watch.view.ledger.sequence
            built = [self._attempt(pail, channel, last_ledger) for pail, channel in zip(pails, channels, strict=False)]
            attempts = [attempt for attempt in built if allowance.grants_rescue(attempt.max_fee)]
            if len(attempts) < len(built):
                _log.error("a fee cap keeps pails from being harvested", waiting=len(built) - len(attempts))
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


def _loss(pail: OpenPail, sight: Sight, view: FarmView) -> Failure | None:
    block_lives = sight.block(pail) is not None
    return loss(pail, sight.pail(pail), farm_index=view.farm.index, ledger=sight.ledger, block_lives=block_lives)


def _ending(pail: OpenPail, harvested: TransactionResult | None, lost: Failure | None) -> Effect:
    """How a pail ended that cannot be harvested any more; someone else's harvest has paid the farmer all the same."""
    where = {"block_index": pail.block_index, "address": pail.address, "stake_stroops": pail.stake_stroops}
    if harvested is not None and harvested.return_value is not None:
        _log.warning("harvested by someone else", **where)
        paid_by = harvested.hash.hex()
        return HarvestConfirmed(pail.harvest_id, harvested.return_value, harvested.ledger, paid_by)
    if lost is not None:
        _log.error("stake lost", reason=lost.message, **where)
        return HarvestClosed(pail.harvest_id, lost=True, failure=lost)
    _log.warning("emptied by someone else", **where)
    return HarvestClosed(pail.harvest_id, lost=False, failure=taken())
