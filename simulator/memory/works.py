"""Work results in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID, uuid5

from backend.domain.attempt import AttemptKind
from backend.domain.harvest import HarvestState
from backend.domain.plant import PlantState
from backend.domain.work import BACKSTOP_POOLER, WorkReport, WorkState, supersedes
from backend.errors import StoreConflictError, UnknownFarmerError
from backend.ports.stores import BackstopWork, UnverifiedWork, UnworkedPail
from simulator.memory.attempts import has_live_attempt, insert_attempts
from simulator.memory.effects import record_work
from simulator.memory.session import Session
from simulator.memory.tables import FarmerRow, Tables, WorkRow


class MemoryWorkStore:
    """See backend.ports.stores.WorkStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def planted_address(self, block_index: int, farmer_id: UUID) -> str | None:
        """The farmer's address if the pool has a CONFIRMED plant of it in the block. Raises UnknownFarmerError."""
        async with self._session.transaction() as tables:
            farmer = _farmer(tables, farmer_id)
            plant_id = tables.planted.get((block_index, farmer_id))
            row = None if plant_id is None else tables.plants.get(plant_id)
            planted = row is not None and row.plant.state is PlantState.CONFIRMED
            return farmer.key.address if planted else None

    async def record(self, report: WorkReport) -> bool:
        """Stores a checked report and records it; False if it is a duplicate. Raises UnknownFarmerError."""
        async with self._session.transaction() as tables:
            if tables.reports.get(report.report_id) is not None:
                return False
            farmer = _farmer(tables, report.farmer_id)
            key = (report.block_index, report.farmer_id, report.pooler_id)
            known = tables.worked.get(key)
            old = None if known is None else tables.works.get(known)
            if old is not None and not supersedes(old.state, old.zeros, report):
                return False
            number = tables.next_number() if old is None else old.number
            work_id = uuid5(report.farmer_id, f"work {number}") if old is None else old.work_id
            row = _reported(report, number, work_id, farmer.key.address)
            tables.works.put(work_id, row)
            tables.worked.put(key, work_id)
            tables.reports.put(report.report_id, work_id)
            record_work(tables, row)
            return True

    async def unverified(self) -> list[UnverifiedWork]:
        """Reports still in state UNVERIFIED."""
        async with self._session.transaction() as tables:
            rows = sorted(tables.works.having(WorkState.UNVERIFIED), key=lambda row: row.number)
            return [UnverifiedWork(row.work_id, row.address, row.block_index, row.work_hash or b"") for row in rows]

    async def unworked(self, block_index: int) -> list[UnworkedPail]:
        """Unharvested pails of the block without an open or succeeded attempt of kind WORK, the highest stake first."""
        async with self._session.transaction() as tables:
            rows = [row for row in tables.harvests.having(HarvestState.PENDING) if row.block_index == block_index]
            return [
                UnworkedPail(row.farmer_id, row.address, block_index, row.stake)
                for row in sorted(rows, key=lambda row: (-row.stake, row.number))
                if not has_live_attempt(
                    tables, AttemptKind.WORK, tables.worked.get((block_index, row.farmer_id, BACKSTOP_POOLER))
                )
            ]

    async def begin(self, works: Sequence[BackstopWork]) -> None:
        """Stores works and their attempts; the row of an earlier backstop is used again. Raises StoreConflictError."""
        async with self._session.transaction() as tables:
            for work in works:
                _begin(tables, work)
            insert_attempts(tables, [work.attempt for work in works], fence=self._session.fence)

    async def backstop_ids(self, block_index: int) -> Mapping[UUID, UUID]:
        """Ids of the backend's own work rows of a block, by farmer id."""
        async with self._session.transaction() as tables:
            rows = [row for row in tables.works if row.block_index == block_index]
            return {row.farmer_id: row.work_id for row in rows if row.pooler_id == BACKSTOP_POOLER}


def _farmer(tables: Tables, farmer_id: UUID) -> FarmerRow:
    row = tables.farmers.get(farmer_id)
    if row is None:
        raise UnknownFarmerError(farmer_id)
    return row


def _begin(tables: Tables, work: BackstopWork) -> None:
    key = (work.block_index, work.farmer_id, BACKSTOP_POOLER)
    known = tables.worked.get(key)
    old = None if known is None else tables.works.get(known)
    if old is not None and (old.work_id != work.work_id or old.state is WorkState.SUCCESS):
        raise StoreConflictError("a farmer has work of the backend's own in this block under another id")
    row = old or WorkRow(
        number=tables.next_number(),
        work_id=work.work_id,
        report_id=None,
        block_index=work.block_index,
        farmer_id=work.farmer_id,
        address=_farmer(tables, work.farmer_id).key.address,
        pooler_id=BACKSTOP_POOLER,
        state=WorkState.PENDING,
    )
    pending = replace(
        row, state=WorkState.PENDING, work_hash=work.work_hash, nonce=work.nonce, zeros=work.zeros, failure=None
    )
    tables.works.put(work.work_id, pending)
    tables.worked.put(key, work.work_id)


def _reported(report: WorkReport, number: int, work_id: UUID, address: str) -> WorkRow:
    return WorkRow(
        number=number,
        work_id=work_id,
        report_id=report.report_id,
        block_index=report.block_index,
        farmer_id=report.farmer_id,
        address=address,
        pooler_id=report.pooler_id,
        state=report.state,
        work_hash=report.work_hash,
        nonce=report.nonce,
        zeros=report.zeros,
        gap=report.gap,
        transaction_hash=report.transaction_hash,
        ledger=report.ledger,
        failure=report.failure,
    )
