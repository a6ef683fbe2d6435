"""Harvests: pending from the moment their plants are confirmed."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text

from backend.db.attempts import insert_attempts
from backend.db.database import Database
from backend.domain.attempt import Attempt
from backend.domain.harvest import HarvestState, KnownHarvest, OpenPail
from backend.domain.life import PailLife
from backend.ports.chain import PailKey
from kale_chain.planning.inputs import LossHistory

# Who leaves the pool does not wait for more blocks than it must.
_AFTER_BLOCKS = """
    CASE
        WHEN EXISTS (
            SELECT FROM withdrawals AS w
            WHERE w.farmer_id = f.id AND w.kind = 'exit' AND w.status = 'requested'
        ) THEN 1
        ELSE f.harvest_after_blocks
    END AS harvest_after_blocks
"""
_OPEN_PAILS = text(f"""
SELECT
    h.id, h.farmer_id, h.wallet_address, h.block_index, h.stake_amount, h.planted_ledger, h.live_until,
    {_AFTER_BLOCKS}
FROM harvest_transactions AS h
INNER JOIN farmers AS f ON f.id = h.farmer_id
WHERE h.status = 'pending' AND NOT EXISTS (
    SELECT FROM attempts AS a WHERE a.kind = 'harvest' AND a.intent_id = h.id AND a.status = 'open'
)
ORDER BY h.created_at, h.id
""")  # noqa: S608 - the query is put together from constants
_SET_LIVES = text("""
WITH before AS (
    SELECT id, live_until FROM harvest_transactions
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' ORDER BY id FOR UPDATE
), changed AS (
    UPDATE harvest_transactions AS h
    SET live_until = r.live_until
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, live_until bigint)
    INNER JOIN before AS b ON b.id = r.id
    WHERE h.id = r.id AND b.live_until IS DISTINCT FROM r.live_until
    RETURNING h.block_index, h.stake_amount, h.live_until, b.live_until AS before
)
INSERT INTO block_events (block_index, event_type, data)
SELECT
    block_index,
    'life_extended',
    jsonb_build_object('pails', count(*), 'stake_amount', sum(stake_amount), 'live_until', min(live_until))
FROM changed WHERE live_until > before GROUP BY block_index ORDER BY block_index
""")
_UNHARVESTED = text(f"""
SELECT
    h.id, h.farmer_id, h.wallet_address, h.block_index, h.stake_amount, h.planted_ledger, h.live_until,
    {_AFTER_BLOCKS}, h.alarm_percent
FROM harvest_transactions AS h
INNER JOIN farmers AS f ON f.id = h.farmer_id
WHERE h.status = 'pending'
ORDER BY h.live_until ASC NULLS LAST, h.created_at, h.id
""")  # noqa: S608 - likewise
_SET_ALARMS = text("""
WITH before AS (
    SELECT id, alarm_percent FROM harvest_transactions
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' ORDER BY id FOR UPDATE
), changed AS (
    UPDATE harvest_transactions AS h
    SET alarm_percent = r.percent
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, percent smallint)
    INNER JOIN before AS b ON b.id = r.id
    WHERE h.id = r.id AND b.alarm_percent <> r.percent
    RETURNING h.block_index, h.stake_amount, h.alarm_percent, b.alarm_percent AS before
)
INSERT INTO block_events (block_index, event_type, data)
SELECT
    block_index,
    'life_alarm',
    jsonb_build_object('percent', alarm_percent, 'pails', count(*), 'stake_amount', sum(stake_amount))
FROM changed WHERE alarm_percent > before GROUP BY block_index, alarm_percent ORDER BY block_index, alarm_percent
""")
_KNOWN = text("""
SELECT wallet_address, block_index, id, status
FROM harvest_transactions WHERE block_index = ANY(CAST(:blocks AS bigint[]))
""")
_LOSSES = text("""
SELECT count(*) AS planted, count(*) FILTER (WHERE status = 'lost') AS lost
FROM harvest_transactions WHERE block_index >= :since AND status <> 'pending'
""")
_LAST_KNOWN = text("""
SELECT greatest(
    (SELECT max(greatest(created_ledger, result_ledger)) FROM attempts),
    (SELECT ledger_sequence FROM chain_cursor)
)
""")


async def last_known_ledger(database: Database) -> int:
    """The last closed ledger that the rows know of; 0 if they know none."""
    async with database.transaction() as connection:
        return int(await connection.scalar(_LAST_KNOWN) or 0)


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
        """Stores the last ledger in which pails live, by harvest id; records life_extended."""
        rows = [{"id": str(harvest_id), "live_until": ledger} for harvest_id, ledger in live_until.items()]
        async with self._database.transaction() as connection:
            await connection.execute(_SET_LIVES, {"rows": json.dumps(rows), "ids": list(live_until)})

    async def unharvested(self) -> list[PailLife]:
        """Every pending harvest, shortest life first, those of unknown life last."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_UNHARVESTED)).all()
        return [PailLife(OpenPail(*pail), alarm_percent) for *pail, alarm_percent in rows]

    async def set_alarms(self, percents: Mapping[UUID, int]) -> None:
        """Stores the alarms of pending harvests, by harvest id; records life_alarm where one is higher than before."""
        rows = [{"id": str(harvest_id), "percent": percent} for harvest_id, percent in percents.items()]
        async with self._database.transaction() as connection:
            await connection.execute(_SET_ALARMS, {"rows": json.dumps(rows), "ids": list(percents)})

    async def known(self, blocks: Sequence[int]) -> Mapping[PailKey, KnownHarvest]:
        """Every harvest of these blocks, whatever its state."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_KNOWN, {"blocks": list(blocks)})).all()
        return {(row.wallet_address, row.block_index): KnownHarvest(row.id, HarvestState(row.status)) for row in rows}

    async def losses(self, since_block: int) -> LossHistory:
        """How many pails of this block and later ones have come to an end, and how many of them were lost."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_LOSSES, {"since": since_block})).one()
        return LossHistory(row.planted, row.lost)
