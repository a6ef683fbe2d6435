"""Checking the books: everything at start, what was added at every new block, and the accounts on the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from backend.domain.money import Violation
from backend.errors import BooksViolatedError
from backend.ports.money import MoneyStore
from backend.services.access import ChainAccess

_log = structlog.get_logger()

_OVERLAP = timedelta(minutes=5)
"""Longer than any transaction of the database may take: what it began before a check, the next one sees."""
_TOLD = 5


class BooksCheck:
    """Keeps the gate for plants closed while the books break a rule, or differ from the ledger."""

    def __init__(self, money: MoneyStore, chain: ChainAccess) -> None:
        self._money = money
        self._reader = chain.reader
        self._watch = chain.watch
        self._gate = chain.gate
        self._checked_at: datetime | None = None
        self._checked_block: int | None = None
        self._compared_block: int | None = None
        self._violations: Sequence[Violation] = ()
        self._differences: Sequence[Violation] = ()

    async def start(self) -> None:
        """Checks everything.

        Raises:
            BooksViolatedError: a rule is broken; the text says which rows break it.
            DatabaseUnavailableError: it cannot be told.
        """
        self._checked_at, violations = await self._money.check()
        if violations:
            raise BooksViolatedError(summary(violations))

    async def act(self) -> None:
        """One look at every new block, and at every ledger while something is wrong.

        Raises:
            DatabaseUnavailableError, LedgerUnavailableError: it cannot be told now; what was known stays.
        """
        block = self._watch.view.farm.index
        if self._violations or block != self._checked_block:
            since = None if self._violations or self._checked_at is None else self._checked_at - _OVERLAP
            self._checked_at, self._violations = await self._money.check(since=since)
            self._checked_block = block
        if self._differences or block != self._compared_block:
            await self._compare(block)
        self._close_gate([*self._violations, *self._differences])

    async def _compare(self, block: int) -> None:
        """Holds the books against the accounts, once an answer is of the very ledger that was booked last."""
        owners = await self._money.owners()
        if (await self._money.cursor()).unread_from is not None:
            return
        ledger, balances = await self._reader.dated_balances(list(owners))
        differences = await self._money.differences(ledger, balances) if owners else ()
        if differences is not None:
            self._differences, self._compared_block = differences, block

    def _close_gate(self, violations: Sequence[Violation]) -> None:
        text = summary(violations) if violations else None
        if text is not None and text != self._gate.books:
            for one in violations:
                _log.error("the books are not in order", kind=one.kind, key=one.key, detail=one.detail)
        elif text is None and self._gate.books is not None:
            _log.warning("the books are in order again")
        self._gate.books = text


def summary(violations: Sequence[Violation]) -> str:
    """The first violations in words, and how many there are."""
    first = "; ".join(f"{one.kind} {one.key}: {one.detail}" for one in violations[:_TOLD])
    more = f"; and {len(violations) - _TOLD} more" if len(violations) > _TOLD else ""
    return f"the books break their rules, nothing is planted until that is understood: {first}{more}"
