"""What backups ask of a database: how far its log was fetched, and what a restored one holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from backend.db.database import Database
from backend.db.farmers import farmer_key
from backend.domain.farmer import FarmerKey

_POSITIONS = text("""
SELECT
    CAST(pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS bigint) AS written,
    CAST(s.restart_lsn - '0/0'::pg_lsn AS bigint) AS fetched
FROM (SELECT 1) AS one
LEFT JOIN pg_replication_slots AS s ON s.slot_name = :slot AND s.active
""")
_CANARY = text("""
SELECT id, wallet_address, public_key, sealed_seed, key_version
FROM farmers WHERE sealed_seed IS NOT NULL ORDER BY created_at DESC, id LIMIT 1
""")
_CONTENTS = text("""
SELECT
    (SELECT count(*) FROM farmers) AS farmers,
    (SELECT max(created_at) FROM block_events) AS last_event_at
""")


@dataclass(frozen=True, slots=True)
class WalPositions:
    """How far the server has written its log, and how far a slot's reader has made it durable; bytes from the start.

    `fetched` is None where nobody reads the slot.
    """

    written: int
    fetched: int | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a restored database holds.

    Attributes:
        farmers: Its farmers.
        last_event_at: When its last event was recorded; None if there is none.
        canary: The newest farmer's key; None if there is no farmer.
    """

    farmers: int
    last_event_at: datetime | None
    canary: FarmerKey | None


async def wal_positions(database: Database, slot: str) -> WalPositions:
    """How far the log was fetched.

    Raises:
        DatabaseUnavailableError: the server does not answer.
    """
    async with database.transaction() as connection:
        row = (await connection.execute(_POSITIONS, {"slot": slot})).one()
    return WalPositions(row.written, row.fetched)


async def contents(database: Database) -> Contents:
    """What a restored database holds.

    Raises:
        BackendError: it cannot be read.
    """
    async with database.transaction() as connection:
        row: Any = (await connection.execute(_CONTENTS)).one()
        key = (await connection.execute(_CANARY)).one_or_none()
    return Contents(row.farmers, row.last_event_at, None if key is None else farmer_key(key))
