"""Holding the lease: the backend looks often whether it is still the one that may sign, and ends if it is not."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from backend.domain.lease import Lease
from backend.errors import BackendError, HeadFileError, UnavailableError
from backend.ports.lease import HeadRecord, LeaseStore

_log = structlog.get_logger()

RENEW_SECONDS = 5.0
"""Between two looks; the server gives a session up after 30 s without one."""


class Leasing:
    """Takes the lease, holds it, and records outside the database how far the database has come.

    Args:
        lease: The database's lease.
        record: Where the head is recorded outside the database.
    """

    def __init__(self, lease: LeaseStore, record: HeadRecord) -> None:
        self._lease = lease
        self._record = record

    async def start(self, holder: str) -> Lease:
        """Takes the lease for `holder` (host and process, for people) and records the head.

        Raises:
            LeaseHeldError: another backend lives.
            HeadFileError: the record cannot be read or written.
        """
        lease = await self._lease.take(holder, await self._record.read())
        _log.info("lease taken", fence=lease.fence, epoch=lease.epoch)
        if lease.restored is not None:
            _log.error("the database was restored to an older point: quarantine", reason=lease.restored)
        await self._record.write(await self._lease.head())
        return lease

    async def hold(self, *, every: float = RENEW_SECONDS) -> None:
        """Renews the lease and records the head, for ever.

        Where the database cannot be asked nothing can be stored in it either, so waiting is safe.

        Raises:
            LeaseLostError: a newer backend has the lease.
        """
        while True:
            await asyncio.sleep(every)
            try:
                await self._lease.renew()
                await self._record.write(await self._lease.head())
            except (UnavailableError, HeadFileError) as error:
                _log.warning("the lease is looked at again later", reason=error.reason, error=str(error))

    async def stop(self) -> None:
        """Records the head for the last time and lets the lease go."""
        with contextlib.suppress(BackendError):
            await self._lease.renew()
            await self._record.write(await self._lease.head())
        await self._lease.release()
