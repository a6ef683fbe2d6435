"""Farmers and their settings."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from backend.db.attempts import insert_attempts
from backend.db.database import Database, select_ids
from backend.domain.attempt import Attempt
from backend.domain.farmer import Farmer, FarmerChange, FarmerKey, FarmerState, NewFarmer, check_change
from backend.errors import PreconditionError, StoreConflictError, UnknownFarmerError

_CREATE = text("""
INSERT INTO farmers (
    id, wallet_address, public_key, sealed_seed, key_version, stake_percentage, harvest_after_blocks, request_id
) VALUES (
    :id, :address, :public_key, :sealed_seed, :key_version, CAST(:basis_points AS numeric) / 100, :blocks, :request_id
) ON CONFLICT (request_id) DO NOTHING
""")
_FARMER = """
SELECT
    f.id, f.wallet_address, f.status, CAST(f.stake_percentage * 100 AS integer) AS basis_points,
    f.harvest_after_blocks, f.balance, f.earned_balance, coalesce(s.open, 0) AS open_stake,
    coalesce(s.lost, 0) AS lost_stake, f.last_planted_block, f.created_at, f.updated_at,
    f.fixed_stake, f.labels
FROM farmers AS f
LEFT JOIN LATERAL (
    SELECT
        CAST(sum(h.stake_amount) FILTER (WHERE h.status = 'pending') AS bigint) AS open,
        CAST(sum(h.stake_amount) FILTER (WHERE h.status = 'lost') AS bigint) AS lost
    FROM harvest_transactions AS h WHERE h.farmer_id = f.id AND h.status IN ('pending', 'lost')
) AS s ON true
"""
_GET = text(f"{_FARMER} WHERE f.id = :id")
_BY_REQUEST = text(f"{_FARMER} WHERE f.request_id = :request_id")
_PAGE = text(f"""{_FARMER}
WHERE (CAST(:status AS text) IS NULL OR f.status = :status)
AND (
    CAST(:after AS uuid) IS NULL
    OR (f.created_at, f.id) > (SELECT a.created_at, a.id FROM farmers AS a WHERE a.id = :after)
)
ORDER BY f.created_at, f.id LIMIT :size
""")  # noqa: S608 - the query is put together from constants
_LOCK = text("""
SELECT
    f.status, f.sealed_seed IS NULL AS keyless,
    EXISTS (
        SELECT FROM withdrawals AS w
        WHERE w.farmer_id = f.id AND w.kind = 'exit' AND w.status NOT IN ('refused', 'failed')
    ) AS leaving
FROM farmers AS f WHERE f.id = :id FOR UPDATE
""")
_UPDATE = text("""
UPDATE farmers
SET
    stake_percentage = coalesce(CAST(:basis_points AS numeric) / 100, stake_percentage),
    fixed_stake = CASE WHEN CAST(:basis_points AS integer) IS NULL THEN coalesce(:fixed_stake, fixed_stake) END,
    harvest_after_blocks = coalesce(:blocks, harvest_after_blocks),
    status = coalesce(:status, status),
    labels = coalesce(CAST(:labels AS jsonb), labels)
WHERE id = :id
""")
_ADDRESSES = text("SELECT wallet_address, id FROM farmers WHERE status <> 'onboarding' AND sealed_seed IS NOT NULL")
_AWAITING = text("""
SELECT id, wallet_address, public_key, sealed_seed, key_version
FROM farmers WHERE status = 'onboarding' AND onboarding_batch IS NULL ORDER BY created_at, id LIMIT :size
""")
_OPEN_BATCH = text("""
UPDATE farmers SET onboarding_batch = :batch
WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'onboarding' AND onboarding_batch IS NULL
RETURNING id
""")
_ACTIVATE = text("""
UPDATE farmers SET status = 'active' WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'onboarding'
""")


def farmer_key(row: Row[Any]) -> FarmerKey:
    """A farmer's key from a row with the columns id, wallet_address, public_key, sealed_seed and key_version."""
    return FarmerKey(row.id, row.wallet_address, row.public_key, row.sealed_seed, row.key_version)


class SqlFarmerStore:
    """See backend.ports.stores.FarmerStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, farmer: NewFarmer) -> Farmer:
        """Stores a farmer in state ONBOARDING; a request_id seen before returns that farmer and stores nothing."""
        key = farmer.key
        values = {
            "id": key.farmer_id,
            "address": key.address,
            "public_key": key.public_key,
            "sealed_seed": key.sealed_seed,
            "key_version": key.key_version,
            "basis_points": farmer.stake_basis_points,
            "blocks": farmer.harvest_after_blocks,
            "request_id": farmer.request_id,
        }
        async with self._database.transaction() as connection:
            await connection.execute(_CREATE, values)
            stored = await connection.execute(_BY_REQUEST, {"request_id": farmer.request_id})
            return _farmer(stored.one())

    async def get(self, farmer_id: UUID) -> Farmer:
        """One farmer. Raises UnknownFarmerError."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_GET, {"id": farmer_id})).one_or_none()
        if row is None:
            raise UnknownFarmerError(farmer_id)
        return _farmer(row)

    async def page(self, *, after: UUID | None, state: FarmerState | None, size: int) -> list[Farmer]:
        """At most `size` farmers by (created_at, id), those after the farmer `after`."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_PAGE, {"after": after, "status": state, "size": size})).all()
        return [_farmer(row) for row in rows]

    async def update(self, farmer_id: UUID, change: FarmerChange) -> Farmer:
        """Locks the row, checks the change and stores it.

        Raises:
            UnknownFarmerError: there is no such farmer.
            FarmerDepartedError, FarmerLeavingError, TransitionError: see domain.farmer.check_change.
            PreconditionError: a sample farmer, who has no key, cannot become active.
        """
        values = {
            "id": farmer_id,
            "basis_points": change.stake_basis_points,
            "fixed_stake": change.fixed_stake_stroops,
            "blocks": change.harvest_after_blocks,
            "status": change.state,
            "labels": None if change.labels is None else json.dumps(change.labels),
        }
        async with self._database.attributed() as connection:
            row = (await connection.execute(_LOCK, {"id": farmer_id})).one_or_none()
            if row is None:
                raise UnknownFarmerError(farmer_id)
            check_change(farmer_id, FarmerState(row.status), change, leaving=row.leaving)
            if row.keyless and change.state is FarmerState.ACTIVE:
                raise PreconditionError(f"farmer {farmer_id} is sample data without a key; it can never farm")
            await connection.execute(_UPDATE, values)
            return _farmer((await connection.execute(_GET, {"id": farmer_id})).one())

    async def addresses(self) -> Mapping[str, UUID]:
        """Addresses of all farmers whose accounts exist (every state but ONBOARDING)."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_ADDRESSES)).all()
        return {row.wallet_address: row.id for row in rows}

    async def awaiting(self, limit: int) -> list[FarmerKey]:
        """Farmers in state ONBOARDING that are in no batch, oldest first."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_AWAITING, {"size": limit})).all()
        return [farmer_key(row) for row in rows]

    async def open_batch(self, batch_id: UUID, farmer_ids: Sequence[UUID], attempt: Attempt) -> None:
        """Puts farmers into an onboarding batch and stores its attempt.

        Raises:
            StoreConflictError: one of them is in a batch already, or not in state ONBOARDING; nothing is stored.
        """
        async with self._database.transaction() as connection:
            taken = await select_ids(connection, _OPEN_BATCH, {"batch": batch_id, "ids": list(farmer_ids)})
            if set(taken) != set(farmer_ids):
                raise StoreConflictError("a farmer of the batch is in another batch, or no longer being onboarded")
            await insert_attempts(connection, [attempt], fence=self._database.fence)

    async def activate(self, farmer_ids: Sequence[UUID]) -> None:
        """Makes ONBOARDING farmers ACTIVE whose accounts were found on the ledger."""
        async with self._database.transaction() as connection:
            await connection.execute(_ACTIVATE, {"ids": list(farmer_ids)})


def _farmer(row: Row[Any]) -> Farmer:
    return Farmer(
        farmer_id=row.id,
        address=row.wallet_address,
        state=FarmerState(row.status),
        stake_basis_points=row.basis_points,
        harvest_after_blocks=row.harvest_after_blocks,
        balance_stroops=row.balance,
        earned_stroops=row.earned_balance,
        open_stake_stroops=row.open_stake,
        lost_stake_stroops=row.lost_stake,
        last_planted_block=row.last_planted_block,
        created_at=row.created_at,
        updated_at=row.updated_at,
        fixed_stake_stroops=row.fixed_stake,
        labels=row.labels,
    )
