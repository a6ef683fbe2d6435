"""The audit trail: what is recorded in block_events, and once it is committed in the log, of rows just changed."""

from collections.abc import Mapping, Sequence
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.attribution import attribute
from backend.domain.blame import Subject

_log = structlog.get_logger()

# What open transactions recorded; goes with its connection if the transaction is rolled back.
_untold: WeakKeyDictionary[AsyncConnection, list[RowMapping]] = WeakKeyDictionary()
_alarms: WeakKeyDictionary[AsyncConnection, list[Mapping[str, object]]] = WeakKeyDictionary()
_RETURNING = """
RETURNING event_type, block_index, farmer_id, data ->> 'transaction_hash' AS transaction_hash,
    data ->> 'ledger_sequence' AS ledger_sequence, data ->> 'error_reason' AS error_reason
"""
_PLANTS = text(
    """
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
"""
    + _RETURNING
)
_WORKS = text(
    """
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
"""
    + _RETURNING
)
_HARVESTS = text(
    """
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
"""
    + _RETURNING
)


async def record_plants(connection: AsyncConnection, plant_ids: Sequence[UUID]) -> None:
    """Records planted or plant_failed of final plants, in the order given."""
    await _record(connection, Subject.PLANT, _PLANTS, plant_ids)


async def record_works(connection: AsyncConnection, work_ids: Sequence[UUID]) -> None:
    """Records work_complete or work_failed of results."""
    await _record(connection, Subject.WORK, _WORKS, work_ids)


async def record_harvests(connection: AsyncConnection, harvest_ids: Sequence[UUID]) -> None:
    """Records harvested, harvest_lost or harvest_taken of final harvests."""
    await _record(connection, Subject.HARVEST, _HARVESTS, harvest_ids)


async def _record(connection: AsyncConnection, subject: Subject, statement: TextClause, ids: Sequence[UUID]) -> None:
    events = (await connection.execute(statement, {"ids": ids})).mappings().all()
    if any(event["error_reason"] is not None for event in events):
        await attribute(connection, subject, ids)
    _untold.setdefault(connection, []).extend(events)


def remember_alarm(connection: AsyncConnection, details: Mapping[str, object]) -> None:
    """Has a booking that must not pass silently told once its transaction is committed."""
    _alarms.setdefault(connection, []).append(details)


def tell(connection: AsyncConnection) -> None:
    """Writes what a committed transaction recorded to the log, each event with its block, farmer and transaction."""
    for event in _untold.pop(connection, ()):
        details = {name: value for name, value in event.items() if name != "event_type" and value is not None}
        _log.info(event["event_type"].replace("_", " "), **details | {"farmer_id": str(event["farmer_id"])})
    for alarm in _alarms.pop(connection, ()):
        _log.error(
            "booked what the pool did not do", **{name: value for name, value in alarm.items() if value is not None}
        )
