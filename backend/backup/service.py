"""`kale-backend backup run`: the log fetched all along, base backups and drills from time to time."""

import asyncio
import time
from datetime import timedelta

import structlog

from backend.backup.drilling import drill
from backend.backup.receiving import Receiver
from backend.backup.settings import DrillSettings, TakingSettings
from backend.backup.shelf import BaseBackup, Shelf
from backend.backup.taking import take_base, verify_base
from backend.backup.tools import PostgresTools
from backend.db.database import Database
from backend.db.farmers import SqlFarmerStore
from backend.errors import BackendError

_log = structlog.get_logger()

_RETRY_SECONDS = 60.0


class BackupService:
    """Keeps backups up to date.

    Args:
        settings: What it takes to make them.
        drilling: What it takes to look into restored ones; None where nothing opens them: no drills then, and no
            list of the farmers.
    """

    def __init__(self, settings: TakingSettings, drilling: DrillSettings | None) -> None:
        self._settings = settings
        self._drilling = drilling
        self._shelf = Shelf(settings.backup_directory)
        self._tools = settings.tools()
        self._receiver = Receiver(settings, self._shelf, self._tools)

    async def run(self) -> None:
        """Works until cancelled; what fails is said, noted for the alarms, and tried again."""
        _log.info("ready", backups=str(self._shelf.root), every_minutes=self._settings.backup_interval_minutes)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receiver.run())
            group.create_task(self._receiver.seal())
            group.create_task(self._base_backups())

    async def _base_backups(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                await back_up(self._settings, self._drilling, self._shelf, self._tools)
                if self._drill_due():
                    await drill(self._shelf, self._tools, self._settings.key(), self._settings_of_drill())
            except (BackendError, OSError) as error:
                _log.error("no base backup; trying again", problem=str(error))
                self._shelf.note(problem=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    def _pause(self) -> float:
        """Seconds until the next base backup is due."""
        bases = self._shelf.bases()
        if not bases:
            return 0.0
        return max(0.0, bases[-1].started_at + 60 * self._settings.backup_interval_minutes - time.time())

    def _drill_due(self) -> bool:
        hours = self._settings.backup_drill_hours
        if not hours or self._drilling is None or self._settings.backup_key_file is None:
            return False
        return time.time() - self._shelf.status().drill_at >= 3_600 * hours

    def _settings_of_drill(self) -> DrillSettings:
        if self._drilling is None:
            raise AssertionError("asked only where a drill is due")
        return self._drilling


async def back_up(
    settings: TakingSettings, drilling: DrillSettings | None, shelf: Shelf, tools: PostgresTools
) -> BaseBackup:
    """Takes a base backup, verifies it where its key is at hand, and removes what is no longer needed.

    Raises:
        BackupError: It failed; earlier backups are as they were.
    """
    url, recipient = settings.backup_database_url.get_secret_value(), settings.recipient()
    base = await asyncio.to_thread(take_base, shelf, tools, url, recipient)
    if settings.backup_key_file is not None:
        base = await asyncio.to_thread(verify_base, shelf, base, tools, settings.key())
    keep_from = time.time() - timedelta(days=settings.backup_keep_days).total_seconds()
    removed = await asyncio.to_thread(shelf.prune, keep_from)
    if drilling is not None:
        await _list_farmers(shelf, drilling)
    shelf.note(base_at=base.finished_at, base_bytes=base.bytes, base_verified=base.verified, problem="")
    _log.info("base backup", name=base.name, bytes=base.bytes, verified=base.verified, removed=removed)
    return base


async def _list_farmers(shelf: Shelf, settings: DrillSettings) -> None:
    """Keeps the addresses that kale-lifeboat needs, where the database still tells them."""
    database = Database(settings.database_url.get_secret_value(), max_connections=2)
    try:
        shelf.put_farmers(await SqlFarmerStore(database).addresses())
    finally:
        await database.close()
