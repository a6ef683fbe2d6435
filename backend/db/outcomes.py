"""What became of every farmer in a block, and whose it is what failed."""

from dataclasses import dataclass

from sqlalchemy import text

from backend.db.database import Database

# The latest attribution of a row counts, and only while the row is still as it was then.
_OUTCOMES = text("""
SELECT
    f.wallet_address AS farmer, p.status AS plant, p.stake_amount AS stake_stroops, w.zeros,
    coalesce(h.status, '') AS harvest, h.reward_amount AS reward_stroops,
    coalesce(b.subject, '') AS failed, coalesce(b.reason, '') AS reason, coalesce(b.cause, '') AS cause,
    coalesce(b.owner, '') AS owner
FROM plant_transactions AS p
INNER JOIN farmers AS f ON f.id = p.farmer_id
LEFT JOIN harvest_transactions AS h ON h.block_index = p.block_index AND h.farmer_id = p.farmer_id
LEFT JOIN LATERAL (
    SELECT max(r.zeros) AS zeros FROM work_results AS r
    WHERE r.block_index = p.block_index AND r.farmer_id = p.farmer_id AND r.status IN ('success', 'unverified')
) AS w ON true
LEFT JOIN LATERAL (
    SELECT DISTINCT ON (a.row_id) a.subject, a.reason, a.cause, a.owner
    FROM attributions AS a
    WHERE a.block_index = p.block_index AND a.farmer_id = p.farmer_id AND (
        (a.subject = 'plant' AND p.status = 'failed')
        OR (a.subject = 'harvest' AND h.status IN ('failed', 'lost'))
        OR (a.subject = 'work' AND EXISTS (
            SELECT FROM work_results AS r WHERE r.id = a.row_id AND r.status IN ('failed', 'timeout')
        ))
    )
    ORDER BY a.row_id, a.id DESC
) AS b ON true
WHERE p.block_index = :block_index
ORDER BY f.created_at, f.id, b.subject
""")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a farmer in a block; a line for each of its failures, or one without."""

    farmer: str
    plant: str
    stake_stroops: int
    zeros: int | None
    harvest: str
    reward_stroops: int | None
    failed: str
    """plant, work, harvest, or empty where nothing failed."""
    reason: str
    cause: str
    owner: str


async def block_outcomes(database: Database, block_index: int) -> list[Outcome]:
    """The outcomes of a block, by the farmers' age."""
    async with database.transaction() as connection:
        return [Outcome(*row) for row in await connection.execute(_OUTCOMES, {"block_index": block_index})]
