"""Farmers in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from backend.domain.attempt import Attempt
from backend.domain.farmer import Farmer, FarmerChange, FarmerKey, FarmerState, NewFarmer, check_change
from backend.domain.harvest import HarvestState
from backend.errors import StoreConflictError, UnknownFarmerError
from simulator.memory.attempts import insert_attempts
from simulator.memory.payments import is_leaving
from simulator.memory.session import Session
from simulator.memory.tables import FarmerRow, Tables


class MemoryFarmerStore:
    """See backend.ports.stores.FarmerStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def create(self, farmer: NewFarmer) -> Farmer:
        """Stores a farmer in state ONBOARDING; a request_id seen before returns that farmer and stores nothing."""
        async with self._session.transaction() as tables:
            known = next((row for row in tables.farmers if row.request_id == farmer.request_id), None)
            if known is not None:
                return _farmer(tables, known)
            if any(row.key.address == farmer.key.address for row in tables.farmers):
                raise StoreConflictError("the database refused a row by its rule farmers_wallet_address_key")
            row = FarmerRow(
                number=tables.next_number(),
                key=farmer.key,
                request_id=farmer.request_id,
                state=FarmerState.ONBOARDING,
                stake_basis_points=farmer.stake_basis_points,
                harvest_after_blocks=farmer.harvest_after_blocks,
                created_at=tables.now(),
                updated_at=tables.now(),
            )
            tables.farmers.put(farmer.key.farmer_id, row)
            return _farmer(tables, row)

    async def get(self, farmer_id: UUID) -> Farmer:
        """One farmer. Raises UnknownFarmerError."""
        async with self._session.transaction() as tables:
            return _farmer(tables, _row(tables, farmer_id))

    async def page(self, *, after: UUID | None, state: FarmerState | None, size: int) -> list[Farmer]:
        """At most `size` farmers by (created_at, id), those after the farmer `after`."""
        async with self._session.transaction() as tables:
            last = 0 if after is None else _row(tables, after).number
            wanted = [row for row in tables.farmers if row.number > last and state in (None, row.state)]
            return [_farmer(tables, row) for row in wanted[:size]]

    async def update(self, farmer_id: UUID, change: FarmerChange) -> Farmer:
        """Checks the change and stores it. Raises UnknownFarmerError and what check_change does."""
        async with self._session.transaction() as tables:
            row = _row(tables, farmer_id)
            check_change(farmer_id, row.state, change, leaving=is_leaving(tables, farmer_id))
            changed = replace(
                row,
                stake_basis_points=_or(change.stake_basis_points, row.stake_basis_points),
                harvest_after_blocks=_or(change.harvest_after_blocks, row.harvest_after_blocks),
                state=change.state or row.state,
                fixed_stake=_fixed_stake(change, row),
                labels=row.labels if change.labels is None else change.labels,
                updated_at=tables.now(),
            )
            tables.farmers.put(farmer_id, changed)
            return _farmer(tables, changed)

    async def addresses(self) -> Mapping[str, UUID]:
        """Addresses of all farmers whose accounts exist (every state but ONBOARDING)."""
        async with self._session.transaction() as tables:
            return {
                row.key.address: row.key.farmer_id for row in tables.farmers if row.state is not FarmerState.ONBOARDING
            }

    async def awaiting(self, limit: int) -> list[FarmerKey]:
        """Farmers in state ONBOARDING that are in no batch, oldest first."""
        async with self._session.transaction() as tables:
            rows = [row for row in tables.farmers.having(FarmerState.ONBOARDING) if row.batch is None]
            return [row.key for row in sorted(rows, key=lambda row: row.number)[:limit]]

    async def open_batch(self, batch_id: UUID, farmer_ids: Sequence[UUID], attempt: Attempt) -> None:
        """Puts farmers into an onboarding batch and stores its attempt. Raises StoreConflictError."""
        async with self._session.transaction() as tables:
            for farmer_id in farmer_ids:
                row = tables.farmers.get(farmer_id)
                if row is None or row.state is not FarmerState.ONBOARDING or row.batch is not None:
                    raise StoreConflictError("a farmer of the batch is in another batch, or no longer being onboarded")
                tables.farmers.put(farmer_id, replace(row, batch=batch_id))
            insert_attempts(tables, [attempt], fence=self._session.fence)

    async def activate(self, farmer_ids: Sequence[UUID]) -> None:
        """Makes ONBOARDING farmers ACTIVE whose accounts were found on the ledger."""
        async with self._session.transaction() as tables:
            for farmer_id in farmer_ids:
                row = tables.farmers.get(farmer_id)
                if row is not None and row.state is FarmerState.ONBOARDING:
                    tables.farmers.put(farmer_id, replace(row, state=FarmerState.ACTIVE))


def _row(tables: Tables, farmer_id: UUID) -> FarmerRow:
    row = tables.farmers.get(farmer_id)
    if row is None:
        raise UnknownFarmerError(farmer_id)
    return row


def _fixed_stake(change: FarmerChange, row: FarmerRow) -> int | None:
    if change.stake_basis_points is not None:
        return None
    return row.fixed_stake if change.fixed_stake_stroops is None else change.fixed_stake_stroops


def _or(new: int | None, old: int) -> int:
    return old if new is None else new


def _farmer(tables: Tables, row: FarmerRow) -> Farmer:
    def stake(state: HarvestState) -> int:
        rows = tables.harvests.having(state)
        return sum(harvest.stake for harvest in rows if harvest.farmer_id == row.key.farmer_id)

    return Farmer(
        farmer_id=row.key.farmer_id,
        address=row.key.address,
        state=row.state,
        stake_basis_points=row.stake_basis_points,
        harvest_after_blocks=row.harvest_after_blocks,
        balance_stroops=row.balance,
        earned_stroops=row.earned,
        open_stake_stroops=stake(HarvestState.PENDING),
        lost_stake_stroops=stake(HarvestState.LOST),
        last_planted_block=row.last_planted_block,
        created_at=row.created_at,
        updated_at=row.updated_at,
        fixed_stake_stroops=row.fixed_stake,
        labels=row.labels,
    )
