"""What farmers earned and cost over some blocks, from the money ledger."""

from sqlalchemy import text

from backend.db.database import Database
from backend.domain.earning import Earnings
from backend.domain.work import BACKSTOP_POOLER

# Blocks whose pails are not harvested yet are left out: they have cost something and brought nothing so far.
_EARNINGS = text("""
WITH ended AS (
    SELECT p.id, p.farmer_id, p.block_index, h.id AS harvest_id
    FROM plant_transactions AS p
    LEFT JOIN harvest_transactions AS h ON h.block_index = p.block_index AND h.farmer_id = p.farmer_id
    WHERE
        p.block_index > (SELECT max(l.block_index) FROM plant_transactions AS l) - :blocks
        AND (p.status = 'failed' OR h.status <> 'pending')
), moved AS (
    SELECT e.farmer_id,
        coalesce(-sum(m.amount) FILTER (WHERE a.kind = 'mint'), 0) AS rewards,
        coalesce(sum(m.amount) FILTER (WHERE a.kind = 'loss'), 0) AS lost
    FROM ended AS e
    INNER JOIN money_transfers AS t
        ON t.farmer_id = e.farmer_id AND t.block_index = e.block_index
        AND t.kind IN ('harvest', 'loss', 'reopened')
    INNER JOIN money_postings AS m ON m.transfer_id = t.id
    INNER JOIN money_accounts AS a ON a.id = m.account_id
    GROUP BY e.farmer_id
), intents AS (
    SELECT e.farmer_id, e.id AS intent_id FROM ended AS e
    UNION ALL
    SELECT e.farmer_id, e.harvest_id FROM ended AS e WHERE e.harvest_id IS NOT NULL
    UNION ALL
    SELECT e.farmer_id, w.id FROM ended AS e
    INNER JOIN work_results AS w
        ON w.block_index = e.block_index AND w.farmer_id = e.farmer_id AND w.pooler_id = :backstop
), charged AS (
    SELECT i.farmer_id, sum(m.amount) AS fees
    FROM intents AS i
    INNER JOIN attempts AS x ON x.intent_id = i.intent_id
    INNER JOIN money_transfers AS t ON t.transaction_hash = x.hash AND t.kind = 'fee'
    INNER JOIN money_postings AS m ON m.transfer_id = t.id AND m.amount > 0
    GROUP BY i.farmer_id
), counted AS (
    SELECT e.farmer_id, count(*) AS blocks,
        count(*) FILTER (
            WHERE EXISTS (
                SELECT FROM work_results AS w
                WHERE
                    w.block_index = e.block_index AND w.farmer_id = e.farmer_id AND w.pooler_id <> :backstop
                    AND w.status = 'success'
            )
        ) AS reported
    FROM ended AS e GROUP BY e.farmer_id
)
SELECT
    f.id, f.wallet_address, coalesce(c.blocks, 0) AS blocks, coalesce(m.rewards, 0) AS rewards,
    coalesce(m.lost, 0) AS lost, coalesce(x.fees, 0) AS fees, coalesce(c.reported, 0) AS reported
FROM farmers AS f
LEFT JOIN counted AS c ON c.farmer_id = f.id
LEFT JOIN moved AS m ON m.farmer_id = f.id
LEFT JOIN charged AS x ON x.farmer_id = f.id
WHERE f.status = 'active' OR c.farmer_id IS NOT NULL
ORDER BY f.created_at, f.id
""")


async def farmer_earnings(database: Database, blocks: int) -> list[Earnings]:
    """What each farmer earned and cost in the last so many blocks that anybody was planted in, oldest farmers first.

    Those who are not active and had no part in these blocks are missing.
    """
    values = {"blocks": blocks, "backstop": BACKSTOP_POOLER}
    async with database.transaction() as connection:
        rows = (await connection.execute(_EARNINGS, values)).all()
    return [
        Earnings(
            farmer_id=row.id,
            address=row.wallet_address,
            blocks=row.blocks,
            reward_stroops=int(row.rewards),
            lost_stroops=int(row.lost),
            fee_stroops=int(row.fees),
            reported_pails=row.reported,
        )
        for row in rows
    ]
