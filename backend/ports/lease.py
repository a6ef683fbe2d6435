"""The lease: of two backends over one database one may store attempts, the other is refused; and its record outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from backend.domain.lease import Head, Lease, Quarantine


class LeaseStore(Protocol):
    """The lease of one database. Attempts are stored with the fence that `take` took."""

    async def take(self, holder: str, recorded: Head | None) -> Lease:
        """Waits a moment for the session of the backend before to end, and takes the next fence.

        A database that `domain.lease.restored` takes for restored begins another epoch and a quarantine, in the same
        database transaction.

        Args:
            holder: This backend, for people: host and process.
            recorded: The head recorded outside the database.

        Raises:
            LeaseHeldError: another backend lives; the text says which, where and since when.
        """

    async def renew(self) -> None:
        """Looks whether the lease is still this backend's; takes a lost session up again if nobody else came.

        Raises:
            LeaseLostError: a newer backend has the lease.
            DatabaseUnavailableError: it cannot be told.
        """

    async def head(self) -> Head:
        """How far the database has come."""

    async def release(self) -> None:
        """Ends the session, so that another backend can start at once; repeating does nothing."""


class QuarantineStore(Protocol):
    """Quarantines. While one is open the database refuses every attempt."""

    async def open(self) -> Sequence[Quarantine]:
        """Those that have not ended, oldest first."""

    async def begin(self, reason: str) -> None:
        """Begins one."""

    async def date(self, quarantine: Quarantine, *, ledger: int, until_ledger: int, block_index: int) -> None:
        """Stores in which ledger one began and until which it lasts, once, and records quarantine_began."""

    async def end(self, quarantines: Sequence[Quarantine], *, ledger: int, block_index: int) -> None:
        """Ends dated ones as of a ledger that was read, and records quarantine_ended."""


class HeadRecord(Protocol):
    """Remembers outside the database how far the database has come."""

    async def read(self) -> Head | None:
        """The head last written; None if none ever was. Raises HeadFileError."""

    async def write(self, head: Head) -> None:
        """Replaces it, durably. Raises HeadFileError."""
