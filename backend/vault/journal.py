"""What the signer remembers of payouts: the terms of each withdrawal for ever, and how much was signed within a day.

An SQLite file beside the key file, readable by its owner only; an entry is on disk before its signature is given out.
Time is the machine's clock, the one clock that whoever asks for signatures cannot set; it never runs back here.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.errors import SigningCapError, SigningJournalError

DAY_SECONDS = 86_400
_BUSY_SECONDS = 5
_OWNER_ONLY = 0o600
_SCHEMA = """
CREATE TABLE IF NOT EXISTS terms (withdrawal BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signed (
    farmer TEXT NOT NULL, source TEXT NOT NULL, sequence INTEGER NOT NULL,
    stroops INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (farmer, source, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS signed_at ON signed (at);
"""


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout that is about to be signed.

    Attributes:
        withdrawal_id: What it is approved under.
        terms: Digest of everything it was approved with.
        farmer: The farmer's address, which pays.
        source: The account whose sequence number its transaction uses.
        sequence: That number: of transactions with the same one, the ledger applies one at most.
        stroops: KALE that leaves the farmer's account.
    """

    withdrawal_id: UUID
    terms: bytes
    farmer: str
    source: str
    sequence: int
    stroops: int


class SigningJournal:
    """Lets payouts pass once their terms and amounts are recorded.

    Several signers on one machine may share a file.

    Args:
        path: The file, made if it is missing; None: in memory, for simulations.
        day_stroops: Most KALE that is signed away within 24 hours; 0: any amount.
        clock: Seconds since 1970.

    Raises:
        SigningJournalError: the file cannot be used.
    """

    def __init__(self, path: Path | None, day_stroops: int, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._day_stroops = day_stroops
        self._clock = clock
        with self._errors():
            if path is not None:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ONLY))
                path.chmod(_OWNER_ONLY)
            self._database = sqlite3.connect(path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None)
            self._database.execute("PRAGMA synchronous = EXTRA")
            self._database.executescript(_SCHEMA)

    def admit(self, payout: Payout) -> bool:
        """Records a payout; False where its withdrawal was signed before with other terms. A repeat records nothing.

        Raises:
            SigningCapError: with it more would be signed away within a day than the cap; nothing is recorded.
            SigningJournalError: it cannot be recorded.
        """
        with self._errors(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            known = self._row("SELECT digest FROM terms WHERE withdrawal = ?", payout.withdrawal_id.bytes)
            if known is not None and known[0] != payout.terms:
                return False
            if known is None:
                self._database.execute("INSERT INTO terms VALUES (?, ?)", (payout.withdrawal_id.bytes, payout.terms))
            self._spend(payout)
        return True

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _spend(self, payout: Payout) -> None:
        now = max(int(self._clock()), self._number("SELECT coalesce(max(at), 0) FROM signed"))
        self._database.execute("DELETE FROM signed WHERE at <= ?", (now - DAY_SECONDS,))
        spot = (payout.farmer, payout.source, payout.sequence)
        before = self._row("SELECT stroops FROM signed WHERE (farmer, source, sequence) = (?, ?, ?)", *spot)
        more = payout.stroops - (before[0] if before is not None else 0)
        if more <= 0:
            return
        spent = self._number("SELECT coalesce(sum(stroops), 0) FROM signed")
        if self._day_stroops and spent + more > self._day_stroops:
            raise SigningCapError(
                f"{payout.stroops} stroops out of {payout.farmer} are not signed: the signer signs away at most "
                f"{self._day_stroops} stroops of KALE in 24 hours (SIGNER_DAY_STROOPS), and {spent} were"
            )
        self._database.execute("INSERT OR REPLACE INTO signed VALUES (?, ?, ?, ?, ?)", (*spot, payout.stroops, now))

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
        return row

    def _number(self, query: str) -> int:
        (number,) = self._database.execute(query).fetchone()
        return int(number)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SigningJournalError(self._path, str(error)) from None
