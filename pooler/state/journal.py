"""A journal in one SQLite file: what a restarted pooler must know, and the outbox of reports.

Writes are durable before their method returns (`synchronous = FULL`). All statements run on one thread of the
journal's own, so that the event loop never waits for a disk.
"""

import asyncio
import fcntl
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, TypeVar

from kale_chain.planning.delays import REMEMBERED
from pooler.domain.assignment import Assignment, Find
from pooler.domain.attempt import Attempt
from pooler.domain.nonce_range import RUNS
from pooler.domain.presence import TakenLease
from pooler.domain.report import Report
from pooler.domain.schedule import Stage
from pooler.errors import StateError
from pooler.ports import Kept
from pooler.state.payload import packed, unpacked

KEEP_BLOCKS = 12
_LOCK_FILE = "pooler.lock"
_FILE = "pooler.sqlite3"

# Nonces are unsigned 64-bit numbers, which SQLite's integers cannot hold: decimal text.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (farm TEXT NOT NULL, pooler_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (block_index INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS assignments (
    block_index INTEGER NOT NULL, address TEXT NOT NULL, farmer_id TEXT NOT NULL, planted_ledger INTEGER NOT NULL,
    stake_stroops INTEGER NOT NULL, generation INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (block_index, address));
CREATE TABLE IF NOT EXISTS taken (
    block_index INTEGER NOT NULL, farmer_id TEXT NOT NULL, generation INTEGER NOT NULL,
    PRIMARY KEY (block_index, farmer_id));
CREATE TABLE IF NOT EXISTS runs (number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS finds (
    block_index INTEGER NOT NULL, address TEXT NOT NULL, zeros INTEGER NOT NULL, nonce TEXT NOT NULL,
    digest BLOB NOT NULL, PRIMARY KEY (block_index, address, zeros));
CREATE TABLE IF NOT EXISTS attempts (
    transaction_hash TEXT PRIMARY KEY, block_index INTEGER NOT NULL, address TEXT NOT NULL, zeros INTEGER NOT NULL,
    nonce TEXT NOT NULL, digest BLOB NOT NULL, stage INTEGER NOT NULL, channel INTEGER NOT NULL,
    envelope TEXT NOT NULL, max_ledger INTEGER NOT NULL, open INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT, report_id TEXT NOT NULL UNIQUE, block_index INTEGER NOT NULL,
    address TEXT NOT NULL, payload TEXT NOT NULL, acknowledged INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS reports_to_deliver ON reports (number) WHERE acknowledged = 0;
CREATE INDEX IF NOT EXISTS reports_by_pail ON reports (block_index, address);
CREATE TABLE IF NOT EXISTS delays (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, ledgers INTEGER);
CREATE INDEX IF NOT EXISTS delays_by_kind ON delays (kind, number);
"""
_OLD = ("requests", "assignments", "taken", "finds", "attempts")
_UNREPORTED = """
SELECT a.block_index, a.farmer_id, a.address, a.planted_ledger, a.stake_stroops, a.generation FROM assignments AS a
WHERE NOT EXISTS (SELECT 1 FROM reports AS r WHERE r.block_index = a.block_index AND r.address = a.address)
AND NOT EXISTS (
    SELECT 1 FROM taken AS t
    WHERE t.block_index = a.block_index AND t.farmer_id = a.farmer_id AND t.generation > a.generation)
ORDER BY a.block_index, a.address
"""

Result = TypeVar("Result")


class SqliteJournal:
    """The journal of one pooler on one farm. A context manager.

    Args:
        directory: Where the file lies; created if missing (mode 0700), and locked while the journal is open.
        farm: What tells this farm from every other, such as its id and the network's passphrase.
        pooler_id: The pooler's name.

    Raises:
        StateError: If the directory cannot be used, is in use, or belongs to another farm or pooler.
    """

    def __init__(self, directory: Path, *, farm: str, pooler_id: str) -> None:
        self._lock = _locked(directory)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        try:
            self._database = sqlite3.connect(directory / _FILE, check_same_thread=False, isolation_level=None)
            self._prepare(directory, farm, pooler_id)
        except sqlite3.Error as error:
            self.close()
            raise StateError(f"STATE_DIRECTORY: cannot use {directory / _FILE}: {error}") from error
        except StateError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the last write and gives the directory free. A repeat does nothing."""
        self._thread.shutdown()
        if hasattr(self, "_database"):
            self._database.close()
        self._lock.close()

    def _prepare(self, directory: Path, farm: str, pooler_id: str) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(assignments)")}
        if "generation" not in columns:  # written by a version that knew no leases
            self._database.execute("ALTER TABLE assignments ADD COLUMN generation INTEGER NOT NULL DEFAULT 1")
        owner = self._database.execute("SELECT farm, pooler_id FROM owner").fetchone()
        if owner is None:
            self._database.execute("INSERT INTO owner VALUES (?, ?)", (farm, pooler_id))
        elif owner != (farm, pooler_id):
            raise StateError(
                f"STATE_DIRECTORY: {directory} belongs to pooler {owner[1]!r} on farm {owner[0]}; use another directory"
            )

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        def transaction() -> Result:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                return work(self._database)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except sqlite3.Error as error:
            raise StateError(f"STATE_DIRECTORY: cannot write the journal: {error}") from error

    async def restore(self, index: int) -> Kept:
        """What is unfinished, after forgetting what is old and what another ledger must have had."""

        def work(database: sqlite3.Connection) -> Kept:
            for table in _OLD:
                database.execute(
                    f"DELETE FROM {table} WHERE block_index < ? OR block_index > ?",  # noqa: S608 - fixed names
                    (index - KEEP_BLOCKS, index + 1),
                )
            database.execute(
                "DELETE FROM reports WHERE block_index > ? OR (acknowledged AND block_index < ?)",
                (index + 1, index - KEEP_BLOCKS),
            )
            return _kept(database, _next_run(database))

        return await self._run(work)

    async def requested(self, block_index: int) -> None:
        """Plants were asked for in a block; forgets blocks long gone."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("INSERT OR IGNORE INTO requests VALUES (?)", (block_index,))
            for table in _OLD:
                database.execute(f"DELETE FROM {table} WHERE block_index < ?", (block_index - KEEP_BLOCKS,))  # noqa: S608
            database.execute("DELETE FROM reports WHERE acknowledged AND block_index < ?", (block_index - KEEP_BLOCKS,))

        await self._run(work)

    async def assigned(self, assignment: Assignment) -> bool:
        """A farmer is this pooler's; False if a report on it is already written, or another pooler has it by now."""

        def work(database: sqlite3.Connection) -> bool:
            pail = (assignment.block_index, assignment.address)
            reported = database.execute("SELECT 1 FROM reports WHERE block_index = ? AND address = ?", pail).fetchone()
            database.execute(
                "INSERT INTO assignments (block_index, address, farmer_id, planted_ledger, stake_stroops, generation) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (block_index, address) "
                "DO UPDATE SET generation = max(generation, excluded.generation)",
                (
                    *(*pail, assignment.farmer_id, assignment.planted_ledger),
                    *(assignment.stake_stroops, assignment.generation),
                ),
            )
            lost = database.execute(
                "SELECT 1 FROM taken WHERE block_index = ? AND farmer_id = ? AND generation > ?",
                (assignment.block_index, assignment.farmer_id, assignment.generation),
            ).fetchone()
            return reported is None and lost is None

        return await self._run(work)

    async def taken(self, leases: Sequence[TakenLease]) -> None:
        """Farmers are other poolers' now, by leases of these generations."""
        rows = [(one.block_index, one.farmer_id, one.generation) for one in leases]
        await self._many(
            "INSERT INTO taken VALUES (?, ?, ?) ON CONFLICT (block_index, farmer_id) "
            "DO UPDATE SET generation = max(generation, excluded.generation)",
            rows,
        )

    async def found(self, finds: Sequence[tuple[int, str, Find]]) -> None:
        """Better finds by block and farmer."""
        rows = [(index, address, find.zeros, str(find.nonce), find.digest) for index, address, find in finds]
        await self._many("INSERT OR IGNORE INTO finds VALUES (?, ?, ?, ?, ?)", rows)

    async def opened(self, attempts: Sequence[Attempt]) -> None:
        """Attempts about to be sent."""
        rows = [
            (
                *(one.transaction_hash, one.block_index, one.address),
                *(one.find.zeros, str(one.find.nonce), one.find.digest),
                *(int(one.stage), one.channel, one.envelope, one.max_ledger),
            )
            for one in attempts
        ]
        await self._many(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) "
            "ON CONFLICT (transaction_hash) DO UPDATE SET open = 1",
            rows,
        )

    async def ended(self, attempts: Sequence[Attempt]) -> None:
        """Attempts whose end is known; they stay on record as submitted."""
        rows = [(one.transaction_hash,) for one in attempts]
        await self._many("UPDATE attempts SET open = 0 WHERE transaction_hash = ?", rows)

    async def seen(self, kind: str, delays: Sequence[int | None]) -> None:
        """Delays of a kind, in ledgers; None for one that never came."""
        await self._many("INSERT INTO delays (kind, ledgers) VALUES (?, ?)", [(kind, delay) for delay in delays])

    async def report(self, reports: Sequence[Report]) -> None:
        """Reports to be delivered; a report written before stays as it is."""
        rows = [(one.report_id, one.block_index, one.address, packed(one)) for one in reports]
        await self._many(
            "INSERT OR IGNORE INTO reports (report_id, block_index, address, payload) VALUES (?, ?, ?, ?)", rows
        )

    async def unacknowledged(self, limit: int) -> list[Report]:
        """Reports to deliver, oldest first."""

        def work(database: sqlite3.Connection) -> list[Report]:
            rows = database.execute(
                "SELECT payload FROM reports WHERE acknowledged = 0 ORDER BY number LIMIT ?", (limit,)
            )
            return [unpacked(payload) for (payload,) in rows]

        return await self._run(work)

    async def unacknowledged_count(self) -> int:
        """How many reports are to be delivered."""
        query = "SELECT count(*) FROM reports WHERE acknowledged = 0"
        return await self._run(lambda database: int(database.execute(query).fetchone()[0]))

    async def acknowledged(self, report_ids: Sequence[str]) -> None:
        """The backend has these."""
        await self._many(
            "UPDATE reports SET acknowledged = 1 WHERE report_id = ?", [(report_id,) for report_id in report_ids]
        )

    async def _many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        await self._run(lambda database: database.executemany(statement, rows))


def _locked(directory: Path) -> TextIO:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / _LOCK_FILE).open("w")
    except OSError as error:
        raise StateError(f"STATE_DIRECTORY: cannot use {directory}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StateError(f"STATE_DIRECTORY: {directory} is in use by another pooler; give each its own") from error
    return lock


def _next_run(database: sqlite3.Connection) -> int:
    """Counts this run; a new journal begins anywhere, since an old one may have been lost."""
    row = database.execute("SELECT number FROM runs").fetchone()
    if row is None:
        first = secrets.randbelow(RUNS)
        database.execute("INSERT INTO runs VALUES (?)", (first,))
        return first
    number = (int(row[0]) + 1) % RUNS
    database.execute("UPDATE runs SET number = ?", (number,))
    return number


def _kept(database: sqlite3.Connection, run_number: int) -> Kept:
    attempts = database.execute("SELECT * FROM attempts").fetchall()
    return Kept(
        requested=[index for (index,) in database.execute("SELECT block_index FROM requests")],
        assignments=[Assignment(*row) for row in database.execute(_UNREPORTED)],
        finds=[
            (index, address, Find(zeros, int(nonce), digest))
            for index, address, zeros, nonce, digest in database.execute("SELECT * FROM finds ORDER BY zeros")
        ],
        submitted=[(row[1], row[2], _find(row), Stage(row[6])) for row in attempts],
        attempts=[_attempt(row) for row in attempts if row[10]],
        run_number=run_number,
        delays={kind: _delays(database, kind) for (kind,) in database.execute("SELECT DISTINCT kind FROM delays")},
    )


def _delays(database: sqlite3.Connection, kind: str) -> list[int | None]:
    """The last delays of a kind, after forgetting those before."""
    oldest = "SELECT number FROM delays WHERE kind = ? ORDER BY number DESC LIMIT 1 OFFSET ?"
    database.execute(f"DELETE FROM delays WHERE kind = ? AND number <= ({oldest})", (kind, kind, REMEMBERED))  # noqa: S608
    rows = database.execute("SELECT ledgers FROM delays WHERE kind = ? ORDER BY number", (kind,))
    return [ledgers for (ledgers,) in rows]


def _find(row: Any) -> Find:
    return Find(row[3], int(row[4]), row[5])


def _attempt(row: Any) -> Attempt:
    return Attempt(
        transaction_hash=row[0],
        block_index=row[1],
        address=row[2],
        find=_find(row),
        stage=Stage(row[6]),
        channel=row[7],
        envelope=row[8],
        max_ledger=row[9],
    )
