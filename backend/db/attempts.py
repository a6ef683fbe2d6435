"""Attempts: stored before they are sent, ended together with what their end brings about."""

import json
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.database import Database
from backend.db.effects import apply_effects
from backend.domain.attempt import Attempt, AttemptKind
from backend.domain.settlement import Effect, Settlement

_INSERT = text("""
INSERT INTO attempts (
    hash, inner_hash, kind, intent_id, source_account, source_sequence, envelope, max_ledger, created_ledger,
    fence
)
SELECT
    decode(a.hash, 'hex'), decode(a.inner_hash, 'hex'), a.kind, a.intent_id, a.source, a.sequence, a.envelope,
    a.max_ledger, a.created_ledger, CAST(:fence AS bigint)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS a (
    hash text, inner_hash text, kind text, intent_id uuid, source text, sequence bigint, envelope text,
    max_ledger bigint, created_ledger bigint
)
""")
_OPEN = text("""
SELECT hash, inner_hash, kind, intent_id, source_account, source_sequence, envelope, max_ledger, created_ledger
FROM attempts WHERE status = 'open' ORDER BY created_at, hash
""")
_LOCK = text("""
SELECT hash FROM attempts WHERE hash = ANY(CAST(:hashes AS bytea[])) ORDER BY hash FOR UPDATE
""")
_END = text("""
UPDATE attempts AS a
SET
    status = e.status, result_ledger = e.result_ledger, result_code = e.result_code, fee_charged = e.fee_charged,
    ended_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS e (
    hash text, status text, result_ledger bigint, result_code text, fee_charged bigint
)
WHERE a.hash = decode(e.hash, 'hex') AND a.status = 'open'
RETURNING a.hash
""")


async def insert_attempts(connection: AsyncConnection, attempts: Sequence[Attempt], *, fence: int) -> None:
    """Stores attempts, all in one statement, as the backend that holds the lease with this fence.

    Raises:
        LeaseLostError: a newer backend has the lease (by `translated_errors`).
    """
    if not attempts:
        return
    rows = [
        {
            "hash": attempt.hash.hex(),
            "inner_hash": attempt.inner_hash.hex() if attempt.inner_hash else None,
            "kind": attempt.kind,
            "intent_id": str(attempt.intent_id),
            "source": attempt.source,
            "sequence": attempt.sequence,
            "envelope": attempt.envelope,
            "max_ledger": attempt.max_ledger,
            "created_ledger": attempt.created_ledger,
        }
        for attempt in attempts
    ]
    await connection.execute(_INSERT, {"rows": json.dumps(rows), "fence": fence})


class SqlAttemptStore:
    """See backend.ports.stores.AttemptStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> list[Attempt]:
        """Every open attempt."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_OPEN)).all()
        return [
            Attempt(
                hash=row.hash,
                inner_hash=row.inner_hash,
                kind=AttemptKind(row.kind),
                intent_id=row.intent_id,
                source=row.source_account,
                sequence=row.source_sequence,
                envelope=row.envelope,
                max_ledger=row.max_ledger,
                created_ledger=row.created_ledger,
            )
            for row in rows
        ]

    async def store(self, attempt: Attempt) -> None:
        """Stores an attempt that belongs to no row (kind CHANNELS)."""
        async with self._database.transaction() as connection:
            await insert_attempts(connection, [attempt], fence=self._database.fence)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Ends attempts and applies their effects, all or nothing; an attempt already ended is passed over."""
        if not settlements:
            return
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, {"hashes": [settlement.attempt_hash for settlement in settlements]})
            ended = set((await connection.execute(_END, {"rows": _ends(settlements)})).scalars())
            effects = [
                effect
                for settlement in settlements
                if settlement.attempt_hash in ended
                for effect in settlement.effects
            ]
            await apply_effects(connection, effects)

    async def apply(self, effects: Sequence[Effect]) -> None:
        """Applies effects that no attempt brought about; one whose row has moved on is passed over."""
        if not effects:
            return
        async with self._database.transaction() as connection:
            await apply_effects(connection, effects)


def _ends(settlements: Sequence[Settlement]) -> str:
    return json.dumps(
        [
            {
                "hash": settlement.attempt_hash.hex(),
                "status": settlement.state,
                "result_ledger": settlement.result_ledger,
                "result_code": settlement.result_code,
                "fee_charged": settlement.fee_charged,
            }
            for settlement in settlements
        ]
    )
