"""What was booked of a farmer in a period."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.database import Database
from backend.domain.statement import MAX_ENTRIES, Amounts, StatementEntry
from backend.errors import InvalidRequestError, PeriodOpenError, UnknownFarmerError
from backend.ports.statements import BookedPeriod

_FARMER = text("SELECT wallet_address, created_at FROM farmers WHERE id = :farmer_id")
# Rows bear the time at which their transaction began: before the oldest one that is under way nothing can be added.
_COMPLETE_UNTIL = text("""
SELECT least(now(), min(a.xact_start)) FROM pg_stat_activity AS a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
""")
_BALANCES = text("""
SELECT a.kind, coalesce(sum(p.amount) FILTER (WHERE t.created_at < :time), 0) AS balance
FROM money_accounts AS a
LEFT JOIN money_postings AS p ON p.account_id = a.id
LEFT JOIN money_transfers AS t ON t.id = p.transfer_id
WHERE a.farmer_id = :farmer_id
GROUP BY a.kind
""")
_FEE = """
coalesce(
    (SELECT a.fee_charged FROM attempts AS a WHERE a.hash = {hash}),
    (
        SELECT a.fee_charged FROM attempt_bumps AS b INNER JOIN attempts AS a ON a.hash = b.attempt_hash
        WHERE b.hash = {hash}
    )
)
"""
# Plants and harvests of nothing move nothing, so they are not in the books; they happened all the same.
_ENTRIES = text(f"""
SELECT * FROM (
    SELECT
        t.id AS number, t.created_at AS booked_at, t.kind, t.ledger_sequence, t.block_index,
        encode(t.transaction_hash, 'hex') AS transaction_hash, t.counterparty, t.memo, t.reason,
        {_FEE.format(hash="t.transaction_hash")} AS fee,
        (
            SELECT jsonb_object_agg(l.kind, CAST(l.amount AS text)) FROM (
                SELECT a.kind, sum(p.amount) AS amount
                FROM money_postings AS p INNER JOIN money_accounts AS a ON a.id = p.account_id
                WHERE p.transfer_id = t.id GROUP BY a.kind
            ) AS l
        ) AS amounts
    FROM money_transfers AS t
    WHERE t.farmer_id = :farmer_id AND t.created_at >= :begins AND t.created_at < :ends
    UNION ALL
    SELECT
        0, p.confirmed_at, 'stake', p.ledger_sequence, p.block_index, p.transaction_hash, NULL, NULL, NULL,
        {_FEE.format(hash="decode(p.transaction_hash, 'hex')")}, '{{}}'
    FROM plant_transactions AS p
    WHERE p.farmer_id = :farmer_id AND p.stake_amount = 0 AND p.confirmed_at >= :begins AND p.confirmed_at < :ends
    UNION ALL
    SELECT
        0, h.confirmed_at, 'harvest', h.ledger_sequence, h.block_index, h.transaction_hash, NULL, NULL, NULL,
        {_FEE.format(hash="decode(h.transaction_hash, 'hex')")}, '{{}}'
    FROM harvest_transactions AS h
    WHERE h.farmer_id = :farmer_id AND h.status = 'confirmed' AND h.stake_amount + h.reward_amount = 0
    AND h.confirmed_at >= :begins AND h.confirmed_at < :ends
) AS e
ORDER BY e.booked_at, e.number, e.block_index
LIMIT {MAX_ENTRIES + 1}
""")  # noqa: S608 - the query is put together from constants


class SqlStatementStore:
    """See backend.ports.statements.StatementStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def period(self, farmer_id: UUID, begins: datetime | None, ends: datetime | None) -> BookedPeriod:
        """What was booked of a farmer from `begins` to before `ends`; see the port."""
        async with self._database.transaction() as connection:
            complete: datetime = (await connection.execute(_COMPLETE_UNTIL)).scalar_one()
            # From here on every statement sees all that was booked before `complete`.
            farmer = (await connection.execute(_FARMER, {"farmer_id": farmer_id})).one_or_none()
            if farmer is None:
                raise UnknownFarmerError(farmer_id)
            first, last = begins or farmer.created_at, ends or complete
            if last > complete:
                raise PeriodOpenError(last, complete)
            if first > last:
                raise InvalidRequestError("from", "the period begins after it ends")
            values = {"farmer_id": farmer_id, "begins": first, "ends": last}
            rows = (await connection.execute(_ENTRIES, values)).all()
            if len(rows) > MAX_ENTRIES:
                raise InvalidRequestError("from", f"the period has over {MAX_ENTRIES} entries; ask for parts of it")
            opening = await _balances(connection, farmer_id, first)
            closing = await _balances(connection, farmer_id, last)
        return BookedPeriod(farmer.wallet_address, first, last, opening, closing, [_entry(row) for row in rows])


async def _balances(connection: AsyncConnection, farmer_id: UUID, time: datetime) -> Amounts:
    rows = await connection.execute(_BALANCES, {"farmer_id": farmer_id, "time": time})
    return {row.kind: int(row.balance) for row in rows}


def _entry(row: Row[Any]) -> StatementEntry:
    amounts: Mapping[str, str] = row.amounts or {}
    return StatementEntry(
        booked_at=row.booked_at,
        kind=row.kind,
        amounts={name: int(stroops) for name, stroops in amounts.items()},
        ledger=row.ledger_sequence,
        block=row.block_index,
        transaction=row.transaction_hash,
        counterparty=row.counterparty,
        memo=row.memo,
        reason=row.reason,
        fee=row.fee,
    )
