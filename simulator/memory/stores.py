"""All stores over tables in memory."""

from __future__ import annotations

from backend.ports.lease import LeaseStore, QuarantineStore
from backend.ports.money import MoneyStore
from backend.ports.poolers import PoolerStore
from backend.ports.stores import AttemptStore, EventStore, FarmerStore, HarvestStore, PlantStore, WorkStore
from backend.ports.trust import TrustStore
from backend.ports.withdrawals import WithdrawalStore
from simulator.memory.attempts import MemoryAttemptStore
from simulator.memory.events import MemoryEventStore
from simulator.memory.farmers import MemoryFarmerStore
from simulator.memory.harvests import MemoryHarvestStore
from simulator.memory.lease import MemoryLeaseStore, MemoryQuarantineStore
from simulator.memory.money import MemoryMoneyStore
from simulator.memory.plants import MemoryPlantStore
from simulator.memory.poolers import MemoryPoolerStore
from simulator.memory.session import Hook, Session, nothing
from simulator.memory.tables import Tables
from simulator.memory.trust import MemoryTrustStore
from simulator.memory.withdrawals import MemoryWithdrawalStore
from simulator.memory.works import MemoryWorkStore


class MemoryStores:
    """See backend.ports.stores.Stores.

    Args:
        tables: The database; several stores may share it.
        before: Awaited before every transaction; what it raises, the transaction does not happen.
        after: Awaited after every commit; what it raises, the caller does not learn that it happened.
    """

    def __init__(self, tables: Tables, *, before: Hook = nothing, after: Hook = nothing) -> None:
        self.session = Session(tables, before=before, after=after)
        self.farmers: FarmerStore = MemoryFarmerStore(self.session)
        self.plants: PlantStore = MemoryPlantStore(self.session)
        self.works: WorkStore = MemoryWorkStore(self.session)
        self.harvests: HarvestStore = MemoryHarvestStore(self.session)
        self.attempts: AttemptStore = MemoryAttemptStore(self.session)
        self.events: EventStore = MemoryEventStore(self.session)
        self.money: MoneyStore = MemoryMoneyStore(self.session)
        self.lease: LeaseStore = MemoryLeaseStore(self.session)
        self.withdrawals: WithdrawalStore = MemoryWithdrawalStore(self.session)
        self.quarantines: QuarantineStore = MemoryQuarantineStore(self.session)
        self.poolers: PoolerStore = MemoryPoolerStore(self.session)
        self.trust: TrustStore = MemoryTrustStore(self.session)

    async def ping(self) -> None:
        """Fails as a transaction would."""
        await self.session.before()

    async def close(self) -> None:
        """Lets the lease go."""
        await self.lease.release()
