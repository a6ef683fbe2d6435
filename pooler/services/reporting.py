"""Reporting to the backend: detected blocks, and every farmer's result until it is acknowledged."""

import asyncio

import structlog

from pooler.domain.report import Report
from pooler.errors import BackendError, BackendRefusedError, BackendUnavailableError
from pooler.ports import Backend, Journal
from pooler.services.retrying import Backoff

log = structlog.get_logger(__name__)

BATCH = 200


class Reporting:
    """Delivers reports; they are on disk until the backend has acknowledged them."""

    def __init__(self, backend: Backend, journal: Journal) -> None:
        self._backend = backend
        self._journal = journal
        self._wake = asyncio.Event()
        self.unacknowledged = 0

    async def report(self, reports: list[Report]) -> None:
        """Writes reports down; they go out at once. A report written before stays as it is."""
        await self._journal.report(reports)
        self._wake.set()

    async def run(self) -> None:
        """Delivers for ever."""
        backoff = Backoff()
        while True:
            self._wake.clear()
            pending = await self._pending()
            if not pending:
                await self._wake.wait()
                continue
            try:
                await self._deliver(pending, backoff)
            except BackendError as error:
                await backoff.pause(error)

    async def _pending(self) -> list[Report]:
        pending = await self._journal.unacknowledged(BATCH)
        self.unacknowledged = len(pending) if len(pending) < BATCH else await self._journal.unacknowledged_count()
        return pending

    async def _deliver(self, reports: list[Report], backoff: Backoff) -> None:
        known = {report.report_id: report for report in reports}
        async for answer in self._backend.report_work(reports):
            backoff.reset()
            report = known.pop(answer.report_id, None)
            if report is None:
                continue
            await self._journal.acknowledged([answer.report_id])
            self.unacknowledged -= 1
            if answer.refused is not None:
                log.error(
                    "report refused",
                    block_index=report.block_index,
                    farmer_id=report.farmer_id,
                    reason=answer.refused,
                )
        if known:
            raise BackendUnavailableError(f"{len(known)} reports were not acknowledged")

    async def block(self, block_index: int, *, opened_at: int, ledger: int) -> None:
        """Tells of a detected block until the backend has taken or refused it."""
        backoff = Backoff()
        while True:
            try:
                await self._backend.report_block(block_index, opened_at=opened_at, ledger=ledger)
            except BackendUnavailableError as error:
                await backoff.pause(error)
            except BackendRefusedError as error:
                log.warning("block report refused", block_index=block_index, reason=error.reason)
                return
            else:
                return
