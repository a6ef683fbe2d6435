"""Reports of work: hashed again before they count, stored once, and settled from the pail where the nonce is lost."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import structlog

from backend.domain.failure import Failure, FailureReason
from backend.domain.plant import FarmView
from backend.domain.settlement import WorkSettled
from backend.domain.work import WorkReport, WorkState, fault_of, settle
from backend.errors import BlockNotDueError, BlockPassedError, UnknownFarmerError
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.trusting import Trusting
from kale_chain.model import PailEntry

_log = structlog.get_logger()

_CACHED_BLOCKS = 512
_TOLD_BLOCKS = 1024
"""Blocks that poolers have told of and are remembered, so that repeats cost no transaction."""


class ReportOutcome(StrEnum):
    """What became of a report."""

    STORED = "stored"
    STORED_UNVERIFIED = "stored_unverified"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer to a report; `failure` only if it was refused."""

    report_id: str
    outcome: ReportOutcome
    failure: Failure | None = None


class Working:
    """Takes poolers' reports of work and of detected blocks."""

    def __init__(self, stores: Stores, chain: ChainAccess, trusting: Trusting) -> None:
        self._trusting = trusting
        self._works = stores.works
        self._attempts = stores.attempts
        self._events = stores.events
        self._reader = chain.reader
        self._watch = chain.watch
        self._entropies: dict[int, bytes] = {}
        self._told: OrderedDict[tuple[str, int], None] = OrderedDict()

    async def report(self, report: WorkReport) -> Acknowledgement:
        """Checks and stores a report; a refusal is final, a duplicate changes nothing.

        Raises:
            DatabaseUnavailableError: it was not stored; send it again.
            LedgerUnavailableError: likewise; its block's entropy cannot be read.
        """
        failure = await self._fault(report)
        if failure is not None:
            _log.warning(
                "report refused",
                report_id=report.report_id,
                pooler_id=report.pooler_id,
                block_index=report.block_index,
                farmer_id=str(report.farmer_id),
                reason=failure.reason,
            )
            if failure.reason is FailureReason.HASH_INVALID:
                await self._trusting.wrong(report)
            return Acknowledgement(report.report_id, ReportOutcome.REFUSED, failure)
        if not await self._works.record(report):
            return Acknowledgement(report.report_id, ReportOutcome.DUPLICATE)
        unverified = report.state is WorkState.UNVERIFIED
        return Acknowledgement(
            report.report_id, ReportOutcome.STORED_UNVERIFIED if unverified else ReportOutcome.STORED
        )

    async def report_block(self, pooler_id: str, block_index: int, *, opened_at: int, ledger: int) -> bool:
        """Records a detected block; False if this pooler had reported it before.

        Raises:
            BlockPassedError: the block is over.
            BlockNotDueError: it is later than the next one.
        """
        view = self._watch.view
        if block_index < view.farm.index:
            raise BlockPassedError(block_index, view.farm.index)
        if block_index > view.farm.index + 1:
            raise BlockNotDueError(block_index, view.farm.index, None)
        if (pooler_id, block_index) in self._told:
            return False
        recorded = await self._events.record_block(block_index, pooler_id, opened_at=opened_at, ledger=ledger)
        self._told[pooler_id, block_index] = None
        if len(self._told) > _TOLD_BLOCKS:
            self._told.popitem(last=False)
        return recorded

    async def settle_unverified(self) -> None:
        """Settles unverified reports from the pails."""
        waiting = await self._works.unverified()
        if not waiting:
            return
        view = self._watch.view
        ledger, pails = await self._reader.pails([(one.address, one.block_index) for one in waiting])
        if ledger < view.farm.ledger:
            return
        settled = []
        for one in waiting:
            entry = pails.get((one.address, one.block_index))
            state = settle(one.work_hash, entry.pail if entry else None, block_over=_is_over(view, one.block_index))
            if state is not None:
                settled.append(_settled(one.work_id, state, entry))
        if settled:
            await self._attempts.apply(settled)

    async def _fault(self, report: WorkReport) -> Failure | None:
        try:
            address = await self._works.planted_address(report.block_index, report.farmer_id)
        except UnknownFarmerError as error:
            return Failure(FailureReason.FARMER_UNKNOWN, str(error))
        if address is None:
            message = f"the pool has no pail of farmer {report.farmer_id} in block {report.block_index}"
            return Failure(FailureReason.NOT_PLANTED, message)
        if report.work_hash is None:
            return None
        return fault_of(report, address=address, entropy=await self._entropy(report.block_index))

    async def _entropy(self, block_index: int) -> bytes | None:
        known = self._entropies.get(block_index)
        if known is not None:
            return known
        block = await self._reader.block(block_index)
        if block is None:
            return None
        while len(self._entropies) >= _CACHED_BLOCKS:
            self._entropies.pop(next(iter(self._entropies)))
        self._entropies[block_index] = block.entropy
        return block.entropy


def _settled(work_id: UUID, state: WorkState, entry: PailEntry | None) -> WorkSettled:
    if state is WorkState.SUCCESS and entry is not None:
        return WorkSettled(work_id, state, zeros=entry.pail.zeros, gap=entry.pail.gap)
    failure = Failure(FailureReason.TIMEOUT, "the pail on the ledger holds no such work")
    return WorkSettled(work_id, state, failure=failure)


def _is_over(view: FarmView, block_index: int) -> bool:
    return block_index < view.farm.index
