"""Blocks as poolers detected them, and sums over the rows."""

from collections.abc import AsyncIterator

from sqlalchemy import text

from backend.db.database import Database
from backend.domain.audit import ChainHead, Link
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

_SEALED_AT_ONCE = 1000
_LINKS_AT_ONCE = 5000
_SEAL = text("SELECT seal_block_events(:most)")
_HEAD = text("SELECT number, hash FROM block_event_links ORDER BY number DESC LIMIT 1")
_WAITING = text("SELECT EXISTS (SELECT FROM block_event_queue)")
# The content is put together here as well, not by the database's function, which could have been exchanged.
_LINKS = text("""
SELECT
    l.number, l.event_id,
    CAST(jsonb_build_array(
        e.id, e.block_index, e.event_type, e.farmer_id, e.pooler_id, e.data,
        CAST(extract(EPOCH FROM e.created_at) * 1000000 AS bigint)
    ) AS text) AS content,
    l.previous_hash, l.hash
FROM block_event_links AS l
LEFT JOIN block_events AS e ON e.id = l.event_id
WHERE l.number > :after
ORDER BY l.number LIMIT :most
""")
_UNSEALED = text("""
SELECT count(*) FROM block_events AS e
WHERE NOT EXISTS (SELECT FROM block_event_links AS l WHERE l.event_id = e.id)
AND NOT EXISTS (SELECT FROM block_event_queue AS q WHERE q.event_id = e.id)
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

    async def seal(self) -> ChainHead:
        """Adds every committed event to the audit chain that is not in it yet; returns the chain's head."""
        while True:
            async with self._database.transaction() as connection:
                waiting = await connection.scalar(_WAITING)
                if waiting:
                    await connection.execute(_SEAL, {"most": _SEALED_AT_ONCE})
                row = (await connection.execute(_HEAD)).one_or_none()
            if not waiting:
                return ChainHead(0) if row is None else ChainHead(row.number, row.hash)

    async def links(self) -> AsyncIterator[Link]:
        """The audit chain from its first link on."""
        after = 0
        while True:
            async with self._database.transaction() as connection:
                rows = (await connection.execute(_LINKS, {"after": after, "most": _LINKS_AT_ONCE})).all()
            for row in rows:
                yield Link(*row)
                after = row.number
            if not rows:
                return

    async def unsealed(self) -> int:
        """Events that are neither in the chain nor waiting for it."""
        async with self._database.transaction() as connection:
            return int(await connection.scalar(_UNSEALED) or 0)
