"""The lease and quarantines in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backend.domain.audit import ChainHead
from backend.domain.lease import Head, Lease, Quarantine, restored
from backend.errors import DatabaseUnavailableError, LeaseHeldError, LeaseLostError
from simulator.memory.session import Session
from simulator.memory.tables import EventRow, LeaseRow, QuarantineRow, Tables

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
            links = [link.hash for link in tables.links if recorded and link.number == recorded.chain.number]
            reason = restored(recorded, before.incarnation, found, linked=links[0] if links else None)
            fence = before.fence + 1
            if reason is not None:
                fence = max(before.fence, recorded.fence if recorded else 0) + 1 + _SKIPPED_FENCES
            epoch = before.epoch + 1 if reason or not before.fence else before.epoch
            tables.lease = LeaseRow(fence, epoch, holder, tables.incarnation)
            tables.holder = self._session
            if reason is not None:
                _begin(tables, reason)
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


class MemoryQuarantineStore:
    """See backend.ports.lease.QuarantineStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def open(self) -> list[Quarantine]:
        """Those that have not ended, oldest first."""
        async with self._session.transaction() as tables:
            return [row.quarantine for row in tables.quarantines.having("open")]

    async def begin(self, reason: str) -> None:
        """Begins one."""
        async with self._session.transaction() as tables:
            _begin(tables, reason)

    async def date(self, quarantine: Quarantine, *, ledger: int, until_ledger: int, block_index: int) -> None:
        """Stores in which ledger one began and until which it lasts, once, and records quarantine_began."""
        async with self._session.transaction() as tables:
            row = tables.quarantines.get(quarantine.quarantine_id)
            if row is None or row.quarantine.until_ledger is not None or row.ended_ledger is not None:
                return
            dated = replace(row.quarantine, began_ledger=ledger, until_ledger=until_ledger)
            tables.quarantines.put(quarantine.quarantine_id, QuarantineRow(dated))
            _record(tables, "quarantine_began", block_index, dated)

    async def end(self, quarantines: Sequence[Quarantine], *, ledger: int, block_index: int) -> None:
        """Ends dated ones as of a ledger that was read, and records quarantine_ended."""
        async with self._session.transaction() as tables:
            for quarantine in quarantines:
                row = tables.quarantines.get(quarantine.quarantine_id)
                if row is not None and row.ended_ledger is None:
                    tables.quarantines.put(quarantine.quarantine_id, QuarantineRow(row.quarantine, ledger))
                    _record(tables, "quarantine_ended", block_index, row.quarantine)


def _head(tables: Tables) -> Head:
    chain = ChainHead(tables.links[-1].number, tables.links[-1].hash) if tables.links else ChainHead(0)
    return Head(tables.incarnation, tables.position, len(tables.events), tables.lease.fence, chain)


def _begin(tables: Tables, reason: str) -> None:
    ledgers = [max(row.attempt.created_ledger, row.result_ledger or 0) for row in tables.attempts]
    number = tables.next_number()
    row = QuarantineRow(Quarantine(number, reason, max(ledgers, default=None), None, None))
    tables.quarantines.put(number, row)


def _record(tables: Tables, kind: str, block_index: int, quarantine: Quarantine) -> None:
    data = {"quarantine_id": quarantine.quarantine_id, "reason": quarantine.reason}
    tables.events.append(EventRow(block_index, kind, None, None, data))
