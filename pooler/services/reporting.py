"""Reporting to the backend: detected blocks, and every farmer's result until it is acknowledged."""

import asyncio

import stamina
import structlog

from pooler.domain.report import Report
from pooler.errors import BackendError, BackendRefusedError, BackendUnavailableError
from pooler.ports import Backend, Journal

log = structlog.get_logger(__name__)

BATCH = 200
LONGEST_PAUSE_SECONDS = 2.0


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
        while True:
            self._wake.clear()
            pending = await self._pending()
            if not pending:
                await self._wake.wait()
                continue
            async for attempt in stamina.retry_context(
                on=BackendError, attempts=None, timeout=None, wait_max=LONGEST_PAUSE_SECONDS
            ):
                with attempt:
                    await self._deliver(await self._pending())

    async def _pending(self) -> list[Report]:
        pending = await self._journal.unacknowledged(BATCH)
        self.unacknowledged = len(pending) if len(pending) < BATCH else await self._journal.unacknowledged_count()
        return pending

    async def _deliver(self, reports: list[Report]) -> None:
        known = {report.report_id: report for report in reports}
        async for answer in self._backend.report_work(reports):
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
        try:
            async for attempt in stamina.retry_context(
                on=BackendUnavailableError, attempts=None, timeout=None, wait_max=LONGEST_PAUSE_SECONDS
            ):
                with attempt:
                    await self._backend.report_block(block_index, opened_at=opened_at, ledger=ledger)
        except BackendRefusedError as error:
            log.warning("block report refused", block_index=block_index, reason=error.reason)
