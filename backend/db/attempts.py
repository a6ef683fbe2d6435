"""Attempts: stored before they are sent, ended together with what their end brings about."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.database import Database
from backend.db.effects import apply_effects
from backend.db.fencing import hold_lease
from backend.domain.attempt import Attempt, AttemptKind, Bump
from backend.domain.money import Passage, fee_transfer
from backend.domain.settlement import Effect, Settlement
from backend.domain.spending import FARMING_KINDS, MEASURED_FEES, Spending

_INSERT = text("""
INSERT INTO attempts (
    hash, inner_hash, kind, intent_id, source_account, source_sequence, envelope, max_ledger, created_ledger, max_fee,
    fence
)
SELECT
    decode(a.hash, 'hex'), decode(a.inner_hash, 'hex'), a.kind, a.intent_id, a.source, a.sequence, a.envelope,
    a.max_ledger, a.created_ledger, a.max_fee, CAST(:fence AS bigint)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS a (
    hash text, inner_hash text, kind text, intent_id uuid, source text, sequence bigint, envelope text,
    max_ledger bigint, created_ledger bigint, max_fee bigint
)
""")
_OPEN = text("""
SELECT
    a.hash, a.inner_hash, a.kind, a.intent_id, a.source_account, a.source_sequence, a.envelope, a.max_ledger,
    a.created_ledger, a.max_fee
FROM attempts AS a WHERE a.status = 'open' ORDER BY a.created_at, a.hash
""")
_BUMPS = text("""
SELECT b.hash, b.attempt_hash, b.number, b.envelope, b.max_fee, b.created_ledger
FROM attempt_bumps AS b INNER JOIN attempts AS a ON a.hash = b.attempt_hash
WHERE a.status = 'open' ORDER BY b.attempt_hash, b.number
""")
_INSERT_BUMPS = text("""
INSERT INTO attempt_bumps (hash, attempt_hash, number, envelope, max_fee, created_ledger, fence)
SELECT
    decode(b.hash, 'hex'), decode(b.attempt_hash, 'hex'), b.number, b.envelope, b.max_fee, b.created_ledger,
    CAST(:fence AS bigint)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS b (
    hash text, attempt_hash text, number integer, envelope text, max_fee bigint, created_ledger bigint
)
""")
_SPENDING = text("""
SELECT
    (
        SELECT coalesce(sum(a.fee_charged), 0) FROM attempts AS a
        WHERE a.created_ledger > :since_ledger AND a.status <> 'open'
    ) AS charged,
    (
        SELECT coalesce(sum(greatest(a.max_fee, b.max_fee)), 0)
        FROM attempts AS a
        LEFT JOIN LATERAL (
            SELECT max(x.max_fee) AS max_fee FROM attempt_bumps AS x WHERE x.attempt_hash = a.hash
        ) AS b ON TRUE
        WHERE a.status = 'open'
    ) AS at_stake,
    (SELECT count(*) FROM harvest_transactions AS h WHERE h.status = 'pending') AS open_pails,
    (
        SELECT max(f.fee_charged) FROM (
            SELECT a.fee_charged FROM attempts AS a
            WHERE a.kind = 'harvest' AND a.status = 'succeeded' ORDER BY a.result_ledger DESC LIMIT 100
        ) AS f
    ) AS harvest_fee
""")
_FEES = text("""
SELECT
    k.kind,
    (
        SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY f.fee_charged)
        FROM (
            SELECT a.fee_charged FROM attempts AS a
            WHERE a.kind = k.kind AND a.status = 'succeeded' ORDER BY a.result_ledger DESC LIMIT :size
        ) AS f
    ) AS fee
FROM unnest(CAST(:kinds AS text[])) AS k (kind)
""")
_LOCK = text("""
SELECT hash FROM attempts WHERE hash = ANY(CAST(:hashes AS bytea[])) ORDER BY hash FOR UPDATE
""")
_END = text("""
UPDATE attempts AS a
SET
    status = e.status, result_ledger = e.result_ledger, result_code = e.result_code, fee_charged = e.fee_charged,
    result_hash = decode(e.result_hash, 'hex'), ended_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS e (
    hash text, status text, result_ledger bigint, result_code text, fee_charged bigint, result_hash text
)
WHERE a.hash = decode(e.hash, 'hex') AND a.status = 'open'
RETURNING a.hash
""")
_FOLLOWED = text("""
UPDATE chain_cursor SET ledger_sequence = :last WHERE ledger_sequence < :last AND ledger_sequence >= :first - 1
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
            "max_fee": attempt.max_fee,
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
            bumps = defaultdict[bytes, list[Bump]](list)
            for row in (await connection.execute(_BUMPS)).all():
                bumps[row.attempt_hash].append(Bump(*row))
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
                max_fee=row.max_fee,
                bumps=tuple(bumps[row.hash]),
            )
            for row in rows
        ]

    async def store(self, attempt: Attempt) -> None:
        """Stores an attempt that belongs to no row (kinds CHANNELS and EXTENSION)."""
        async with self._database.transaction() as connection:
            await insert_attempts(connection, [attempt], fence=self._database.fence)

    async def bump(self, bumps: Sequence[Bump]) -> None:
        """Stores fee bumps of open attempts, all or nothing."""
        if not bumps:
            return
        rows = [
            {
                "hash": bump.hash.hex(),
                "attempt_hash": bump.attempt_hash.hex(),
                "number": bump.number,
                "envelope": bump.envelope,
                "max_fee": bump.max_fee,
                "created_ledger": bump.created_ledger,
            }
            for bump in bumps
        ]
        async with self._database.transaction() as connection:
            await connection.execute(_INSERT_BUMPS, {"rows": json.dumps(rows), "fence": self._database.fence})

    async def spending(self, since_ledger: int) -> Spending:
        """What transactions have cost since a ledger, what open ones may cost, and what harvests will."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_SPENDING, {"since_ledger": since_ledger})).one()
        return Spending(int(row.charged), int(row.at_stake), row.open_pails, row.harvest_fee)

    async def fees(self) -> Mapping[AttemptKind, int]:
        """The usual XLM, in stroops, of a plant, a work and a harvest of late."""
        values = {"kinds": list(FARMING_KINDS), "size": MEASURED_FEES}
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_FEES, values)).all()
        return {AttemptKind(row.kind): row.fee for row in rows if row.fee is not None}

    async def settle(self, settlements: Sequence[Settlement], passage: Passage | None = None) -> None:
        """Ends attempts, applies and books effects, and moves the cursor, all or nothing; a repeat changes nothing."""
        if not settlements and passage is None:
            return
        async with self._database.transaction() as connection:
            await hold_lease(connection, self._database.fence)
            ended = await _end(connection, settlements)
            effects = [effect for settlement in ended for effect in settlement.effects]
            fees = [
                fee_transfer(end.attempt_hash, end.fee_charged, end.result_ledger) for end in ended if end.fee_charged
            ]
            await apply_effects(connection, [*effects, *(passage.effects if passage else ())], fees=fees)
            if passage is not None:
                await connection.execute(_FOLLOWED, {"first": passage.first, "last": passage.last})

    async def apply(self, effects: Sequence[Effect]) -> None:
        """Applies effects that no attempt brought about; one whose row has moved on is passed over."""
        if not effects:
            return
        async with self._database.transaction() as connection:
            await hold_lease(connection, self._database.fence)
            await apply_effects(connection, effects)


async def _end(connection: AsyncConnection, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Ends attempts; the settlements of those that were open."""
    if not settlements:
        return []
    await connection.execute(_LOCK, {"hashes": [settlement.attempt_hash for settlement in settlements]})
    ended = set((await connection.execute(_END, {"rows": _ends(settlements)})).scalars())
    return [settlement for settlement in settlements if settlement.attempt_hash in ended]


def _ends(settlements: Sequence[Settlement]) -> str:
    return json.dumps(
        [
            {
                "hash": settlement.attempt_hash.hex(),
                "status": settlement.state,
                "result_ledger": settlement.result_ledger,
                "result_code": settlement.result_code,
                "fee_charged": settlement.fee_charged,
                "result_hash": settlement.result_hash.hex() if settlement.result_hash else None,
            }
            for settlement in settlements
        ]
    )
