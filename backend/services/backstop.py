"""The backstop: a pail that nobody has worked late in its block gets one valid hash from the backend itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import structlog

from backend.domain.attempt import AttemptKind
from backend.domain.harvest import never_worked
from backend.domain.work import backstop_due
from backend.ports.stores import BackstopWork, Stores, UnworkedPlant
from backend.services.access import ChainAccess
from backend.services.channels import Channel, Channels
from backend.services.submitting import LEDGER_WINDOW, attempt_of
from kale_chain.hashing import count_zeros, work_hash

_log = structlog.get_logger()

_NONCE = 0
"""Any nonce will do: the first work of a pail needs no minimum of zeros."""


class Backstop:
    """Works pails that poolers have left unworked; the pails on the ledger decide, not the reports."""

    def __init__(self, stores: Stores, chain: ChainAccess, channels: Channels) -> None:
        self._works = stores.works
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._budget = chain.budget
        self._watch = chain.watch
        self._channels = channels

    async def act(self) -> None:
        """Looks at the current block and works what is due."""
        view = self._watch.view
        index, block = view.farm.index, view.open_block
        age = view.ledger.close_time - view.farm.block.timestamp
        if block is None:
            return
        plants = await self._works.unworked(index)
        if not backstop_due(
            age_seconds=age,
            unworked=len(plants),
            channels=self._channels.count,
            ledger_seconds=self._watch.ledger_seconds,
        ):
            return
        unworked = await self._still_unworked(plants)
        if not unworked:
            return
        ids = await self._works.backstop_ids(index)
        allowance = await self._budget.allowance(view.ledger.sequence)
        async with self._channels.lend(len(unworked)) as channels:
            built = [
                self._work(plant, channel, ids, block.entropy, view.ledger.sequence)
                for plant, channel in zip(unworked, channels, strict=False)
            ]
            works = [work for work in built if allowance.grants_rescue(work.attempt.max_fee)]
            if len(works) < len(built):
                _log.error("a fee cap keeps pails from being worked", waiting=len(built) - len(works))
            if not works:
                return
            _log.warning("backstop", block_index=index, unworked=len(unworked), working=len(works))
            async with self._submitting.storing():
                await self._works.begin(works)
            await self._submitting.submit([work.attempt for work in works])

    async def _still_unworked(self, plants: Sequence[UnworkedPlant]) -> list[UnworkedPlant]:
        """Those whose pail is on the ledger without work."""
        _, pails = await self._reader.pails([(plant.address, plant.block_index) for plant in plants])
        entries = [(plant, pails.get((plant.address, plant.block_index))) for plant in plants]
        return [plant for plant, entry in entries if entry is not None and never_worked(entry.pail)]

    def _work(
        self, plant: UnworkedPlant, channel: Channel, ids: Mapping[UUID, UUID], entropy: bytes, last_ledger: int
    ) -> BackstopWork:
        digest = work_hash(plant.block_index, _NONCE, entropy, plant.address)
        work_id = ids.get(plant.farmer_id) or uuid4()
        signed = self._factory.work(
            channel.address,
            farmer=plant.address,
            block_index=plant.block_index,
            digest=digest,
            nonce=_NONCE,
            sequence=channel.sequence,
            max_ledger=last_ledger + LEDGER_WINDOW,
            shortfalls=self._submitting.failures(work_id),
        )
        return BackstopWork(
            work_id=work_id,
            farmer_id=plant.farmer_id,
            block_index=plant.block_index,
            work_hash=digest,
            nonce=_NONCE,
            zeros=count_zeros(digest),
            attempt=attempt_of(signed, AttemptKind.WORK, work_id, created_ledger=last_ledger),
        )
