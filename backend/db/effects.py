"""Effects: how ends of attempts and sights of the ledger move rows; each kind in one statement for all of them.

Everything here touches rows in their first state only, so that what is applied twice changes nothing the second time.
"""

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.audit import record_harvests, record_plants, record_works
from backend.db.database import lock_farmers, select_ids
from backend.domain.settlement import (
    BatchReleased,
    Effect,
    FarmersOnboarded,
    HarvestClosed,
    HarvestConfirmed,
    HarvestReopened,
    PlantConfirmed,
    PlantFailed,
    WorkSettled,
)

_CONFIRM_PLANTS = text("""
UPDATE plant_transactions AS p
SET status = 'confirmed', transaction_hash = r.transaction_hash, ledger_sequence = r.ledger, confirmed_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, ledger bigint, transaction_hash text)
WHERE p.id = r.id AND p.status = 'pending'
RETURNING p.id
""")
_FAIL_PLANTS = text("""
UPDATE plant_transactions AS p
SET status = 'failed', error_reason = r.reason, error_message = r.message
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, reason text, message text)
WHERE p.id = r.id AND p.status = 'pending'
RETURNING p.id
""")
_OPEN_HARVESTS = text("""
INSERT INTO harvest_transactions (block_index, farmer_id, wallet_address, stake_amount, planted_ledger)
SELECT block_index, farmer_id, wallet_address, stake_amount, ledger_sequence
FROM plant_transactions WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY block_index, farmer_id
ON CONFLICT (block_index, farmer_id) DO NOTHING
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
_SETTLE_WORKS = text("""
UPDATE work_results AS w
SET
    status = r.status, zeros = coalesce(r.zeros, w.zeros), gap = coalesce(r.gap, w.gap),
    transaction_hash = coalesce(r.transaction_hash, w.transaction_hash),
    ledger_sequence = coalesce(r.ledger, w.ledger_sequence), error_reason = r.reason, error_message = r.message,
    completed_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    id uuid, status text, zeros smallint, gap bigint, transaction_hash text, ledger bigint, reason text, message text
)
WHERE w.id = r.id AND w.status IN ('pending', 'unverified')
RETURNING w.id
""")
_CONFIRM_HARVESTS = text("""
UPDATE harvest_transactions AS h
SET
    status = 'confirmed', reward_amount = r.reward, ledger_sequence = r.ledger, transaction_hash = r.transaction_hash,
    confirmed_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, reward bigint, ledger bigint, transaction_hash text)
WHERE h.id = r.id AND h.status = 'pending'
RETURNING h.id
""")
_CLOSE_HARVESTS = text("""
UPDATE harvest_transactions AS h
SET status = r.status, error_reason = r.reason, error_message = r.message
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, status text, reason text, message text)
WHERE h.id = r.id AND h.status = 'pending'
RETURNING h.id
""")
_REOPEN_HARVESTS = text("""
WITH before AS (
    SELECT id, status, error_reason, error_message FROM harvest_transactions
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status IN ('failed', 'lost') ORDER BY id FOR UPDATE
), reopened AS (
    UPDATE harvest_transactions AS h
    SET status = 'pending', error_reason = NULL, error_message = NULL, live_until = NULL, alarm_percent = 0
    FROM before AS b WHERE b.id = h.id
    RETURNING h.id, h.block_index, h.farmer_id, b.status, b.error_reason, b.error_message
)
INSERT INTO block_events (block_index, event_type, farmer_id, data)
SELECT
    block_index,
    'harvest_reopened',
    farmer_id,
    jsonb_build_object(
        'harvest_id', id, 'status', status, 'error_reason', error_reason, 'error_message', error_message
    )
FROM reopened ORDER BY block_index, farmer_id
""")
_FARMERS_OF_HARVESTS = text("SELECT farmer_id FROM harvest_transactions WHERE id = ANY(CAST(:ids AS uuid[]))")
_BOOK_REWARDS = text("""
UPDATE farmers AS f
SET earned_balance = f.earned_balance + h.reward
FROM (
    SELECT farmer_id, CAST(sum(reward_amount) AS bigint) AS reward
    FROM harvest_transactions WHERE id = ANY(CAST(:ids AS uuid[])) GROUP BY farmer_id
) AS h
WHERE f.id = h.farmer_id
""")
_ONBOARD = text("""
UPDATE farmers SET status = 'active'
WHERE onboarding_batch = ANY(CAST(:batches AS uuid[])) AND status = 'onboarding'
""")
_RELEASE = text("""
UPDATE farmers SET onboarding_batch = NULL
WHERE onboarding_batch = ANY(CAST(:batches AS uuid[])) AND status = 'onboarding'
""")

E = TypeVar("E")


async def apply_effects(connection: AsyncConnection, effects: Sequence[Effect]) -> None:
    """Applies effects; one whose row has moved on already is passed over."""
    await _apply_to_plants(connection, effects)
    await _settle_works(connection, _only(effects, WorkSettled))
    await _confirm_harvests(connection, _only(effects, HarvestConfirmed))
    await _close_harvests(connection, _only(effects, HarvestClosed))
    reopened = [effect.harvest_id for effect in _only(effects, HarvestReopened)]
    if reopened:
        await connection.execute(_REOPEN_HARVESTS, {"ids": reopened})
    onboarded = [effect.batch_id for effect in _only(effects, FarmersOnboarded)]
    if onboarded:
        await connection.execute(_ONBOARD, {"batches": onboarded})
    released = [effect.batch_id for effect in _only(effects, BatchReleased)]
    if released:
        await connection.execute(_RELEASE, {"batches": released})


async def open_harvests(connection: AsyncConnection, plant_ids: Sequence[UUID]) -> None:
    """Stores the pending harvests of confirmed plants and marks their farmers as planted."""
    await connection.execute(_OPEN_HARVESTS, {"ids": plant_ids})
    await lock_farmers(connection, await select_ids(connection, _FARMERS_OF_PLANTS, {"ids": plant_ids}))
    await connection.execute(_MARK_PLANTED, {"ids": plant_ids})


async def number_plants(connection: AsyncConnection, plant_ids: Sequence[UUID]) -> None:
    """Gives final plants the next numbers of their requests, in the order given."""
    await connection.execute(_LOCK_REQUESTS, {"ids": plant_ids})
    await connection.execute(_NUMBER_PLANTS, {"ids": plant_ids})


async def _apply_to_plants(connection: AsyncConnection, effects: Sequence[Effect]) -> None:
    plants = [effect for effect in effects if isinstance(effect, PlantConfirmed | PlantFailed)]
    if not plants:
        return
    confirmed = await select_ids(connection, _CONFIRM_PLANTS, _rows(map(_confirmation, _only(plants, PlantConfirmed))))
    failed = await select_ids(connection, _FAIL_PLANTS, _rows(map(_failure, _only(plants, PlantFailed))))
    await open_harvests(connection, confirmed)
    moved = {*confirmed, *failed}
    final = [effect.plant_id for effect in plants if effect.plant_id in moved]
    await number_plants(connection, final)
    await record_plants(connection, final)


async def _settle_works(connection: AsyncConnection, effects: Sequence[WorkSettled]) -> None:
    if effects:
        await record_works(connection, await select_ids(connection, _SETTLE_WORKS, _rows(map(_work, effects))))


async def _confirm_harvests(connection: AsyncConnection, effects: Sequence[HarvestConfirmed]) -> None:
    if not effects:
        return
    confirmed = await select_ids(connection, _CONFIRM_HARVESTS, _rows(map(_harvest, effects)))
    await lock_farmers(connection, await select_ids(connection, _FARMERS_OF_HARVESTS, {"ids": confirmed}))
    await connection.execute(_BOOK_REWARDS, {"ids": confirmed})
    await record_harvests(connection, confirmed)


async def _close_harvests(connection: AsyncConnection, effects: Sequence[HarvestClosed]) -> None:
    if effects:
        await record_harvests(connection, await select_ids(connection, _CLOSE_HARVESTS, _rows(map(_closing, effects))))


def _only(effects: Iterable[object], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def _rows(rows: Iterable[dict[str, object]]) -> dict[str, str]:
    return {"rows": json.dumps(list(rows))}


def _confirmation(effect: PlantConfirmed) -> dict[str, object]:
    return {"id": str(effect.plant_id), "ledger": effect.ledger, "transaction_hash": effect.transaction_hash}


def _failure(effect: PlantFailed) -> dict[str, object]:
    return {"id": str(effect.plant_id), "reason": effect.failure.reason, "message": effect.failure.message}


def _work(effect: WorkSettled) -> dict[str, object]:
    failure = effect.failure
    return {
        "id": str(effect.work_id),
        "status": effect.state,
        "zeros": effect.zeros,
        "gap": effect.gap,
        "transaction_hash": effect.transaction_hash,
        "ledger": effect.ledger,
        "reason": failure.reason if failure else None,
        "message": failure.message if failure else None,
    }


def _harvest(effect: HarvestConfirmed) -> dict[str, object]:
    return {
        "id": str(effect.harvest_id),
        "reward": effect.reward_stroops,
        "ledger": effect.ledger,
        "transaction_hash": effect.transaction_hash,
    }


def _closing(effect: HarvestClosed) -> dict[str, object]:
    return {
        "id": str(effect.harvest_id),
        "status": "lost" if effect.lost else "failed",
        "reason": effect.failure.reason,
        "message": effect.failure.message,
    }
