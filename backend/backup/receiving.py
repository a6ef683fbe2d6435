"""Fetching the write-ahead log as it is written, and keeping it sealed."""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from backend.backup.settings import TakingSettings
from backend.backup.shelf import Shelf
from backend.backup.tools import PostgresTools
from backend.db.backups import WalPositions, wal_positions
from backend.db.database import Database
from backend.errors import BackupError, DatabaseUnavailableError

_log = structlog.get_logger()

_KEPT = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")
_PARTIAL = ".partial"
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_END_SECONDS = 10.0


class Receiver:
    """Runs pg_receivewal for ever, over a replication slot, into a folder of its own that holds the log in clear.

    What is complete there is sealed onto the shelf and removed; the segment being written is sealed again whenever it
    has grown.
    """

    def __init__(self, settings: TakingSettings, shelf: Shelf, tools: PostgresTools) -> None:
        self._settings = settings
        self._shelf = shelf
        self._tools = tools
        self._url = settings.backup_database_url.get_secret_value()
        self._recipient = settings.recipient()
        self._spool = shelf.root / "spool"
        self._pid_file = shelf.root / "receiver.pid"
        self._sealed: tuple[str, int] | None = None
        self._asked: tuple[int, float] | None = None
        self._problem = ""

    async def run(self) -> None:
        """Fetches the log until cancelled; a receiver that ended is started again."""
        await asyncio.to_thread(self._prepare)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            begun = time.monotonic()
            said = await self._receive()
            lasted = time.monotonic() - begun
            pause = _FIRST_PAUSE_SECONDS if lasted > _LONGEST_PAUSE_SECONDS else pause
            self._fail(f"the log is not being fetched: {said}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def seal(self) -> None:
        """Seals what has been fetched since the last look, for ever."""
        database = Database(self._url, max_connections=2)
        try:
            while True:
                await self._look(database)
                await asyncio.sleep(self._settings.backup_wal_seconds)
        finally:
            await database.close()

    async def _look(self, database: Database) -> None:
        positions: WalPositions | None = None
        now = time.time()
        try:
            positions = await wal_positions(database, self._settings.backup_slot)
        except DatabaseUnavailableError as error:
            self._fail(f"the log is not being fetched: {error}")
        # What was fetched is kept even if the server is gone: then more than ever.
        try:
            await asyncio.to_thread(self._seal_spool)
        except (BackupError, OSError) as error:
            self._fail(f"the log could not be kept: {error}")
            return
        if positions is not None and positions.fetched is not None:
            self._note_progress(positions.written, positions.fetched, now)

    def _note_progress(self, written: int, fetched: int, now: float) -> None:
        """Notes the last moment up to which all log is kept, by where the server stood at this look or an earlier."""
        if fetched >= written:
            complete_at: float | None = now
        else:
            complete_at = self._asked[1] if self._asked is not None and fetched >= self._asked[0] else None
        if complete_at is not None:
            self._problem = ""
            self._shelf.note(wal_at=complete_at, problem="")
        if complete_at is not None or self._asked is None:
            self._asked = written, now

    def _fail(self, problem: str) -> None:
        """Tells of a problem once, and notes it for the alarms."""
        if problem != self._problem:
            _log.warning("trying again", problem=problem)
            self._shelf.note(problem=problem)
        self._problem = problem

    def _seal_spool(self) -> None:
        partial: Path | None = None
        for path in sorted(self._spool.iterdir()) if self._spool.exists() else ():
            if _KEPT.fullmatch(path.name):
                self._shelf.put_wal(path, self._recipient)
                path.unlink()
            elif path.name.endswith(_PARTIAL):
                partial = path
        if partial is None:
            return
        with contextlib.suppress(FileNotFoundError):  # it was completed meanwhile: the next look takes it
            state = partial.name, partial.stat().st_mtime_ns
            if state != self._sealed:
                self._shelf.put_wal(partial, self._recipient)
                self._sealed = state

    def _prepare(self) -> None:
        """Ends a receiver that outlived an earlier run, keeps what it left, and begins from where the slot stands."""
        self._end_leftover()
        self._spool.mkdir(mode=0o700, exist_ok=True)
        self._seal_spool()
        # After a restore the server's log may have another history: the slot tells where to begin.
        for path in self._spool.iterdir():
            path.unlink()

    def _end_leftover(self) -> None:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        # The number may belong to another program by now.
        if str(self._spool).encode() in command:
            os.kill(pid, signal.SIGTERM)
            _wait_until(lambda: not Path(f"/proc/{pid}").exists())

    async def _receive(self) -> str:
        """Runs pg_receivewal until it ends; its last words."""
        slot = ("--slot", self._settings.backup_slot)
        try:
            create = ("--create-slot", "--if-not-exists", *slot, "--no-password")
            await asyncio.to_thread(self._tools.run, "pg_receivewal", *create, url=self._url)
        except BackupError as error:
            return str(error)
        arguments = ("-D", str(self._spool), *slot, "--synchronous", "--no-loop", "--no-password")
        process = self._tools.start("pg_receivewal", *arguments, url=self._url)
        self._pid_file.write_text(str(process.pid), encoding="ascii")
        try:
            _, said = await asyncio.to_thread(process.communicate)
        finally:
            process.terminate()
            await asyncio.shield(asyncio.to_thread(process.wait))
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "pg_receivewal ended without a word"


def _wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while not met() and time.monotonic() < deadline:
        time.sleep(0.1)
