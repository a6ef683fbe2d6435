"""Poolers and their leases in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from backend.domain.plant import Plant, PlantState
from backend.domain.presence import FIRST_GENERATION, Attended, FarmerLease, HandOver
from backend.domain.work import WorkState
from backend.errors import StoreConflictError
from backend.ports.poolers import Handed
from simulator.memory.session import Session
from simulator.memory.tables import EventRow, Tables


class MemoryPoolerStore:
    """See backend.ports.poolers.PoolerStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def attended(self, poolers: Mapping[str, Attended]) -> None:
        """Notes in which ledgers poolers attended, and with what hash rate; an earlier ledger changes nothing."""
        async with self._session.transaction() as tables:
            for pooler_id, one in poolers.items():
                before = tables.attended.get(pooler_id)
                if before is None or before.ledger <= one.ledger:
                    tables.attended.put(pooler_id, one)

    async def attendance(self) -> Mapping[str, Attended]:
        """Every pooler that ever attended, and the last time it did."""
        async with self._session.transaction() as tables:
            return {str(pooler_id): one for pooler_id, one in tables.attended.rows.items()}

    async def leases(self, block_index: int) -> list[FarmerLease]:
        """Who has which farmer of a block."""
        async with self._session.transaction() as tables:
            return _leases(tables, block_index, lambda plant: plant.state is not PlantState.FAILED)

    async def hand_over(self, hand_overs: Sequence[HandOver]) -> None:
        """Stores hand-overs and records them. Raises StoreConflictError where a lease has moved meanwhile."""
        async with self._session.transaction() as tables:
            for one in hand_overs:
                if _holder(tables, _plant(tables, one)) != (one.taken_from, one.generation - 1):
                    raise StoreConflictError("the database refused a row by its rule lease_handovers_follows")
                tables.handed.put((one.block_index, one.farmer_id, one.generation), one)
                data = {
                    "generation": one.generation,
                    "taken_from": one.taken_from,
                    "reason": one.reason,
                    "ledger_sequence": one.ledger,
                }
                tables.events.append(EventRow(one.block_index, "lease_moved", one.farmer_id, one.pooler_id, data))

    async def handed(self, block_index: int) -> list[Handed]:
        """Every hand-over of a block, oldest first."""
        async with self._session.transaction() as tables:
            rows = sorted(
                (one for one in tables.handed if one.block_index == block_index),
                key=lambda one: (one.ledger, one.generation, one.farmer_id),
            )
            latest = {one.farmer_id: one.generation for one in sorted(rows, key=lambda one: one.generation)}
            return [Handed(one, _plant(tables, one), one.generation == latest[one.farmer_id]) for one in rows]


def confirmed_leases(tables: Tables, block_index: int) -> list[FarmerLease]:
    """Who had which planted farmer of a block in the end."""
    return _leases(tables, block_index, lambda plant: plant.state is PlantState.CONFIRMED)


def _leases(tables: Tables, block_index: int, counts: Callable[[Plant], bool]) -> list[FarmerLease]:
    worked = {
        row.farmer_id
        for row in tables.works.having(WorkState.SUCCESS)
        if row.block_index == block_index and row.report_id is not None
    }
    leases = []
    for plant in sorted(filter(counts, _plants(tables, block_index)), key=lambda plant: plant.farmer_id):
        holder, generation = _holder(tables, plant)
        done, planted = plant.farmer_id in worked, plant.state is PlantState.CONFIRMED
        leases.append(FarmerLease(block_index, plant.farmer_id, holder, generation, done, planted))
    return leases


def _plants(tables: Tables, block_index: int) -> list[Plant]:
    rows = [tables.plants.get(plant_id) for plant_id in tables.of_block.get(block_index) or ()]
    return [row.plant for row in rows if row is not None]


def _plant(tables: Tables, one: HandOver) -> Plant:
    plant_id: UUID | None = tables.planted.get((one.block_index, one.farmer_id))
    row = None if plant_id is None else tables.plants.get(plant_id)
    if row is None:
        raise StoreConflictError("the database refused a row by its rule lease_handovers_plant_fkey")
    return row.plant


def _holder(tables: Tables, plant: Plant) -> tuple[str, int]:
    handed = tables.handed.having((plant.block_index, plant.farmer_id))
    if not handed:
        return plant.pooler_id, FIRST_GENERATION
    last = max(handed, key=lambda one: one.generation)
    return last.pooler_id, last.generation
