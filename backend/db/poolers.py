"""Poolers, and the farmers they are leased."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import text

from backend.db.database import Database
from backend.db.plants import PLANT_COLUMNS, plant_of
from backend.domain.presence import Attended, FarmerLease, HandOver, HandOverReason
from backend.ports.poolers import Handed

_ATTENDED = text("""
INSERT INTO poolers AS p (pooler_id, attended_ledger, hashes_per_second)
SELECT r.pooler_id, r.ledger, r.rate
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (pooler_id text, ledger bigint, rate bigint)
ORDER BY r.pooler_id
ON CONFLICT (pooler_id) DO UPDATE
SET attended_ledger = excluded.attended_ledger, hashes_per_second = excluded.hashes_per_second
WHERE p.attended_ledger <= excluded.attended_ledger
""")
_ATTENDANCE = text("""
SELECT pooler_id, attended_ledger, hashes_per_second FROM poolers WHERE attended_ledger > 0
""")
_LEASES = text("""
SELECT
    p.block_index, p.farmer_id, coalesce(h.pooler_id, p.pooler_id) AS pooler_id,
    coalesce(h.generation, 1) AS generation,
    EXISTS (
        SELECT FROM work_results AS w
        WHERE
            w.block_index = p.block_index AND w.farmer_id = p.farmer_id
            AND w.status = 'success' AND w.report_id IS NOT NULL
    ) AS worked,
    p.status = 'confirmed' AS planted
FROM plant_transactions AS p
LEFT JOIN LATERAL (
    SELECT pooler_id, generation FROM lease_handovers AS l
    WHERE l.block_index = p.block_index AND l.farmer_id = p.farmer_id ORDER BY l.generation DESC LIMIT 1
) AS h ON TRUE
WHERE p.block_index = :block_index AND p.status <> 'failed'
ORDER BY p.farmer_id
""")
_HAND_OVER = text("""
WITH moved AS (
    INSERT INTO lease_handovers (
        block_index, farmer_id, generation, pooler_id, taken_from, reason, ledger_sequence
    )
    SELECT r.block_index, r.farmer_id, r.generation, r.pooler_id, r.taken_from, r.reason, r.ledger
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        block_index bigint, farmer_id uuid, generation integer, pooler_id text, taken_from text, reason text,
        ledger bigint
    )
    ORDER BY r.block_index, r.farmer_id
    RETURNING block_index, farmer_id, generation, pooler_id, taken_from, reason, ledger_sequence
)
INSERT INTO block_events (block_index, event_type, farmer_id, pooler_id, data)
SELECT
    block_index, 'lease_moved', farmer_id, pooler_id,
    jsonb_build_object(
        'generation', generation, 'taken_from', taken_from, 'reason', reason, 'ledger_sequence', ledger_sequence
    )
FROM moved ORDER BY block_index, farmer_id
""")
_HANDED = text(f"""
SELECT
    h.generation, h.pooler_id AS taker, h.taken_from, h.reason, h.ledger_sequence AS decided_ledger,
    h.generation = max(h.generation) OVER (PARTITION BY h.farmer_id) AS latest,
    {PLANT_COLUMNS}
FROM lease_handovers AS h
INNER JOIN plant_transactions AS p ON p.block_index = h.block_index AND p.farmer_id = h.farmer_id
WHERE h.block_index = :block_index
ORDER BY h.ledger_sequence, h.generation, h.farmer_id
""")  # noqa: S608 - the query is put together from constants


class SqlPoolerStore:
    """See backend.ports.poolers.PoolerStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attended(self, poolers: Mapping[str, Attended]) -> None:
        """Notes in which ledgers poolers attended, and with what hash rate; an earlier ledger changes nothing."""
        rows = [
            {"pooler_id": pooler_id, "ledger": one.ledger, "rate": one.hashes_per_second}
            for pooler_id, one in poolers.items()
        ]
        async with self._database.transaction() as connection:
            await connection.execute(_ATTENDED, {"rows": json.dumps(rows)})

    async def attendance(self) -> Mapping[str, Attended]:
        """Every pooler that ever attended, and the last time it did."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_ATTENDANCE)).all()
        return {row.pooler_id: Attended(row.attended_ledger, row.hashes_per_second) for row in rows}

    async def leases(self, block_index: int) -> list[FarmerLease]:
        """Who has which farmer of a block."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_LEASES, {"block_index": block_index})).all()
        return [FarmerLease(*row) for row in rows]

    async def hand_over(self, hand_overs: Sequence[HandOver]) -> None:
        """Stores hand-overs and records them. Raises StoreConflictError where a lease has moved meanwhile."""
        rows = [
            {
                "block_index": one.block_index,
                "farmer_id": str(one.farmer_id),
                "generation": one.generation,
                "pooler_id": one.pooler_id,
                "taken_from": one.taken_from,
                "reason": one.reason,
                "ledger": one.ledger,
            }
            for one in hand_overs
        ]
        async with self._database.transaction() as connection:
            await connection.execute(_HAND_OVER, {"rows": json.dumps(rows)})

    async def handed(self, block_index: int) -> list[Handed]:
        """Every hand-over of a block, oldest first."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_HANDED, {"block_index": block_index})).all()
        return [
            Handed(
                HandOver(
                    block_index=row.block_index,
                    farmer_id=row.farmer_id,
                    generation=row.generation,
                    pooler_id=row.taker,
                    taken_from=row.taken_from,
                    reason=HandOverReason(row.reason),
                    ledger=row.decided_ledger,
                ),
                plant_of(row),
                row.latest,
            )
            for row in rows
        ]
