"""Rows of a real PostgreSQL as the checks read them: those that the simulator's checks ask for, no others."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from backend.domain.attempt import Attempt, AttemptKind, AttemptState, Bump
from backend.domain.audit import Link
from backend.domain.farmer import FarmerKey, FarmerState
from backend.domain.harvest import HarvestState
from backend.domain.money import Cursor
from backend.domain.plant import Plant, PlantState
from simulator.memory import Tables
from simulator.memory.tables import AttemptRow, FarmerRow, HarvestRow, LeaseRow, PlantRow

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_ATTEMPTS = """
SELECT hash, inner_hash, kind, intent_id, source_account, source_sequence, envelope, max_ledger, created_ledger,
    max_fee, fence, status, result_code, result_ledger, fee_charged, result_hash
FROM attempts ORDER BY created_at, hash
"""
_BUMPS = "SELECT hash, attempt_hash, number, envelope, max_fee, created_ledger FROM attempt_bumps ORDER BY number"
_PLANTS = """
SELECT id, farmer_id, wallet_address, block_index, pooler_id, stake_amount, status, ledger_sequence, transaction_hash
FROM plant_transactions ORDER BY created_at, id
"""
_HARVESTS = """
SELECT id, block_index, farmer_id, wallet_address, stake_amount, planted_ledger, status, live_until, reward_amount,
    ledger_sequence, transaction_hash
FROM harvest_transactions ORDER BY created_at, id
"""
_FARMERS = """
SELECT id, wallet_address, public_key, sealed_seed, key_version, request_id, status, harvest_after_blocks, balance,
    earned_balance
FROM farmers ORDER BY created_at, id
"""
_LINKS = """
SELECT
    l.number, l.event_id,
    CAST(jsonb_build_array(
        e.id, e.block_index, e.event_type, e.farmer_id, e.pooler_id, e.data,
        CAST(extract(EPOCH FROM e.created_at) * 1000000 AS bigint)
    ) AS text),
    l.previous_hash, l.hash
FROM block_event_links AS l INNER JOIN block_events AS e ON e.id = l.event_id ORDER BY l.number
"""


def read_tables(connection: psycopg.Connection[Any]) -> Tables:
    """Attempts, plants, harvests, farmers, links, lease and cursor."""
    tables = Tables()
    with tables.transaction():
        _read_attempts(connection, tables)
        _read_pails(connection, tables)
        for row in _rows(connection, _FARMERS):
            key = FarmerKey(row.id, row.wallet_address, row.public_key, row.sealed_seed, row.key_version)
            tables.farmers.put(row.id, _farmer(tables, row, key))
    tables.links = [Link(*row) for row in _rows(connection, _LINKS)]
    (held,) = _rows(connection, "SELECT fence, epoch, holder FROM lease")
    tables.lease = LeaseRow(*held)
    (cursor,) = _rows(connection, "SELECT ledger_sequence, unread_from, coalesce(equal_at, 0) FROM chain_cursor")
    tables.cursor = Cursor(*cursor)
    return tables


def _rows(connection: psycopg.Connection[Any], statement: str) -> list[Any]:
    return connection.cursor(row_factory=namedtuple_row).execute(statement.encode()).fetchall()


def _read_attempts(connection: psycopg.Connection[Any], tables: Tables) -> None:
    bumps = defaultdict[bytes, list[Bump]](list)
    for bump in _rows(connection, _BUMPS):
        bumps[bump.attempt_hash].append(Bump(*bump))
    for row in _rows(connection, _ATTEMPTS):
        attempt = Attempt(
            hash=row.hash,
            inner_hash=row.inner_hash,
            kind=AttemptKind(row.kind),
            intent_id=row.intent_id,
            source=row.source_account,
            sequence=row.source_sequence,
            envelope=row.envelope,
            max_ledger=row.max_ledger,
            created_ledger=row.created_ledger,
            max_fee=row.max_fee,
            bumps=tuple(bumps[row.hash]),
        )
        end = (row.result_code, row.result_ledger, row.fee_charged, row.result_hash)
        stored = AttemptRow(tables.next_number(), attempt, row.fence, AttemptState(row.status), *end)
        tables.attempts.put(row.hash, stored)


def _read_pails(connection: psycopg.Connection[Any], tables: Tables) -> None:
    for row in _rows(connection, _PLANTS):
        plant = Plant(
            plant_id=row.id,
            farmer_id=row.farmer_id,
            address=row.wallet_address,
            block_index=row.block_index,
            pooler_id=row.pooler_id,
            stake_stroops=row.stake_amount,
            state=PlantState(row.status),
            ledger=row.ledger_sequence,
            transaction_hash=row.transaction_hash,
        )
        tables.plants.put(row.id, PlantRow(tables.next_number(), plant))
    for row in _rows(connection, _HARVESTS):
        harvest = HarvestRow(
            number=tables.next_number(),
            harvest_id=row.id,
            block_index=row.block_index,
            farmer_id=row.farmer_id,
            address=row.wallet_address,
            stake=row.stake_amount,
            planted_ledger=row.planted_ledger,
            state=HarvestState(row.status),
            live_until=row.live_until,
            reward=row.reward_amount,
            ledger=row.ledger_sequence,
            transaction_hash=row.transaction_hash,
        )
        tables.harvests.put(row.id, harvest)


def _farmer(tables: Tables, row: Any, key: FarmerKey) -> FarmerRow:
    return FarmerRow(
        number=tables.next_number(),
        key=key,
        request_id=row.request_id,
        state=FarmerState(row.status),
        stake_basis_points=0,
        harvest_after_blocks=row.harvest_after_blocks,
        created_at=_NEVER,
        updated_at=_NEVER,
        balance=row.balance,
        earned=row.earned_balance,
    )
