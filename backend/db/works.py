"""Work results: poolers' reports, and the backend's own work."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.attempts import insert_attempts
from backend.db.audit import record_works
from backend.db.database import Database, select_ids
from backend.domain.work import BACKSTOP_POOLER, WorkReport, WorkState, supersedes
from backend.errors import StoreConflictError, UnknownFarmerError
from backend.ports.stores import BackstopWork, UnverifiedWork, UnworkedPail

_PLANTED_ADDRESS = text("""
SELECT
    f.wallet_address,
    EXISTS (
        SELECT FROM plant_transactions AS p
        WHERE p.block_index = :block_index AND p.farmer_id = f.id AND p.status = 'confirmed'
    ) AS planted
FROM farmers AS f WHERE f.id = :farmer_id
""")
_REPORT_KNOWN = text("SELECT EXISTS (SELECT FROM work_results WHERE report_id = :report_id)")
_INSERT = text("""
INSERT INTO work_results (
    report_id, block_index, farmer_id, wallet_address, pooler_id, work_hash, nonce, zeros, gap, transaction_hash,
    ledger_sequence, status, error_reason, error_message, completed_at
)
SELECT
    :report_id, :block_index, f.id, f.wallet_address, :pooler_id, :work_hash, CAST(:nonce AS numeric), :zeros, :gap,
    :transaction_hash, :ledger, :status, :reason, :message, CASE WHEN :completed THEN now() END
FROM farmers AS f WHERE f.id = :farmer_id
ON CONFLICT DO NOTHING
RETURNING id
""")
_LOCK = text("""
SELECT id, status, zeros FROM work_results
WHERE block_index = :block_index AND farmer_id = :farmer_id AND pooler_id = :pooler_id FOR UPDATE
""")
_REPLACE = text("""
UPDATE work_results
SET
    report_id = :report_id, work_hash = :work_hash, nonce = CAST(:nonce AS numeric), zeros = :zeros, gap = :gap,
    transaction_hash = :transaction_hash, ledger_sequence = :ledger, status = :status, error_reason = :reason,
    error_message = :message, completed_at = CASE WHEN :completed THEN now() END
WHERE id = :id
""")
_UNVERIFIED = text("""
SELECT id, wallet_address, block_index, decode(work_hash, 'hex') AS work_hash
FROM work_results WHERE status = 'unverified' ORDER BY created_at, id
""")
_UNWORKED = text("""
SELECT h.farmer_id, h.wallet_address, h.block_index, h.stake_amount
FROM harvest_transactions AS h
WHERE h.block_index = :block_index AND h.status = 'pending' AND NOT EXISTS (
    SELECT FROM work_results AS w
    INNER JOIN attempts AS a ON a.intent_id = w.id AND a.kind = 'work' AND a.status IN ('open', 'succeeded')
    WHERE w.block_index = h.block_index AND w.farmer_id = h.farmer_id AND w.pooler_id = :pooler_id
)
ORDER BY h.stake_amount DESC, h.created_at, h.id
""")
_BEGIN = text("""
INSERT INTO work_results AS w (
    id, block_index, farmer_id, wallet_address, pooler_id, work_hash, nonce, zeros, status
)
SELECT r.id, r.block_index, r.farmer_id, f.wallet_address, :pooler_id, r.work_hash, r.nonce, r.zeros, 'pending'
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    id uuid, block_index bigint, farmer_id uuid, work_hash text, nonce numeric, zeros smallint
)
INNER JOIN farmers AS f ON f.id = r.farmer_id
ORDER BY r.block_index, r.farmer_id
ON CONFLICT (block_index, farmer_id, pooler_id) DO UPDATE
SET
    status = 'pending', work_hash = excluded.work_hash, nonce = excluded.nonce, zeros = excluded.zeros,
    error_reason = NULL, error_message = NULL, completed_at = NULL
WHERE w.id = excluded.id
RETURNING id
""")
_BACKSTOP_IDS = text("""
SELECT farmer_id, id FROM work_results WHERE block_index = :block_index AND pooler_id = :pooler_id
""")


class SqlWorkStore:
    """See backend.ports.stores.WorkStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def planted_address(self, block_index: int, farmer_id: UUID) -> str | None:
        """The farmer's address if the pool has a CONFIRMED plant of it in the block. Raises UnknownFarmerError."""
        values = {"block_index": block_index, "farmer_id": farmer_id}
        async with self._database.transaction() as connection:
            row = (await connection.execute(_PLANTED_ADDRESS, values)).one_or_none()
        if row is None:
            raise UnknownFarmerError(farmer_id)
        address: str = row.wallet_address
        return address if row.planted else None

    async def record(self, report: WorkReport) -> bool:
        """Stores a checked report and records it; False if it is a duplicate. Raises UnknownFarmerError."""
        async with self._database.transaction() as connection:
            if await connection.scalar(_REPORT_KNOWN, {"report_id": report.report_id}):
                return False
            inserted = await select_ids(connection, _INSERT, _values(report))
            work_id = inserted[0] if inserted else await self._replace(connection, report)
            if work_id is None:
                return False
            await record_works(connection, [work_id])
            return True

    async def _replace(self, connection: AsyncConnection, report: WorkReport) -> UUID | None:
        """Puts a better report into the row of an earlier one; None if it is no better."""
        row = (await connection.execute(_LOCK, _values(report))).one_or_none()
        if row is None:
            # No row of this farmer stood in the way: either there is no such farmer, or the same report id arrived
            # at the same moment for another one.
            if await connection.scalar(_REPORT_KNOWN, {"report_id": report.report_id}):
                return None
            raise UnknownFarmerError(report.farmer_id)
        if not supersedes(WorkState(row.status), row.zeros, report):
            return None
        await connection.execute(_REPLACE, {**_values(report), "id": row.id})
        work_id: UUID = row.id
        return work_id

    async def unverified(self) -> list[UnverifiedWork]:
        """Reports still in state UNVERIFIED."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_UNVERIFIED)).all()
        return [UnverifiedWork(row.id, row.wallet_address, row.block_index, row.work_hash) for row in rows]

    async def unworked(self, block_index: int) -> list[UnworkedPail]:
        """Unharvested pails of the block without an open or succeeded attempt of kind WORK, the highest stake first."""
        values = {"block_index": block_index, "pooler_id": BACKSTOP_POOLER}
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_UNWORKED, values)).all()
        return [UnworkedPail(*row) for row in rows]

    async def begin(self, works: Sequence[BackstopWork]) -> None:
        """Stores works and their attempts; the row of an earlier backstop is used again.

        Raises:
            StoreConflictError: another row of the backend's own work is there, or its work has succeeded.
        """
        rows = [
            {
                "id": str(work.work_id),
                "block_index": work.block_index,
                "farmer_id": str(work.farmer_id),
                "work_hash": work.work_hash.hex(),
                "nonce": work.nonce,
                "zeros": work.zeros,
            }
            for work in works
        ]
        async with self._database.transaction() as connection:
            values = {"rows": json.dumps(rows), "pooler_id": BACKSTOP_POOLER}
            stored = await select_ids(connection, _BEGIN, values)
            if len(stored) != len(works):
                raise StoreConflictError("a farmer has work of the backend's own in this block under another id")
            await insert_attempts(connection, [work.attempt for work in works], fence=self._database.fence)

    async def backstop_ids(self, block_index: int) -> Mapping[UUID, UUID]:
        """Ids of the backend's own work rows of a block, by farmer id."""
        values = {"block_index": block_index, "pooler_id": BACKSTOP_POOLER}
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_BACKSTOP_IDS, values)).all()
        return {row.farmer_id: row.id for row in rows}


def _values(report: WorkReport) -> dict[str, object]:
    failure = report.failure
    return {
        "report_id": report.report_id,
        "block_index": report.block_index,
        "farmer_id": report.farmer_id,
        "pooler_id": report.pooler_id,
        "work_hash": report.work_hash.hex() if report.work_hash else None,
        "nonce": report.nonce,
        "zeros": report.zeros,
        "gap": report.gap,
        "transaction_hash": report.transaction_hash,
        "ledger": report.ledger,
        "status": report.state,
        "reason": failure.reason if failure else None,
        "message": failure.message if failure else None,
        "completed": report.state not in (WorkState.PENDING, WorkState.UNVERIFIED),
    }
