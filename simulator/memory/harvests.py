"""Harvests in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.harvest import HarvestState, OpenPail
from simulator.memory.attempts import attempts_of, insert_attempts
from simulator.memory.session import Session
from simulator.memory.tables import HarvestRow, Tables


class MemoryHarvestStore:
    """See backend.ports.stores.HarvestStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def open_pails(self) -> list[OpenPail]:
        """Pending harvests without an open attempt."""
        async with self._session.transaction() as tables:
            rows = sorted(tables.harvests.having(HarvestState.PENDING), key=lambda row: row.number)
            return [_pail(tables, row) for row in rows if not _is_open(tables, row)]

    async def begin(self, attempts: Sequence[Attempt]) -> None:
        """Stores attempts (kind HARVEST) of pending harvests."""
        async with self._session.transaction() as tables:
            insert_attempts(tables, attempts, fence=self._session.fence)

    async def set_lives(self, live_until: Mapping[UUID, int]) -> None:
        """Stores the last ledger in which pails live, by harvest id."""
        async with self._session.transaction() as tables:
            for harvest_id, ledger in live_until.items():
                row = tables.harvests.get(harvest_id)
                if row is not None and row.state is HarvestState.PENDING:
                    tables.harvests.put(harvest_id, replace(row, live_until=ledger))


def _is_open(tables: Tables, row: HarvestRow) -> bool:
    tried = attempts_of(tables, AttemptKind.HARVEST, row.harvest_id)
    return any(attempt.state is AttemptState.OPEN for attempt in tried)


def _pail(tables: Tables, row: HarvestRow) -> OpenPail:
    farmer = tables.farmers.get(row.farmer_id)
    assert farmer is not None
    return OpenPail(
        harvest_id=row.harvest_id,
        farmer_id=row.farmer_id,
        address=row.address,
        block_index=row.block_index,
        stake_stroops=row.stake,
        planted_ledger=row.planted_ledger,
        live_until=row.live_until,
        harvest_after_blocks=farmer.harvest_after_blocks,
    )
