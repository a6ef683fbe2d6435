"""The database of a simulated world: it outlives the backends over it, can be backed up, lost and restored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from backend.domain.money import Violation
from backend.ports.stores import Stores
from simulator.memory import MemoryStores, Tables
from simulator.memory.session import Hook


class SimulatedDatabase(Protocol):
    """What a world needs of its database."""

    @property
    def tables(self) -> Tables:
        """Its rows as they are now, for the checks."""

    def open(self, *, before: Hook, after: Hook) -> Stores:
        """Stores of one more backend.

        Args:
            before: Awaited before every transaction; what it raises, the transaction does not happen.
            after: Awaited after every commit; what it raises, its caller does not learn that it happened.
        """

    def disconnect(self, stores: Stores) -> None:
        """Breaks a backend's connections; its lease's lock is free."""

    def free_lock(self) -> None:
        """Breaks the connection that holds the lease's lock, unnoticed by the backend that has it."""

    async def check_books(self) -> Sequence[Violation]:
        """What `ledger_check()` finds."""

    def back_up(self) -> int:
        """Takes a backup in place of the last; the lease's fence in it."""

    def restore(self) -> None:
        """Loses everything since the last backup."""

    def close(self) -> None:
        """Ends it."""


class MemoryDatabase:
    """Tables in memory; see SimulatedDatabase."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._backup = self._tables

    @property
    def tables(self) -> Tables:
        """The tables themselves."""
        return self._tables

    def open(self, *, before: Hook, after: Hook) -> Stores:
        """Stores over them."""
        return MemoryStores(self._tables, before=before, after=after)

    def disconnect(self, stores: Stores) -> None:
        """Takes back the lock, if it is held through these stores."""
        assert isinstance(stores, MemoryStores)
        stores.session.tables.disconnect(stores.session)

    def free_lock(self) -> None:
        """Takes it from whoever has it."""
        self._tables.holder = None

    async def check_books(self) -> Sequence[Violation]:
        """Looks at everything."""
        return (await MemoryStores(self._tables).money.check())[1]

    def back_up(self) -> int:
        """Copies the tables."""
        self._backup = self._tables.snapshot()
        return self._backup.lease.fence

    def restore(self) -> None:
        """Puts the copy in their place, as another incarnation."""
        self._tables = self._backup.restored()

    def close(self) -> None:
        """Nothing to end."""
