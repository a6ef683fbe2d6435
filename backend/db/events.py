"""Blocks as poolers detected them, and sums over the rows."""

from sqlalchemy import text

from backend.db.database import Database
from backend.ports.stores import PoolCounts

_RECORD_BLOCK = text("""
INSERT INTO block_events (block_index, event_type, pooler_id, data)
VALUES (
    :block_index, 'detected', :pooler_id,
    jsonb_build_object('opened_at', CAST(:opened_at AS bigint), 'ledger_sequence', CAST(:ledger AS bigint))
)
ON CONFLICT (block_index, pooler_id) WHERE event_type = 'detected' DO NOTHING
RETURNING id
""")
_COUNTS = text("""
SELECT
    (SELECT count(*) FROM farmers WHERE status = 'active') AS active_farmers,
    count(*) AS planted,
    count(*) FILTER (WHERE NOT EXISTS (
        SELECT FROM work_results AS w
        WHERE w.block_index = p.block_index AND w.farmer_id = p.farmer_id AND w.status IN ('success', 'unverified')
    )) AS unworked,
    (SELECT count(*) FROM harvest_transactions WHERE status = 'pending') AS open_pails,
    (SELECT count(*) FROM attempts WHERE status = 'open') AS open_attempts
FROM plant_transactions AS p
WHERE p.block_index = :block_index AND p.status = 'confirmed'
""")


class SqlEventStore:
    """See backend.ports.stores.EventStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_block(self, block_index: int, pooler_id: str, *, opened_at: int, ledger: int) -> bool:
        """Records that a pooler detected a block; False if it had before."""
        values = {"block_index": block_index, "pooler_id": pooler_id, "opened_at": opened_at, "ledger": ledger}
        async with self._database.transaction() as connection:
            return (await connection.execute(_RECORD_BLOCK, values)).one_or_none() is not None

    async def counts(self, block_index: int) -> PoolCounts:
        """Sums for the status."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_COUNTS, {"block_index": block_index})).one()
        return PoolCounts(row.active_farmers, row.planted, row.unworked, row.open_pails, row.open_attempts)
