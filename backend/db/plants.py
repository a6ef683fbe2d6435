"""Plant requests, and the plants that answer them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from backend.db.attempts import insert_attempts
from backend.db.audit import record_plants
from backend.db.books import book
from backend.db.database import Database, select_ids
from backend.db.farmers import farmer_key
from backend.db.fencing import hold_lease
from backend.db.opening import number_plants, open_harvests
from backend.domain.attempt import Attempt
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import FarmerKey
from backend.domain.plant import Plant, PlantEvent, PlantRequest, PlantState
from backend.ports.chain import PailKey
from backend.ports.stores import Candidate, EventPage, UnsentPlant

PLANT_COLUMNS = """
p.id, p.farmer_id, p.wallet_address, p.block_index, p.pooler_id, p.stake_amount, p.status, p.error_reason,
p.error_message, p.ledger_sequence, p.transaction_hash
"""
_KEY = "f.public_key, f.sealed_seed, f.key_version"

_REQUEST = text(
    "SELECT request_id, pooler_id, block_index, requested_farmers FROM plant_requests WHERE request_id = :id"
)
_CANDIDATES = text(f"""
SELECT
    f.id, f.wallet_address, {_KEY}, CAST(f.stake_percentage * 100 AS integer) AS basis_points, f.fixed_stake, f.balance,
    held_of(f.id) AS held
FROM farmers AS f
WHERE
    f.status = 'active'
    AND NOT EXISTS (
        SELECT FROM plant_transactions AS p WHERE p.block_index = :block_index AND p.farmer_id = f.id
    )
    AND NOT EXISTS (SELECT FROM attempts AS a WHERE a.source_account = f.wallet_address AND a.status = 'open')
ORDER BY f.last_planted_block ASC NULLS FIRST, f.created_at, f.id
LIMIT :size
""")  # noqa: S608 - the query is put together from constants
_PLANTS_OF = text(f"""
SELECT {PLANT_COLUMNS} FROM plant_transactions AS p
WHERE p.block_index = :block_index AND p.pooler_id = :pooler_id AND p.status <> 'failed' AND NOT EXISTS (
    SELECT FROM lease_handovers AS h WHERE h.block_index = p.block_index AND h.farmer_id = p.farmer_id
)
ORDER BY p.created_at, p.id
""")  # noqa: S608 - likewise
_LOCK_PLANTS = text("SELECT id FROM plant_transactions WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR SHARE")
_FINAL_PLANTS = text("""
SELECT id FROM plant_transactions
WHERE id = ANY(CAST(:ids AS uuid[])) AND status <> 'pending' ORDER BY created_at, id
""")
_INSERT_REQUEST = text("""
INSERT INTO plant_requests (request_id, pooler_id, block_index, requested_farmers)
VALUES (:id, :pooler_id, :block_index, :requested_farmers)
""")
_INSERT_PLANTS = """
INSERT INTO plant_transactions (
    id, block_index, farmer_id, wallet_address, pooler_id, stake_amount, status, error_reason, error_message,
    ledger_sequence, transaction_hash, confirmed_at
)
SELECT
    r.id, r.block_index, r.farmer_id, r.address, r.pooler_id, r.stake, r.status, r.reason, r.message,
    r.ledger, r.transaction_hash, CASE r.status WHEN 'confirmed' THEN now() END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    id uuid, block_index bigint, farmer_id uuid, address text, pooler_id text, stake bigint, status text, reason text,
    message text, ledger bigint, transaction_hash text
)
ORDER BY r.block_index, r.farmer_id
"""
_BEGIN_PLANTS = text(_INSERT_PLANTS)
_ADOPT_PLANTS = text(f"{_INSERT_PLANTS} ON CONFLICT (block_index, farmer_id) DO NOTHING RETURNING id")
_ADD_TO_REQUEST = text("""
INSERT INTO plant_request_plants (request_id, plant_id)
SELECT :id, given.id FROM unnest(CAST(:ids AS uuid[])) AS given (id)
""")
_RECORD_REQUEST = text("""
INSERT INTO block_events (block_index, event_type, pooler_id, data)
VALUES (
    :block_index, 'plant_requested', :pooler_id,
    jsonb_build_object(
        'request_id', CAST(:id AS text), 'requested_farmers', CAST(:requested_farmers AS bigint),
        'plants', CAST(:plants AS integer), 'own', CAST(:own AS integer), 'earlier', CAST(:earlier AS integer)
    )
)
""")
_EVENTS = text(f"""
SELECT rp.number, {PLANT_COLUMNS}
FROM plant_request_plants AS rp
INNER JOIN plant_transactions AS p ON p.id = rp.plant_id
WHERE rp.request_id = :id AND rp.number > :after
ORDER BY rp.number
""")  # noqa: S608 - likewise
_STANDING = text("""
SELECT
    count(*) FILTER (WHERE rp.number IS NULL) = 0 AS complete,
    count(*) FILTER (WHERE rp.number IS NOT NULL AND p.status = 'confirmed') AS planted,
    count(*) FILTER (WHERE rp.number IS NOT NULL AND p.status = 'failed') AS failed,
    coalesce(max(rp.number), 0) AS last_number
FROM plant_request_plants AS rp
INNER JOIN plant_transactions AS p ON p.id = rp.plant_id
WHERE rp.request_id = :id
""")
_UNSENT = text(f"""
SELECT {PLANT_COLUMNS}, {_KEY}, a.attempts, a.last_code
FROM plant_transactions AS p
INNER JOIN farmers AS f ON f.id = p.farmer_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS attempts,
        count(*) FILTER (WHERE t.status = 'open') AS open,
        (array_agg(t.result_code ORDER BY t.created_at DESC, t.source_sequence DESC))[1] AS last_code
    FROM attempts AS t WHERE t.intent_id = p.id AND t.kind = 'plant'
) AS a
WHERE p.status = 'pending' AND a.open = 0
ORDER BY p.created_at, p.id
""")  # noqa: S608 - likewise
_ADOPT_HARVESTS = text("""
INSERT INTO harvest_transactions (
    block_index, farmer_id, wallet_address, stake_amount, planted_ledger, live_until
)
SELECT r.block_index, r.farmer_id, r.address, r.stake, r.ledger, r.live_until
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    block_index bigint, farmer_id uuid, address text, stake bigint, ledger bigint, live_until bigint
)
ORDER BY r.block_index, r.farmer_id
ON CONFLICT (block_index, farmer_id) DO NOTHING
RETURNING id
""")


class SqlPlantStore:
    """See backend.ports.stores.PlantStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, request_id: str) -> PlantRequest | None:
        """A stored request."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_REQUEST, {"id": request_id})).one_or_none()
        return None if row is None else PlantRequest(*row)

    async def candidates(self, block_index: int, limit: int | None) -> list[Candidate]:
        """ACTIVE farmers without a plant in this block and without an open attempt, longest unplanted first."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_CANDIDATES, {"block_index": block_index, "size": limit})).all()
        return [
            Candidate(
                key=farmer_key(row),
                stake_basis_points=row.basis_points,
                fixed_stake_stroops=row.fixed_stake,
                booked_stroops=row.balance,
                held_stroops=int(row.held),
            )
            for row in rows
        ]

    async def plants_of(self, block_index: int, pooler_id: str) -> list[Plant]:
        """This pooler's plants in a block that are not FAILED, oldest first."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_PLANTS_OF, {"block_index": block_index, "pooler_id": pooler_id})
            return [plant_of(row) for row in rows]

    async def begin(
        self,
        request: PlantRequest,
        *,
        earlier: Sequence[UUID],
        plants: Sequence[Plant],
        attempts: Sequence[Attempt],
    ) -> None:
        """Stores a request, new plants and their attempts, all or nothing; the request's that are final are numbered.

        Raises:
            StoreConflictError: the request, or a plant of one of these farmers in this block, exists.
        """
        values = {
            "id": request.request_id,
            "pooler_id": request.pooler_id,
            "block_index": request.block_index,
            "requested_farmers": request.requested_farmers,
        }
        own = [plant.plant_id for plant in plants if plant.pooler_id == request.pooler_id]
        failed = [plant.plant_id for plant in plants if plant.state is not PlantState.PENDING]
        async with self._database.transaction() as connection:
            await connection.execute(_INSERT_REQUEST, values)
            # Whoever ends one of these plants waits for this transaction, then sees that the request counts it.
            await connection.execute(_LOCK_PLANTS, {"ids": list(earlier)})
            final = await select_ids(connection, _FINAL_PLANTS, {"ids": list(earlier)})
            await connection.execute(_BEGIN_PLANTS, {"rows": json.dumps([_row(plant) for plant in plants])})
            await connection.execute(_ADD_TO_REQUEST, {"id": request.request_id, "ids": [*earlier, *own]})
            await insert_attempts(connection, attempts, fence=self._database.fence)
            await number_plants(connection, [*final, *failed])
            counts = {"plants": len(plants), "own": len(own), "earlier": len(earlier)}
            await connection.execute(_RECORD_REQUEST, values | counts)
            await record_plants(connection, failed)

    async def retry(self, attempts: Sequence[Attempt]) -> None:
        """Stores new attempts (kind PLANT) of pending plants."""
        async with self._database.transaction() as connection:
            await insert_attempts(connection, attempts, fence=self._database.fence)

    async def events(self, request_id: str, after: int) -> EventPage:
        """The request's events numbered above `after`."""
        async with self._database.transaction() as connection:
            # Counted first: an event that comes in between is in the page, but never counted without being in it.
            standing = (await connection.execute(_STANDING, {"id": request_id})).one()
            rows = (await connection.execute(_EVENTS, {"id": request_id, "after": after})).all()
        events = [PlantEvent(row.number, plant_of(row)) for row in rows if row.number <= standing.last_number]
        return EventPage(events, standing.complete, standing.planted, standing.failed, standing.last_number)

    async def unsent(self) -> list[UnsentPlant]:
        """Pending plants without an open attempt."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_UNSENT)).all()
        return [UnsentPlant(plant_of(row), _key(row), row.attempts, row.last_code) for row in rows]

    async def adopt(self, plants: Sequence[Plant], live_until: Mapping[PailKey, int]) -> int:
        """Stores CONFIRMED plants of which no row knew, with pending harvests; how many harvests were added."""
        harvests = [
            {**_row(plant), "live_until": live_until.get((plant.address, plant.block_index))} for plant in plants
        ]
        async with self._database.transaction() as connection:
            await hold_lease(connection, self._database.fence)
            adopted = await select_ids(
                connection, _ADOPT_PLANTS, {"rows": json.dumps([_row(plant) for plant in plants])}
            )
            added = await select_ids(connection, _ADOPT_HARVESTS, {"rows": json.dumps(harvests)})
            await open_harvests(connection, adopted)
            await record_plants(connection, adopted)
            await book(connection, opened=added)
        return len(added)


def _row(plant: Plant) -> dict[str, object]:
    return {
        "id": str(plant.plant_id),
        "block_index": plant.block_index,
        "farmer_id": str(plant.farmer_id),
        "address": plant.address,
        "pooler_id": plant.pooler_id,
        "stake": plant.stake_stroops,
        "status": plant.state,
        "reason": plant.failure.reason if plant.failure else None,
        "message": plant.failure.message if plant.failure else None,
        "ledger": plant.ledger,
        "transaction_hash": plant.transaction_hash,
    }


def _key(row: Row[Any]) -> FarmerKey:
    return FarmerKey(row.farmer_id, row.wallet_address, row.public_key, row.sealed_seed, row.key_version)


def plant_of(row: Row[Any]) -> Plant:
    """A plant from a row with PLANT_COLUMNS."""
    failed = row.error_reason is not None
    return Plant(
        plant_id=row.id,
        farmer_id=row.farmer_id,
        address=row.wallet_address,
        block_index=row.block_index,
        pooler_id=row.pooler_id,
        stake_stroops=row.stake_amount,
        state=PlantState(row.status),
        failure=Failure(FailureReason(row.error_reason), row.error_message or "") if failed else None,
        ledger=row.ledger_sequence,
        transaction_hash=row.transaction_hash,
    )
