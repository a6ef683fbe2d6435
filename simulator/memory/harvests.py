"""Harvests in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.harvest import HarvestState, KnownHarvest, OpenPail
from backend.domain.life import PailLife
from backend.ports.chain import PailKey
from kale_chain.planning.inputs import LossHistory
from simulator.memory.attempts import attempts_of, insert_attempts
from simulator.memory.payments import is_waiting_to_leave
from simulator.memory.session import Session
from simulator.memory.tables import EventRow, HarvestRow, Tables


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
        """Stores the last ledger in which pails live, by harvest id; records life_extended."""
        async with self._session.transaction() as tables:
            extended = defaultdict[int, list[HarvestRow]](list)
            for harvest_id, ledger in live_until.items():
                row = tables.harvests.get(harvest_id)
                if row is not None and row.state is HarvestState.PENDING:
                    changed = replace(row, live_until=ledger)
                    tables.harvests.put(harvest_id, changed)
                    if row.live_until is not None and ledger > row.live_until:
                        extended[row.block_index].append(changed)
            for block_index, rows in sorted(extended.items()):
                data = _sums(rows) | {"live_until": min(row.live_until or 0 for row in rows)}
                tables.events.append(EventRow(block_index, "life_extended", None, None, data))

    async def unharvested(self) -> list[PailLife]:
        """Every pending harvest, shortest life first, those of unknown life last."""
        async with self._session.transaction() as tables:
            rows = tables.harvests.having(HarvestState.PENDING)
            ordered = sorted(rows, key=lambda row: (row.live_until is None, row.live_until or 0, row.number))
            return [PailLife(_pail(tables, row), row.alarm_percent) for row in ordered]

    async def set_alarms(self, percents: Mapping[UUID, int]) -> None:
        """Stores the alarms of pending harvests, by harvest id; records life_alarm where one is higher than before."""
        async with self._session.transaction() as tables:
            raised = defaultdict[tuple[int, int], list[HarvestRow]](list)
            for harvest_id, percent in percents.items():
                row = tables.harvests.get(harvest_id)
                if row is not None and row.state is HarvestState.PENDING:
                    tables.harvests.put(harvest_id, replace(row, alarm_percent=percent))
                    if percent > row.alarm_percent:
                        raised[row.block_index, percent].append(row)
            for (block_index, percent), rows in sorted(raised.items()):
                data = _sums(rows) | {"percent": percent}
                tables.events.append(EventRow(block_index, "life_alarm", None, None, data))

    async def known(self, blocks: Sequence[int]) -> Mapping[PailKey, KnownHarvest]:
        """Every harvest of these blocks, whatever its state."""
        async with self._session.transaction() as tables:
            wanted = set(blocks)
            return {
                (row.address, row.block_index): KnownHarvest(row.harvest_id, row.state)
                for row in tables.harvests
                if row.block_index in wanted
            }

    async def losses(self, since_block: int) -> LossHistory:
        """How many pails of this block and later ones have come to an end, and how many of them were lost."""
        async with self._session.transaction() as tables:
            ended = [
                row.state
                for row in tables.harvests
                if row.block_index >= since_block and row.state is not HarvestState.PENDING
            ]
            return LossHistory(len(ended), ended.count(HarvestState.LOST))


def _sums(rows: Sequence[HarvestRow]) -> dict[str, int]:
    return {"pails": len(rows), "stake_amount": sum(row.stake for row in rows)}


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
        harvest_after_blocks=1 if is_waiting_to_leave(tables, row.farmer_id) else farmer.harvest_after_blocks,
    )
