"""Drills: a restore nobody needs, so that the one somebody needs works."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

import structlog

from backend.backup.examining import Examination, examine
from backend.backup.recovering import Recovered, recovered
from backend.backup.sealing import BackupKey
from backend.backup.settings import DrillSettings
from backend.backup.shelf import Shelf
from backend.backup.taking import scratch
from backend.backup.tools import PostgresTools
from backend.errors import BackendError, BackupError

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DrillReport:
    """How a drill went.

    Attributes:
        base: The base backup it restored.
        log_files: Files of the log at hand after it.
        seconds: From its beginning to a server that serves.
        log_fetched_at: When the log was last known to be fetched up to its end, Unix seconds; 0 if never.
        farmers: Farmers in the restored database.
        last_event_at: When its last event was recorded.
        canary: The farmer whose key was opened; None if none was to be opened.
    """

    base: str
    log_files: int
    seconds: float
    log_fetched_at: float
    farmers: int
    last_event_at: datetime | None
    canary: str | None


async def drill(shelf: Shelf, tools: PostgresTools, key: BackupKey, settings: DrillSettings) -> DrillReport:
    """Restores the newest backup into a temporary server, checks its books and opens a farmer's key.

    The outcome is kept for the alarms. Nothing of the running pool is touched.

    Raises:
        BackendError: The backup does not open, does not recover, breaks the books' rules or does not fit the keys.
    """
    try:
        server, found = await asyncio.to_thread(_restore_and_examine, shelf, tools, key, settings)
        if found.books is not None:
            raise BackupError(f"the restored database is not in order: {found.books}")
    except BackendError as error:
        shelf.note(drill_at=time.time(), drill_passed=False, problem=f"the drill failed: {error}")
        raise
    shelf.note(drill_at=time.time(), drill_passed=True, drill_seconds=round(server.seconds, 3))
    report = DrillReport(
        base=server.base.name,
        log_files=server.log_files,
        seconds=round(server.seconds, 3),
        log_fetched_at=shelf.status().wal_at,
        farmers=found.farmers,
        last_event_at=found.last_event_at,
        canary=found.canary,
    )
    _log.info("drill passed", base=report.base, seconds=report.seconds, farmers=report.farmers)
    return report


def _restore_and_examine(
    shelf: Shelf, tools: PostgresTools, key: BackupKey, settings: DrillSettings
) -> tuple[Recovered, Examination]:
    with scratch() as folder:
        tools.give(folder)
        with recovered(shelf, tools, key, folder / "data", None) as server:
            # A loop of its own: this runs in a thread.
            return server, asyncio.run(examine(settings, server.port))
