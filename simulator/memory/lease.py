"""The lease in memory."""

from __future__ import annotations

from backend.domain.lease import Head, Lease, restored
from backend.errors import DatabaseUnavailableError, LeaseHeldError, LeaseLostError
from simulator.memory.session import Session
from simulator.memory.tables import LeaseRow, Tables

_SKIPPED_FENCES = 1 << 20


class MemoryLeaseStore:
    """See backend.ports.lease.LeaseStore; the lock is held by the session that took it until it is released."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def take(self, holder: str, recorded: Head | None) -> Lease:
        """Takes the next fence; see the port."""
        async with self._session.transaction() as tables:
            if tables.holder not in (None, self._session):
                raise LeaseHeldError(f"another backend works on this database: {tables.lease.holder}; stop it first")
            before, found = tables.lease, _head(tables)
            reason = restored(recorded, before.incarnation, found)
            fence = before.fence + 1
            if reason is not None:
                fence = max(before.fence, recorded.fence if recorded else 0) + 1 + _SKIPPED_FENCES
            epoch = before.epoch + 1 if reason or not before.fence else before.epoch
            tables.lease = LeaseRow(fence, epoch, holder, tables.incarnation)
            tables.holder = self._session
        self._session.fence = fence
        return Lease(fence, epoch, reason)

    async def renew(self) -> None:
        """Looks whether the lease is still ours; see the port."""
        async with self._session.transaction() as tables:
            if tables.lease.fence != self._session.fence:
                raise LeaseLostError(f"the lease was taken by {tables.lease.holder}; this backend ends")
            if tables.holder not in (None, self._session):
                raise DatabaseUnavailableError("another session holds the lease's lock, not yet its fence")
            tables.holder = self._session

    async def head(self) -> Head:
        """How far the database has come."""
        async with self._session.transaction() as tables:
            return _head(tables)

    async def release(self) -> None:
        """Lets another backend start at once."""
        if self._session.tables.holder is self._session:
            self._session.tables.holder = None


def _head(tables: Tables) -> Head:
    return Head(tables.incarnation, tables.position, len(tables.events), tables.lease.fence)
