"""Harvests: pending from the moment their plants are confirmed."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text

from backend.db.attempts import insert_attempts
from backend.db.database import Database
from backend.domain.attempt import Attempt
from backend.domain.harvest import OpenPail

_OPEN_PAILS = text("""
SELECT
    h.id, h.farmer_id, h.wallet_address, h.block_index, h.stake_amount, h.planted_ledger, h.live_until,
    f.harvest_after_blocks
FROM harvest_transactions AS h
INNER JOIN farmers AS f ON f.id = h.farmer_id
WHERE h.status = 'pending' AND NOT EXISTS (
    SELECT FROM attempts AS a WHERE a.kind = 'harvest' AND a.intent_id = h.id AND a.status = 'open'
)
ORDER BY h.created_at, h.id
""")
_SET_LIVES = text("""
UPDATE harvest_transactions AS h
SET live_until = r.live_until
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, live_until bigint)
WHERE h.id = r.id AND h.status = 'pending' AND h.live_until IS DISTINCT FROM r.live_until
""")


class SqlHarvestStore:
    """See backend.ports.stores.HarvestStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_pails(self) -> list[OpenPail]:
        """Pending harvests without an open attempt."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_OPEN_PAILS)).all()
        return [OpenPail(*row) for row in rows]

    async def begin(self, attempts: Sequence[Attempt]) -> None:
        """Stores attempts (kind HARVEST) of pending harvests."""
        async with self._database.transaction() as connection:
            await insert_attempts(connection, attempts, fence=self._database.fence)

    async def set_lives(self, live_until: Mapping[UUID, int]) -> None:
        """Stores the last ledger in which pails live, by harvest id."""
        rows = [{"id": str(harvest_id), "live_until": ledger} for harvest_id, ledger in live_until.items()]
        async with self._database.transaction() as connection:
            await connection.execute(_SET_LIVES, {"rows": json.dumps(rows)})
