"""Booking: what closed ledgers did to our farmers, read once each, and the books set right where they could not be."""

from __future__ import annotations

import asyncio

import structlog

from backend.domain.money import Passage, effects_of
from backend.domain.settlement import Effect
from backend.errors import UnavailableError
from backend.ports.chain import ChainReader, ClosedLedgers, LedgerFeed
from backend.ports.money import MoneyStore

_log = structlog.get_logger()

_RETRY_SECONDS = 0.5


class Booking:
    """Turns closed ledgers into passages for the money ledger, and fills gaps in what was read."""

    def __init__(self, money: MoneyStore, feed: LedgerFeed, reader: ChainReader) -> None:
        self._money = money
        self._feed = feed
        self._reader = reader
        self._gap = False

    async def start(self, oldest: int | None, last: int) -> int:
        """The ledger after which to follow.

        It is the cursor, or an earlier one after which an open attempt may have been applied, or what follows the
        ledgers that are lost to reading.

        Args:
            oldest: The ledger after which the oldest open attempt may have been applied; None: nothing is open.
            last: The last closed ledger.

        Raises:
            DatabaseUnavailableError, LedgerUnavailableError: it cannot be told.
        """
        cursor = await self._money.cursor()
        # The cursor alone is not enough: a backend that has lost its lease may have moved it past a ledger without
        # knowing the attempts of a newer one. What is read again is booked once all the same.
        wanted = min(one for one in (last if cursor.ledger is None else cursor.ledger, oldest) if one is not None)
        after = min(await self._feed.readable_after(wanted), max(wanted, last))
        if cursor.ledger is None or after > cursor.ledger:
            if after > wanted:
                _log.error("ledgers cannot be read any more; entries decide", first=wanted + 1, last=after)
            await self._money.skip(after)
        self._gap = (await self._money.cursor()).unread_from is not None
        return after

    async def read(self, update: ClosedLedgers) -> Passage:
        """What these ledgers did, trying until it can be told."""
        while True:
            try:
                owners = await self._money.owners()
                effects: list[Effect] = []
                for change in update.changes(owners):
                    effects += effects_of(change, owners[change.address])
                return Passage(update.first, update.last.sequence, effects)
            except UnavailableError as error:
                _log.warning("booking waits", ledger=update.last.sequence, error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def fill(self) -> None:
        """Sets the books equal to the accounts once after ledgers that could not be read.

        It needs an answer of the very ledger the cursor is at, and tries again at the next one.

        Raises:
            DatabaseUnavailableError, LedgerUnavailableError: not now.
        """
        if not self._gap:
            return
        owners = await self._money.owners()
        ledger, balances = await self._reader.dated_balances(list(owners))
        cursor = await self._money.cursor()
        adjusted = await self._money.reconcile(ledger if owners else cursor.ledger or 0, balances)
        if adjusted is None:
            return
        self._gap = False
        log = _log.error if adjusted else _log.info
        log("books set equal to the ledger", ledger=ledger, adjusted=adjusted)
