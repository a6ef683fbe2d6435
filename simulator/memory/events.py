"""The audit trail in memory, and sums over the rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from backend.domain.attempt import AttemptState
from backend.domain.audit import GENESIS, ChainHead, Link, link_hash
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

    async def seal(self) -> ChainHead:
        """Adds every event to the audit chain that is not in it yet; returns the chain's head."""
        async with self._session.transaction() as tables:
            for position in range(len(tables.links), len(tables.events)):
                previous = tables.links[-1].hash if tables.links else GENESIS
                content, number = _content(position + 1, tables.events[position]), position + 1
                tables.links.append(Link(number, number, content, previous, link_hash(previous, number, content)))
            return ChainHead(len(tables.links), tables.links[-1].hash) if tables.links else ChainHead(0)

    async def links(self) -> AsyncIterator[Link]:
        """The audit chain from its first link on."""
        for link in list(self._session.tables.links):
            yield link

    async def unsealed(self) -> int:
        """None: what is not in the chain waits for it."""
        return 0


def _content(event_id: int, row: EventRow) -> str:
    farmer_id = None if row.farmer_id is None else str(row.farmer_id)
    return json.dumps([event_id, row.block_index, row.event_type, farmer_id, row.pooler_id, row.data])
