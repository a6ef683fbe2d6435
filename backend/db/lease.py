"""The lease: an advisory lock while the session lives, and a fence in every insert of an attempt for the rest."""

import asyncio
import secrets
from typing import Any, LiteralString

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import text

from backend.db.database import Database
from backend.domain.audit import ChainHead
from backend.domain.lease import Head, Incarnation, Lease, restored
from backend.errors import DatabaseUnavailableError, LeaseHeldError, LeaseLostError

_LOCK = 0x4B41_4C45_0000_0001  # "KALE", 1
_PATIENCE_MILLISECONDS = 5_000
# The server ends the session of a backend that is frozen or out of reach, so that another one can start.
_SESSION = {
    "lock_timeout": str(_PATIENCE_MILLISECONDS),
    "idle_session_timeout": "30000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# The control file names the timeline of the last checkpoint, which a promotion may precede; the log itself is exact.
# The place where the log is inserted is the end of a whole record; what was flushed may end in the midst of one, which
# recovery after a crash drops.
_HEAD = """
SELECT
    (SELECT c.system_identifier FROM pg_control_system() AS c) AS system_identifier,
    CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS bit(32)) AS bigint) AS timeline,
    CAST(pg_current_wal_insert_lsn() - '0/0' AS bigint) AS position,
    (SELECT coalesce(max(e.id), 0) FROM block_events AS e) AS event,
    coalesce(k.number, 0) AS link_number,
    coalesce(k.hash, decode(repeat('00', 32), 'hex')) AS link_hash,
    l.fence, l.epoch, l.system_identifier AS leased_system, l.timeline AS leased_timeline
FROM lease AS l
LEFT JOIN (SELECT n.number, n.hash FROM block_event_links AS n ORDER BY n.number DESC LIMIT 1) AS k ON true
"""
# A commit after the head was read puts everything up to that head on disk.
_FLUSH = "SELECT pg_logical_emit_message(true, 'kale', '')"
_LINKED = "SELECT (SELECT n.hash FROM block_event_links AS n WHERE n.number = %s)"
_TAKE = """
UPDATE lease
SET fence = %(fence)s, epoch = %(epoch)s, holder = %(holder)s, taken_at = now(), system_identifier = %(system)s,
    timeline = %(timeline)s
"""
_HOLDER = """
SELECT l.holder, l.fence, l.taken_at, a.client_addr, a.backend_start
FROM lease AS l
LEFT JOIN pg_database AS d ON d.datname = current_database()
LEFT JOIN pg_locks AS k
    ON k.locktype = 'advisory' AND k.granted AND k.database = d.oid
    AND k.classid = CAST(%(high)s AS bigint) AND k.objid = CAST(%(low)s AS bigint) AND k.objsubid = 1
LEFT JOIN pg_stat_activity AS a ON a.pid = k.pid
"""
_BEGIN_QUARANTINE = """
INSERT INTO quarantines (epoch, reason, known_ledger)
SELECT %(epoch)s, %(reason)s, max(greatest(a.created_ledger, a.result_ledger)) FROM attempts AS a
"""
# A restored database may have forgotten fences that a backend of its earlier life still carries: skip them all.
_SKIPPED_FENCE_BITS = 40
_TIME = "%Y-%m-%d %H:%M:%S UTC"

Session = psycopg.AsyncConnection[Any]


class SqlLeaseStore:
    """See backend.ports.lease.LeaseStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._session: Session | None = None
        self._turn = asyncio.Lock()

    async def take(self, holder: str, recorded: Head | None) -> Lease:
        """Takes the next fence; see the port."""
        async with self._turn:
            with self._database.translated():
                session = await self._database.session(_SESSION)
                try:
                    await _wait_for_lock(session)
                    lease = await _take(session, holder, recorded)
                except BaseException:
                    await session.close()
                    raise
            self._session = session
        self._database.fence = lease.fence
        return lease

    async def renew(self) -> None:
        """Looks whether the lease is still ours; see the port."""
        async with self._turn:
            with self._database.translated():
                locked = await self._is_alive()
                if self._session is None or not locked:
                    self._session = await self._database.session(_SESSION)
                try:
                    if not locked:
                        (locked,) = await _row(self._session, "SELECT pg_try_advisory_lock(%s)", [_LOCK])
                    await self._check_fence(self._session, locked=locked)
                except BaseException:
                    await self._session.close()
                    raise

    async def _is_alive(self) -> bool:
        """Whether the session that holds the lock still does."""
        if self._session is None or self._session.closed:
            return False
        try:
            await self._session.execute("SELECT 1")
        except psycopg.OperationalError:
            await self._session.close()
            return False
        return True

    async def _check_fence(self, session: Session, *, locked: bool) -> None:
        fence, holder, taken_at = await _row(session, "SELECT fence, holder, taken_at FROM lease")
        if fence != self._database.fence:
            raise LeaseLostError(
                f"the lease was taken by {holder} with fence {fence} at {taken_at:{_TIME}}; this backend, with fence "
                f"{self._database.fence}, ends"
            )
        if not locked:
            raise DatabaseUnavailableError("another session holds the lease's lock, not yet its fence")

    async def head(self) -> Head:
        """How far the database has come."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(text(_HEAD))).one()
            await connection.execute(text(_FLUSH))
        return _read_head(row)

    async def release(self) -> None:
        """Ends the session; see the port."""
        async with self._turn:
            if self._session is not None:
                await self._session.close()
                self._session = None


async def _take(session: Session, holder: str, recorded: Head | None) -> Lease:
    async with session.transaction():
        await session.execute("SELECT FROM lease FOR UPDATE")
        cursor = session.cursor(row_factory=namedtuple_row)
        row: Any = await (await cursor.execute(_HEAD)).fetchone()
        found = _read_head(row)
        leased = None if row.leased_system is None else Incarnation(int(row.leased_system), row.leased_timeline)
        (linked,) = await _row(session, _LINKED, [recorded.chain.number if recorded else 0])
        reason = restored(recorded, leased, found, linked=linked)
        epoch = row.epoch + 1 if reason or not found.fence else row.epoch
        lease = Lease(_next_fence(found.fence, recorded, reason), epoch, reason)
        taken = {
            "fence": lease.fence,
            "epoch": epoch,
            "holder": holder,
            "system": found.incarnation.system_identifier,
            "timeline": found.incarnation.timeline,
        }
        await session.execute(_TAKE, taken)
        if reason is not None:
            await session.execute(_BEGIN_QUARANTINE, {"epoch": lease.epoch, "reason": reason})
    return lease


def _read_head(row: Any) -> Head:
    """The head in a row of _HEAD."""
    return Head(
        Incarnation(int(row.system_identifier), row.timeline),
        position=row.position,
        event=row.event,
        fence=row.fence,
        chain=ChainHead(row.link_number, row.link_hash),
    )


def _next_fence(fence: int, recorded: Head | None, reason: str | None) -> int:
    if reason is None:
        return fence + 1
    return max(fence, recorded.fence if recorded else 0) + 1 + secrets.randbits(_SKIPPED_FENCE_BITS)


async def _wait_for_lock(session: Session) -> None:
    try:
        await session.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    except psycopg.errors.LockNotAvailable:
        raise LeaseHeldError(await _held_by(session)) from None


async def _held_by(session: Session) -> str:
    keys = {"high": _LOCK >> 32, "low": _LOCK & 0xFFFF_FFFF}
    holder, fence, taken_at, address, since = await _row(session, _HOLDER, keys)
    # Between its lock and its first fence it has not written its name yet.
    who = "one just starting" if taken_at is None else f"{holder}, fence {fence}, started {taken_at:{_TIME}}"
    where = "" if address is None else f", connected from {address} since {since:{_TIME}}"
    return (
        f"another backend works on this database: {who}{where}; "
        "stop that one first, or start this one on a database of its own"
    )


async def _row(session: Session, statement: LiteralString, values: Any = None) -> tuple[Any, ...]:
    """The one row of a statement."""
    row = await (await session.execute(statement, values)).fetchone()
    assert row is not None
    return tuple(row)
