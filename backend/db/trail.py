"""Everything that is known of one block, or of changes beside, in the order in which it was recorded."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from backend.db.database import Database

_LINES = text("""
WITH intents AS (
    SELECT 'plant' AS kind, p.id, p.wallet_address FROM plant_transactions AS p WHERE p.block_index = :block_index
    UNION ALL
    SELECT 'work', w.id, w.wallet_address FROM work_results AS w WHERE w.block_index = :block_index
    UNION ALL
    SELECT 'harvest', h.id, h.wallet_address FROM harvest_transactions AS h WHERE h.block_index = :block_index
)
SELECT e.created_at AS at, e.event_type AS what, f.wallet_address AS farmer, e.pooler_id AS pooler, e.data AS details
FROM block_events AS e
LEFT JOIN farmers AS f ON f.id = e.farmer_id
WHERE e.block_index = :block_index
UNION ALL
SELECT
    a.created_at, 'attempt to ' || a.kind, i.wallet_address, NULL,
    jsonb_strip_nulls(jsonb_build_object(
        'transaction_hash', encode(a.hash, 'hex'), 'status', a.status, 'result_code', a.result_code,
        'created_ledger', a.created_ledger, 'max_ledger', a.max_ledger, 'result_ledger', a.result_ledger,
        'fee_charged', a.fee_charged, 'source_account', a.source_account, 'source_sequence', a.source_sequence,
        'fence', a.fence
    ))
FROM attempts AS a
INNER JOIN intents AS i ON i.id = a.intent_id AND i.kind = a.kind
ORDER BY at, what, farmer
""")

_CHANGES = text("""
SELECT e.created_at AS at, e.event_type AS what, f.wallet_address AS farmer, e.pooler_id AS pooler, e.data AS details
FROM block_events AS e
LEFT JOIN farmers AS f ON f.id = e.farmer_id
WHERE e.block_index IS NULL AND (CAST(:farmer_id AS uuid) IS NULL OR e.farmer_id = :farmer_id)
ORDER BY e.id DESC LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class TrailLine:
    """An event of the audit trail, or a transaction that was tried."""

    at: datetime
    what: str
    farmer: str | None
    """The farmer's address."""
    pooler: str | None
    details: dict[str, Any]
    """Ids, amounts in stroops, ledgers, hashes, reasons."""


async def block_trail(database: Database, block_index: int) -> list[TrailLine]:
    """The events and attempts of a block."""
    async with database.transaction() as connection:
        rows = (await connection.execute(_LINES, {"block_index": block_index})).all()
    return [TrailLine(*row) for row in rows]


async def change_trail(database: Database, farmer_id: UUID | None, most: int) -> list[TrailLine]:
    """The last changes of rights, settings and withdrawals, of all or of one farmer, at most so many; oldest first."""
    async with database.transaction() as connection:
        rows = (await connection.execute(_CHANGES, {"farmer_id": farmer_id, "most": most})).all()
    return [TrailLine(*row) for row in reversed(rows)]
