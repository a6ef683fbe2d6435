"""The backstop: a pail that nobody has worked late in its block gets one valid hash from the backend itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import structlog

from backend.domain.attempt import AttemptKind
from backend.domain.harvest import never_worked
from backend.domain.work import backstop_age
from backend.ports.stores import BackstopWork, Stores, UnworkedPail
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
        pails = await self._works.unworked(index)
        start = backstop_age(
            unworked=len(pails), channels=self._channels.count, ledger_seconds=math.ceil(self._watch.pace.mean)
        )
        self._channels.backstop_age_seconds = start
        if not pails or age < start:
            return
        ids = await self._works.backstop_ids(index)
        unworked = self._failed_ones_last(await self._still_unworked(pails), ids)
        if not unworked:
            return
        allowance = await self._budget.allowance(view.ledger.sequence)
        async with self._channels.lend(len(unworked)) as channels:
            built = [
                self._work(pail, channel, ids, block.entropy, view.ledger.sequence)
                for pail, channel in zip(unworked, channels, strict=False)
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

    async def _still_unworked(self, pails: Sequence[UnworkedPail]) -> list[UnworkedPail]:
        """Those that are on the ledger without work."""
        _, entries = await self._reader.pails([(pail.address, pail.block_index) for pail in pails])
        found = [(pail, entries.get((pail.address, pail.block_index))) for pail in pails]
        return [pail for pail, entry in found if entry is not None and never_worked(entry.pail)]

    def _failed_ones_last(self, pails: Sequence[UnworkedPail], ids: Mapping[UUID, UUID]) -> list[UnworkedPail]:
        """In the same order, but one whose work keeps failing takes no channel account from the others."""

        def failures(pail: UnworkedPail) -> int:
            work_id = ids.get(pail.farmer_id)
            return 0 if work_id is None else self._submitting.failures(work_id)

        return sorted(pails, key=failures)

    def _work(
        self, pail: UnworkedPail, channel: Channel, ids: Mapping[UUID, UUID], entropy: bytes, last_ledger: int
    ) -> BackstopWork:
        digest = work_hash(pail.block_index, _NONCE, entropy, pail.address)
        work_id = ids.get(pail.farmer_id) or uuid4()
        signed = self._factory.work(
            channel.address,
            farmer=pail.address,
            block_index=pail.block_index,
            digest=digest,
            nonce=_NONCE,
            sequence=channel.sequence,
            max_ledger=last_ledger + LEDGER_WINDOW,
            shortfalls=self._submitting.failures(work_id),
        )
        return BackstopWork(
            work_id=work_id,
            farmer_id=pail.farmer_id,
            block_index=pail.block_index,
            work_hash=digest,
            nonce=_NONCE,
            zeros=count_zeros(digest),
            attempt=attempt_of(signed, AttemptKind.WORK, work_id, created_ledger=last_ledger),
        )
