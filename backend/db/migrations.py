"""Numbered SQL files, applied in order, once each, and never changed afterwards.

Each file runs in one transaction together with the row that records its checksum, so a failing file leaves nothing
behind. An advisory lock makes a second process wait for the first.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus

from backend.db.roles import grant
from backend.db.translation import translated_errors
from backend.errors import MigrationError

SQL_DIRECTORY = Path(__file__).resolve().parents[2] / "sql"
"""The folder `sql`, beside the packages in a checkout as in an installed wheel."""
TEST_DATA = 3
"""The number of the file with sample rows, applied on request only."""
_FILE_NAME = re.compile(r"(\d{3})_[a-z0-9_]+\.sql")
_TRANSACTION_CONTROL = re.compile(r"^\s*(BEGIN|START\s+TRANSACTION|COMMIT|ROLLBACK)\s*;", re.IGNORECASE | re.MULTILINE)
_LOCK = 0x4B414C45  # "KALE"
_RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_migrations IS 'The numbered SQL files applied to this database';
COMMENT ON COLUMN schema_migrations.number IS 'The file''s number';
COMMENT ON COLUMN schema_migrations.name IS 'The file''s name';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file as it was applied';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied';
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, 64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_migrations(directory: Path = SQL_DIRECTORY) -> list[Migration]:
    """The numbered files of a folder, in order.

    Raises:
        MigrationError: there are none, a number is missing or used twice, or a file controls transactions itself.
    """
    paths = sorted(path for path in directory.glob("*.sql") if _FILE_NAME.fullmatch(path.name))
    migrations = [Migration(int(path.name[:3]), path.name, path.read_text(encoding="utf-8")) for path in paths]
    if not migrations:
        raise MigrationError(f"no migrations found in {directory}; the installation is incomplete, install it again")
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise MigrationError(f"migration {expected:03} is missing before {migration.name}, or its number is double")
        if _TRANSACTION_CONTROL.search(migration.text):
            raise MigrationError(f"{migration.name} must not begin or end transactions: each file runs in one already")
    return migrations


def check_applied(applied: Mapping[int, str], migrations: Sequence[Migration], *, test_data: bool) -> list[Migration]:
    """The migrations still to be applied, in order.

    Args:
        applied: Checksums of those applied, by number.
        migrations: Those the program knows.
        test_data: Whether the sample rows are wanted; without, their file is passed over.

    Raises:
        MigrationError: an applied file was edited since, is unknown to this program, or comes after one not applied.
    """
    known = {migration.number: migration for migration in migrations}
    for number, checksum in sorted(applied.items()):
        if number not in known:
            raise MigrationError(
                f"the database has migration {number:03}, which this program does not know; upgrade it"
            )
        if known[number].checksum != checksum:
            raise MigrationError(
                f"{known[number].name} was edited after it was applied; restore it and put the change into a new file"
            )
    missing = [migration for migration in migrations if migration.number not in applied]
    needed = [migration for migration in missing if migration.number != TEST_DATA]
    if needed and any(number > needed[0].number for number in applied):
        raise MigrationError(f"the database has migrations after {needed[0].name} but not that one; restore a backup")
    return missing if test_data else needed


def pending(database_url: str, *, with_test_data: bool = False, directory: Path = SQL_DIRECTORY) -> list[str]:
    """The names of the files that `migrate` would apply now; nothing is changed. Raises as `migrate`."""
    migrations = read_migrations(directory)
    with translated_errors(database_url), psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
        known = row is not None and bool(row[0])
        rows = connection.execute("SELECT number, checksum FROM schema_migrations").fetchall() if known else []
    return [one.name for one in check_applied(dict(rows), migrations, test_data=with_test_data)]


def migrate(
    database_url: str,
    *,
    network: str,
    application_url: str | None = None,
    with_test_data: bool = False,
    directory: Path = SQL_DIRECTORY,
) -> list[str]:
    """Brings a database up to date and returns the names of the files applied; a repeat applies none.

    Args:
        database_url: The database, as the owner of its tables.
        network: mainnet, testnet or local.
        application_url: The same database as the backend connects to it: that role is made, and its rights are set
            anew. None leaves roles alone.
        with_test_data: Whether to add sample rows.
        directory: Where the files are.

    Raises:
        MigrationError: see `read_migrations`, `check_applied` and `roles.grant`; a file fails; test data are asked for
            on mainnet.
        DatabaseUnavailableError: the database cannot be reached.
    """
    if with_test_data and network == "mainnet":
        raise MigrationError("test data are refused on mainnet; leave out --with-test-data")
    migrations = read_migrations(directory)
    with translated_errors(database_url), psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        connection.execute("SET client_min_messages = warning")
        connection.execute(_RECORDS)
        rows = connection.execute("SELECT number, checksum FROM schema_migrations").fetchall()
        missing = check_applied(dict(rows), migrations, test_data=with_test_data)
        for migration in missing:
            _apply(connection, migration)
        if application_url is not None:
            grant(connection, application_url, directory)
    return [migration.name for migration in missing]


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.text.encode())
            if connection.info.transaction_status != TransactionStatus.INTRANS:
                raise MigrationError(f"{migration.name} ended the transaction it runs in; look at the database")
            connection.execute(
                "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
                [migration.number, migration.name, migration.checksum],
            )
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise MigrationError(f"{migration.name} failed and left nothing behind: {error}") from error
