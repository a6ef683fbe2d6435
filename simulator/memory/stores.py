"""All stores over tables in memory."""

from __future__ import annotations

from simulator.memory.attempts import MemoryAttemptStore
from simulator.memory.events import MemoryEventStore
from simulator.memory.farmers import MemoryFarmerStore
from simulator.memory.harvests import MemoryHarvestStore
from simulator.memory.lease import MemoryLeaseStore, MemoryQuarantineStore
from simulator.memory.plants import MemoryPlantStore
from simulator.memory.session import Hook, Session, nothing
from simulator.memory.tables import Tables
from simulator.memory.works import MemoryWorkStore


class MemoryStores:
    """See backend.ports.stores.Stores.

    Args:
        tables: The database; several stores may share it.
        before: Awaited before every transaction; what it raises, the transaction does not happen.
        after: Awaited after every commit; what it raises, the caller does not learn that it happened.
    """

    def __init__(self, tables: Tables, *, before: Hook = nothing, after: Hook = nothing) -> None:
        self._session = Session(tables, before=before, after=after)
        self.farmers = MemoryFarmerStore(self._session)
        self.plants = MemoryPlantStore(self._session)
        self.works = MemoryWorkStore(self._session)
        self.harvests = MemoryHarvestStore(self._session)
        self.attempts = MemoryAttemptStore(self._session)
        self.events = MemoryEventStore(self._session)
        self.lease = MemoryLeaseStore(self._session)
        self.quarantines = MemoryQuarantineStore(self._session)

    async def ping(self) -> None:
        """Fails as a transaction would."""
        await self._session.before()

    async def close(self) -> None:
        """Lets the lease go."""
        await self.lease.release()
