"""Pails as ledgers show them: plants and harvests that rows know are confirmed, others are adopted."""

import json
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.audit import record_harvests, record_plants
from backend.db.database import select_ids
from backend.db.opening import number_plants, open_harvests
from backend.domain.plant import ADOPTED_POOLER
from backend.domain.settlement import PailHarvested, PailPlanted

_SEEN = """
jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    plant_id uuid, block_index bigint, farmer_id uuid, address text, pooler_id text, stake bigint,
    planted_ledger bigint, plant_hash text, reward bigint, ledger bigint, transaction_hash text
)
"""
_CONFIRM_SEEN = text(f"""
UPDATE plant_transactions AS p
SET
    status = 'confirmed', transaction_hash = r.plant_hash, ledger_sequence = r.planted_ledger, confirmed_at = now()
FROM {_SEEN}
WHERE p.block_index = r.block_index AND p.farmer_id = r.farmer_id AND p.status = 'pending'
RETURNING p.id
""")  # noqa: S608 - the query is put together from constants
_ADOPT_SEEN = text(f"""
INSERT INTO plant_transactions (
    id, block_index, farmer_id, wallet_address, pooler_id, stake_amount, status, ledger_sequence, transaction_hash,
    confirmed_at
)
SELECT
    r.plant_id, r.block_index, r.farmer_id, r.address, r.pooler_id, r.stake, 'confirmed', r.planted_ledger,
    r.plant_hash, now()
FROM {_SEEN}
ORDER BY r.block_index, r.farmer_id
ON CONFLICT (block_index, farmer_id) DO NOTHING
RETURNING id
""")  # noqa: S608 - likewise
_OPEN_SEEN = text(f"""
INSERT INTO harvest_transactions (block_index, farmer_id, wallet_address, stake_amount, planted_ledger)
SELECT r.block_index, r.farmer_id, r.address, r.stake, r.planted_ledger
FROM {_SEEN}
ORDER BY r.block_index, r.farmer_id
ON CONFLICT (block_index, farmer_id) DO NOTHING
RETURNING id
""")  # noqa: S608 - likewise
_HARVEST_SEEN = text(f"""
UPDATE harvest_transactions AS h
SET
    status = 'confirmed', reward_amount = r.reward, ledger_sequence = r.ledger, transaction_hash = r.transaction_hash,
    confirmed_at = now()
FROM {_SEEN}
WHERE h.block_index = r.block_index AND h.farmer_id = r.farmer_id AND h.status = 'pending'
RETURNING h.id
""")  # noqa: S608 - likewise
_CLOSED_SEEN = text(f"""
SELECT h.id FROM harvest_transactions AS h, {_SEEN}
WHERE h.block_index = r.block_index AND h.farmer_id = r.farmer_id AND h.status IN ('failed', 'lost')
""")  # noqa: S608 - likewise


async def closed_wrongly(connection: AsyncConnection, effects: Sequence[PailHarvested]) -> list[UUID]:
    """Harvests held to be lost or taken whose pails a ledger shows harvested only now; their ids."""
    return await select_ids(connection, _CLOSED_SEEN, _rows(effects)) if effects else []


async def open_seen(connection: AsyncConnection, effects: Sequence[PailPlanted | PailHarvested]) -> list[UUID]:
    """Confirms or adopts the plants of pails that a ledger shows; the ids of the harvests that this opened."""
    first = {(effect.block_index, effect.farmer_id): effect for effect in reversed(effects)}
    rows = _rows(first.values())
    # The pail's own stake and ledger count, whatever the row of a plant says.
    opened = await select_ids(connection, _OPEN_SEEN, rows)
    if not opened:
        return []
    confirmed = await select_ids(connection, _CONFIRM_SEEN, rows)
    final = [*confirmed, *await select_ids(connection, _ADOPT_SEEN, rows)]
    await open_harvests(connection, final)
    await number_plants(connection, final)
    await record_plants(connection, final)
    return opened


async def harvest_seen(connection: AsyncConnection, effects: Sequence[PailHarvested]) -> list[UUID]:
    """Confirms the harvests of pails that a ledger shows emptied; their ids."""
    confirmed = await select_ids(connection, _HARVEST_SEEN, _rows(effects)) if effects else []
    await record_harvests(connection, confirmed)
    return confirmed


def _rows(effects: Iterable[PailPlanted | PailHarvested]) -> dict[str, str]:
    return {"rows": json.dumps([_sight(effect) for effect in effects])}


def _sight(effect: PailPlanted | PailHarvested) -> dict[str, object]:
    seen: dict[str, object] = {
        "plant_id": str(uuid4()),
        "block_index": effect.block_index,
        "farmer_id": str(effect.farmer_id),
        "address": effect.address,
        "pooler_id": ADOPTED_POOLER,
        "stake": effect.stake_stroops,
        "ledger": effect.ledger,
        "transaction_hash": effect.transaction_hash,
    }
    if isinstance(effect, PailPlanted):
        return seen | {"planted_ledger": effect.ledger, "plant_hash": effect.transaction_hash}
    return seen | {"planted_ledger": effect.planted_ledger, "reward": effect.reward_stroops}
