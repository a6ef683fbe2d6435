"""Quarantines: while one is open the database refuses every attempt."""

from collections.abc import Sequence

from sqlalchemy import text

from backend.db.database import Database
from backend.domain.lease import Quarantine

_OPEN = text("""
SELECT id, reason, known_ledger, began_ledger, until_ledger FROM quarantines WHERE ended_at IS NULL ORDER BY id
""")
_BEGIN = text("""
INSERT INTO quarantines (epoch, reason, known_ledger)
SELECT l.epoch, :reason, (SELECT max(greatest(a.created_ledger, a.result_ledger)) FROM attempts AS a)
FROM lease AS l
""")
_DATE = text("""
WITH dated AS (
    UPDATE quarantines SET began_ledger = :ledger, until_ledger = :until_ledger
    WHERE id = :id AND until_ledger IS NULL AND ended_at IS NULL
    RETURNING id, reason
)
INSERT INTO block_events (block_index, event_type, data)
SELECT
    :block_index, 'quarantine_began',
    jsonb_build_object(
        'quarantine_id', d.id, 'reason', d.reason, 'ledger_sequence', CAST(:ledger AS bigint),
        'until_ledger', CAST(:until_ledger AS bigint)
    )
FROM dated AS d
""")
_END = text("""
WITH ended AS (
    UPDATE quarantines SET ended_at = now(), ended_ledger = :ledger
    WHERE id = ANY(CAST(:ids AS bigint[])) AND ended_at IS NULL
    RETURNING id
)
INSERT INTO block_events (block_index, event_type, data)
SELECT
    :block_index, 'quarantine_ended',
    jsonb_build_object('quarantine_id', e.id, 'ledger_sequence', CAST(:ledger AS bigint))
FROM ended AS e ORDER BY e.id
""")


class SqlQuarantineStore:
    """See backend.ports.lease.QuarantineStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> list[Quarantine]:
        """Those that have not ended, oldest first."""
        async with self._database.transaction() as connection:
            return [Quarantine(*row) for row in await connection.execute(_OPEN)]

    async def begin(self, reason: str) -> None:
        """Begins one."""
        async with self._database.transaction() as connection:
            await connection.execute(_BEGIN, {"reason": reason})

    async def date(self, quarantine: Quarantine, *, ledger: int, until_ledger: int, block_index: int) -> None:
        """Stores in which ledger one began and until which it lasts, once, and records quarantine_began."""
        values = {
            "id": quarantine.quarantine_id,
            "ledger": ledger,
            "until_ledger": until_ledger,
            "block_index": block_index,
        }
        async with self._database.transaction() as connection:
            await connection.execute(_DATE, values)

    async def end(self, quarantines: Sequence[Quarantine], *, ledger: int, block_index: int) -> None:
        """Ends dated ones as of a ledger that was read, and records quarantine_ended."""
        ids = [quarantine.quarantine_id for quarantine in quarantines]
        async with self._database.transaction() as connection:
            await connection.execute(_END, {"ids": ids, "ledger": ledger, "block_index": block_index})
