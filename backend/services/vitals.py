"""The pool's vital signs: figures that need database, ledger or disk, read from time to time for metrics and alarms."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backend.domain.life import LifeBand, bands
from backend.errors import UnavailableError
from backend.ports.backups import BackupAges, BackupLog
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.attending import Attending
from backend.services.status import PoolStatus, StatusBoard
from backend.services.tally import Tally

DAY_LEDGERS = 17_280
"""A day of five-second ledgers."""
LOOK_SECONDS = 15.0
"""Upper bound between two looks; every closed ledger looks as well."""
_SLOW_LEDGERS = 12


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of a file system, in all and free."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Vitals:
    """The figures as last read.

    Attributes:
        status: The components and sums.
        bands: Unharvested pails by the part of their lives used.
        spent_day_stroops: XLM charged to transactions stored in the last 17,280 ledgers.
        channel_accounts: The backend's channel accounts on the ledger.
        channel_stroops: Their XLM together.
        poolers_attending: Poolers that answer.
        poolers_silent: Poolers that attended and fell silent.
        disks: Disks that the pool writes to, by what for.
        backups: How old the backups are; None where they are kept elsewhere.
    """

    status: PoolStatus
    bands: Sequence[LifeBand] = ()
    spent_day_stroops: int = 0
    channel_accounts: int = 0
    channel_stroops: int = 0
    poolers_attending: int = 0
    poolers_silent: int = 0
    disks: Mapping[str, Disk] = field(default_factory=dict)
    backups: BackupAges | None = None

    @property
    def hours_left(self) -> float | None:
        """How long the master account lasts if the next day costs what the last did; None while nothing was spent."""
        return 24 * self.status.master_balance_stroops / self.spent_day_stroops if self.spent_day_stroops else None


class VitalSigns:
    """Reads them. `latest` is the last reading, None before the first.

    Args:
        stores: The rows.
        chain: The ledger.
        board: The components.
        attending: The poolers.
        tally: Is told of the farm.
        places: Folders whose disks matter, by what for.
        backups: Tells how old the backups are; None where they are kept elsewhere.
    """

    def __init__(
        self,
        stores: Stores,
        chain: ChainAccess,
        board: StatusBoard,
        attending: Attending,
        tally: Tally,
        *,
        places: Mapping[str, Path],
        backups: BackupLog | None,
    ) -> None:
        self._stores = stores
        self._chain = chain
        self._board = board
        self._attending = attending
        self._tally = tally
        self._places = places
        self._backups = backups
        self._slow_at: int | None = None
        self.latest: Vitals | None = None

    async def act(self) -> Vitals:
        """Reads once. What cannot be read now keeps its last value; the status says what is out of reach."""
        status = await self._board.status()
        if status.view is not None:
            counts = status.counts
            self._tally.look(status.view, active_farmers=counts.active_farmers, planted=counts.planted)
        poolers = self._attending.poolers
        vitals = replace(
            self.latest or Vitals(status),
            status=status,
            poolers_attending=sum(one.attendance is not None and not one.silent for one in poolers),
            poolers_silent=sum(one.silent for one in poolers),
        )
        ledger = 0 if status.view is None else status.view.ledger.sequence
        if self._slow_at is None or ledger - self._slow_at >= _SLOW_LEDGERS:
            vitals = await self._read_slowly(vitals, ledger)
        self.latest = vitals
        return vitals

    async def _read_slowly(self, vitals: Vitals, ledger: int) -> Vitals:
        vitals = replace(
            vitals,
            disks=await asyncio.to_thread(self._read_disks),
            backups=None if self._backups is None else await asyncio.to_thread(self._backups.ages),
        )
        try:
            lives = await self._stores.harvests.unharvested()
            spending = await self._stores.attempts.spending(ledger - DAY_LEDGERS)
            channels = await self._chain.reader.accounts(list(self._chain.factory.channels))
        except UnavailableError:
            return vitals
        self._slow_at = ledger
        return replace(
            vitals,
            bands=bands([life.pail for life in lives], ledger),
            spent_day_stroops=spending.charged,
            channel_accounts=len(channels),
            channel_stroops=sum(account.balance_stroops for account in channels.values()),
        )

    def _read_disks(self) -> Mapping[str, Disk]:
        found = {}
        for name, path in self._places.items():
            try:
                usage = shutil.disk_usage(path)
            except OSError:
                continue
            found[name] = Disk(usage.total, usage.free)
        return found
