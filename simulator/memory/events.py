"""The audit trail in memory, and sums over the rows."""

from __future__ import annotations

from backend.domain.attempt import AttemptState
from backend.domain.farmer import FarmerState
from backend.domain.harvest import HarvestState
from backend.domain.plant import PlantState
from backend.domain.work import WorkState
from backend.ports.stores import PoolCounts
from simulator.memory.session import Session
from simulator.memory.tables import EventRow


class MemoryEventStore:
    """See backend.ports.stores.EventStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def record_block(self, block_index: int, pooler_id: str, *, opened_at: int, ledger: int) -> bool:
        """Records that a pooler detected a block; False if it had before."""
        async with self._session.transaction() as tables:
            if tables.detected.get((block_index, pooler_id)) is not None:
                return False
            tables.detected.put((block_index, pooler_id), ledger)
            data = {"opened_at": opened_at, "ledger_sequence": ledger}
            tables.events.append(EventRow(block_index, "detected", None, pooler_id, data))
            return True

    async def counts(self, block_index: int) -> PoolCounts:
        """Sums for the status."""
        async with self._session.transaction() as tables:
            rows = [tables.plants.get(plant_id) for plant_id in tables.of_block.get(block_index) or ()]
            planted = [row.plant for row in rows if row is not None and row.plant.state is PlantState.CONFIRMED]
            good = (WorkState.SUCCESS, WorkState.UNVERIFIED)
            worked = {row.farmer_id for row in tables.works if row.block_index == block_index and row.state in good}
            return PoolCounts(
                active_farmers=len(tables.farmers.having(FarmerState.ACTIVE)),
                planted=len(planted),
                unworked=sum(plant.farmer_id not in worked for plant in planted),
                open_pails=len(tables.harvests.having(HarvestState.PENDING)),
                open_attempts=len(tables.attempts.having(AttemptState.OPEN)),
            )
