"""The audit trail: what is recorded in block_events of rows that have just changed."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_PLANTS = text("""
INSERT INTO block_events (block_index, event_type, farmer_id, pooler_id, data)
SELECT
    p.block_index,
    CASE p.status WHEN 'confirmed' THEN 'planted' ELSE 'plant_failed' END,
    p.farmer_id,
    p.pooler_id,
    jsonb_strip_nulls(jsonb_build_object(
        'plant_id', p.id, 'stake_amount', p.stake_amount, 'ledger_sequence', p.ledger_sequence,
        'transaction_hash', p.transaction_hash, 'error_reason', p.error_reason, 'error_message', p.error_message
    ))
FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS given (id, position)
INNER JOIN plant_transactions AS p ON p.id = given.id
ORDER BY given.position
""")
_WORKS = text("""
INSERT INTO block_events (block_index, event_type, farmer_id, pooler_id, data)
SELECT
    w.block_index,
    CASE WHEN w.status IN ('failed', 'timeout') THEN 'work_failed' ELSE 'work_complete' END,
    w.farmer_id,
    w.pooler_id,
    jsonb_strip_nulls(jsonb_build_object(
        'work_id', w.id, 'report_id', w.report_id, 'status', w.status, 'work_hash', w.work_hash, 'nonce', w.nonce,
        'zeros', w.zeros, 'gap', w.gap, 'ledger_sequence', w.ledger_sequence,
        'transaction_hash', w.transaction_hash, 'error_reason', w.error_reason, 'error_message', w.error_message
    ))
FROM work_results AS w WHERE w.id = ANY(CAST(:ids AS uuid[])) ORDER BY w.block_index, w.farmer_id
""")
_HARVESTS = text("""
INSERT INTO block_events (block_index, event_type, farmer_id, data)
SELECT
    h.block_index,
    CASE h.status WHEN 'confirmed' THEN 'harvested' WHEN 'lost' THEN 'harvest_lost' ELSE 'harvest_taken' END,
    h.farmer_id,
    jsonb_strip_nulls(jsonb_build_object(
        'harvest_id', h.id, 'stake_amount', h.stake_amount, 'reward_amount', h.reward_amount,
        'ledger_sequence', h.ledger_sequence, 'transaction_hash', h.transaction_hash,
        'error_reason', h.error_reason, 'error_message', h.error_message
    ))
FROM harvest_transactions AS h WHERE h.id = ANY(CAST(:ids AS uuid[])) ORDER BY h.block_index, h.farmer_id
""")


async def record_plants(connection: AsyncConnection, plant_ids: Sequence[UUID]) -> None:
    """Records planted or plant_failed of final plants, in the order given."""
    await connection.execute(_PLANTS, {"ids": plant_ids})


async def record_works(connection: AsyncConnection, work_ids: Sequence[UUID]) -> None:
    """Records work_complete or work_failed of results."""
    await connection.execute(_WORKS, {"ids": work_ids})


async def record_harvests(connection: AsyncConnection, harvest_ids: Sequence[UUID]) -> None:
    """Records harvested, harvest_lost or harvest_taken of final harvests."""
    await connection.execute(_HARVESTS, {"ids": harvest_ids})
