"""The state file: a ledger's entries and history in an SQLite file, so that it goes on after a restart."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devnet.errors import StateError
from devnet.records import LedgerRecord, TransactionRecord

FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (format INTEGER NOT NULL, identity TEXT NOT NULL, snapshot BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ledgers (
    sequence INTEGER PRIMARY KEY, close_time INTEGER NOT NULL, hash TEXT NOT NULL, base_fee INTEGER NOT NULL,
    header_xdr TEXT NOT NULL, history_entry_xdr TEXT NOT NULL, packed_metadata BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS transactions (
    ledger INTEGER NOT NULL, application_order INTEGER NOT NULL, hash TEXT NOT NULL, inner_hash TEXT,
    successful INTEGER NOT NULL, fee_bump INTEGER NOT NULL, envelope_xdr TEXT NOT NULL, result_xdr TEXT NOT NULL,
    meta_xdr TEXT NOT NULL, contract_events TEXT NOT NULL, diagnostic_events TEXT NOT NULL,
    PRIMARY KEY (ledger, application_order)
);
"""


@dataclass(frozen=True, slots=True)
class SavedLedger:
    """The engine's snapshot and the closed ledgers up to it, at least one."""

    snapshot: bytes
    ledgers: Sequence[LedgerRecord]


class StateFile:
    """One state file, open for as long as the ledger runs.

    Args:
        path: The file; made if it does not exist.
        identity: What a ledger must have in common with the one saved, by the name of the option that sets it.

    Raises:
        StateError: If the file is not such a file, is in use, or belongs to another ledger.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path = path
        self._identity = dict(identity)
        with self._errors():
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1)
            # A second process on the same file would write another history into it.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.executescript(_SCHEMA)
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("COMMIT")

    def load(self) -> SavedLedger | None:
        """What was saved; None in a new file."""
        with self._errors():
            row = self._database.execute("SELECT format, identity, snapshot FROM state").fetchone()
            if row is None:
                return None
            self._check(row[0], json.loads(row[1]))
            return SavedLedger(row[2], list(self._ledgers()))

    def save(self, snapshot: bytes, ledgers: Sequence[LedgerRecord], oldest: int) -> None:
        """Replaces the snapshot, adds ledgers, and forgets those before `oldest`: all or nothing."""
        with self._errors(), self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM state")
            database.execute("INSERT INTO state VALUES (?, ?, ?)", (FORMAT, json.dumps(self._identity), snapshot))
            for ledger in ledgers:
                database.execute("INSERT OR REPLACE INTO ledgers VALUES (?, ?, ?, ?, ?, ?, ?)", _ledger_row(ledger))
                database.executemany(
                    "INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_row(ledger, record) for record in ledger.transactions],
                )
            database.execute("DELETE FROM ledgers WHERE sequence < ?", (oldest,))
            database.execute("DELETE FROM transactions WHERE ledger < ?", (oldest,))

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _check(self, version: int, saved: Mapping[str, Any]) -> None:
        if version != FORMAT:
            raise StateError(f"{self._path} has format {version}, this program reads {FORMAT}: choose another file")
        for name, value in self._identity.items():
            if saved.get(name) != value:
                raise StateError(
                    f"{self._path} holds a ledger made with --{name} {saved.get(name)}, not {value}: "
                    "choose the same again, or another file"
                )

    def _ledgers(self) -> Iterator[LedgerRecord]:
        transactions: dict[int, list[TransactionRecord]] = {}
        for row in self._database.execute("SELECT * FROM transactions ORDER BY ledger, application_order"):
            transactions.setdefault(row[0], []).append(_record(row))
        for row in self._database.execute("SELECT * FROM ledgers ORDER BY sequence"):
            yield _ledger(row, transactions.get(row[0], ()))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(f"state file {self._path}: {error}") from error


def _ledger(row: tuple[Any, ...], transactions: Sequence[TransactionRecord]) -> LedgerRecord:
    return LedgerRecord(
        sequence=row[0],
        close_time=row[1],
        hash=row[2],
        base_fee=row[3],
        header_xdr=row[4],
        history_entry_xdr=row[5],
        packed_metadata=row[6],
        transactions=tuple(transactions),
    )


def _ledger_row(ledger: LedgerRecord) -> tuple[object, ...]:
    return (
        ledger.sequence,
        ledger.close_time,
        ledger.hash,
        ledger.base_fee,
        ledger.header_xdr,
        ledger.history_entry_xdr,
        ledger.packed_metadata,
    )


def _row(ledger: LedgerRecord, record: TransactionRecord) -> tuple[object, ...]:
    return (
        ledger.sequence,
        record.application_order,
        record.hash,
        record.inner_hash,
        record.successful,
        record.fee_bump,
        record.envelope_xdr,
        record.result_xdr,
        record.meta_xdr,
        json.dumps(record.contract_events),
        json.dumps(record.diagnostic_events),
    )


def _record(row: tuple[Any, ...]) -> TransactionRecord:
    return TransactionRecord(
        application_order=row[1],
        hash=row[2],
        inner_hash=row[3],
        successful=bool(row[4]),
        fee_bump=bool(row[5]),
        envelope_xdr=row[6],
        result_xdr=row[7],
        meta_xdr=row[8],
        contract_events=tuple(json.loads(row[9])),
        diagnostic_events=tuple(json.loads(row[10])),
    )
