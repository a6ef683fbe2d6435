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
from backend.db.books import book
from backend.db.database import select_ids
from backend.db.opening import number_plants, open_harvests
from backend.db.payments import apply_to_withdrawals, movements
from backend.db.sights import closed_wrongly, harvest_seen, open_seen
from backend.domain.harvest import HarvestState
from backend.domain.money import Transfer
from backend.domain.settlement import (
    BalanceMoved,
    BatchReleased,
    Effect,
    FarmersOnboarded,
    HarvestClosed,
    HarvestConfirmed,
    HarvestReopened,
    PailHarvested,
    PailPlanted,
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
RETURNING CAST(data ->> 'harvest_id' AS uuid) AS id, data ->> 'status' AS status
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


async def apply_effects(
    connection: AsyncConnection, effects: Sequence[Effect], *, fees: Sequence[Transfer] = ()
) -> None:
    """Applies effects and books what they and `fees` move; one whose row has moved on already is passed over."""
    opened = await _apply_to_plants(connection, effects)
    await _settle_works(connection, _only(effects, WorkSettled))
    ended = await _confirm_harvests(connection, _only(effects, HarvestConfirmed))
    seen = [effect for effect in effects if isinstance(effect, PailPlanted | PailHarvested)]
    emptied = _only(seen, PailHarvested)
    wrong = [effect.harvest_id for effect in _only(effects, HarvestReopened)]
    reopened = await _reopen_harvests(connection, [*wrong, *await closed_wrongly(connection, emptied)])
    if seen:
        opened += await open_seen(connection, seen)
        ended += await harvest_seen(connection, emptied)
    ended += await _close_harvests(connection, _only(effects, HarvestClosed))
    onboarded = [effect.batch_id for effect in _only(effects, FarmersOnboarded)]
    if onboarded:
        await connection.execute(_ONBOARD, {"batches": onboarded})
    released = [effect.batch_id for effect in _only(effects, BatchReleased)]
    if released:
        await connection.execute(_RELEASE, {"batches": released})
    await apply_to_withdrawals(connection, effects)
    moved = await movements(connection, _only(effects, BalanceMoved))
    await book(connection, opened=opened, ended=ended, reopened=reopened, others=[*fees, *moved])


async def _apply_to_plants(connection: AsyncConnection, effects: Sequence[Effect]) -> list[UUID]:
    """Confirms and fails plants; the ids of the harvests that this opened."""
    plants = [effect for effect in effects if isinstance(effect, PlantConfirmed | PlantFailed)]
    if not plants:
        return []
    confirmed = await select_ids(connection, _CONFIRM_PLANTS, _rows(map(_confirmation, _only(plants, PlantConfirmed))))
    failed = await select_ids(connection, _FAIL_PLANTS, _rows(map(_failure, _only(plants, PlantFailed))))
    opened = await open_harvests(connection, confirmed)
    moved = {*confirmed, *failed}
    final = [effect.plant_id for effect in plants if effect.plant_id in moved]
    await number_plants(connection, final)
    await record_plants(connection, final)
    return opened


async def _settle_works(connection: AsyncConnection, effects: Sequence[WorkSettled]) -> None:
    if effects:
        await record_works(connection, await select_ids(connection, _SETTLE_WORKS, _rows(map(_work, effects))))


async def _confirm_harvests(connection: AsyncConnection, effects: Sequence[HarvestConfirmed]) -> list[UUID]:
    """Confirms harvests; the ids of those that moved."""
    if not effects:
        return []
    confirmed = await select_ids(connection, _CONFIRM_HARVESTS, _rows(map(_harvest, effects)))
    await record_harvests(connection, confirmed)
    return confirmed


async def _close_harvests(connection: AsyncConnection, effects: Sequence[HarvestClosed]) -> list[UUID]:
    """Closes harvests; the ids of those that moved."""
    if not effects:
        return []
    closed = await select_ids(connection, _CLOSE_HARVESTS, _rows(map(_closing, effects)))
    await record_harvests(connection, closed)
    return closed


async def _reopen_harvests(connection: AsyncConnection, harvest_ids: Sequence[UUID]) -> dict[UUID, HarvestState]:
    """Makes lost and failed harvests pending again; what those that moved were before."""
    if not harvest_ids:
        return {}
    moved = await connection.execute(_REOPEN_HARVESTS, {"ids": list(harvest_ids)})
    return {row.id: HarvestState(row.status) for row in moved}


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
