"""What every confirmed plant brings about, whoever found it: its harvest, its farmer's turn, its number in requests."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.database import lock_farmers, select_ids

_OPEN_HARVESTS = text("""
INSERT INTO harvest_transactions (block_index, farmer_id, wallet_address, stake_amount, planted_ledger)
SELECT block_index, farmer_id, wallet_address, stake_amount, ledger_sequence
FROM plant_transactions WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY block_index, farmer_id
ON CONFLICT (block_index, farmer_id) DO NOTHING
RETURNING id
""")
_FARMERS_OF_PLANTS = text("SELECT farmer_id FROM plant_transactions WHERE id = ANY(CAST(:ids AS uuid[]))")
_MARK_PLANTED = text("""
UPDATE farmers AS f
SET last_planted_block = p.block_index
FROM (
    SELECT farmer_id, max(block_index) AS block_index
    FROM plant_transactions WHERE id = ANY(CAST(:ids AS uuid[])) GROUP BY farmer_id
) AS p
WHERE f.id = p.farmer_id AND (f.last_planted_block IS NULL OR f.last_planted_block < p.block_index)
""")
# A statement of its own: the next one must see the numbers given by whoever held the lock before.
_LOCK_REQUESTS = text("""
SELECT request_id FROM plant_requests
WHERE request_id IN (
    SELECT request_id FROM plant_request_plants WHERE plant_id = ANY(CAST(:ids AS uuid[])) AND number IS NULL
)
ORDER BY request_id FOR UPDATE
""")
_NUMBER_PLANTS = text("""
UPDATE plant_request_plants AS target
SET number = n.number
FROM (
    SELECT
        rp.request_id,
        rp.plant_id,
        coalesce((SELECT max(o.number) FROM plant_request_plants AS o WHERE o.request_id = rp.request_id), 0)
        + row_number() OVER (PARTITION BY rp.request_id ORDER BY given.position) AS number
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS given (plant_id, position)
    INNER JOIN plant_request_plants AS rp ON rp.plant_id = given.plant_id
    WHERE rp.number IS NULL
) AS n
WHERE target.request_id = n.request_id AND target.plant_id = n.plant_id
""")


async def open_harvests(connection: AsyncConnection, plant_ids: Sequence[UUID]) -> list[UUID]:
    """Stores the pending harvests of confirmed plants and marks their farmers as planted; the ids of the new ones."""
    opened = await select_ids(connection, _OPEN_HARVESTS, {"ids": plant_ids})
    await lock_farmers(connection, await select_ids(connection, _FARMERS_OF_PLANTS, {"ids": plant_ids}))
    await connection.execute(_MARK_PLANTED, {"ids": plant_ids})
    return opened


async def number_plants(connection: AsyncConnection, plant_ids: Sequence[UUID]) -> None:
    """Gives final plants the next numbers of their requests, in the order given."""
    await connection.execute(_LOCK_REQUESTS, {"ids": plant_ids})
    await connection.execute(_NUMBER_PLANTS, {"ids": plant_ids})
