"""Migrations: order, checksums, all or nothing, and schema.sql as their sum."""

import shutil
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from backend.db.migrations import SQL_DIRECTORY, TEST_DATA, check_applied, migrate, pending, read_migrations
from backend.errors import DatabaseUnavailableError, MigrationError
from devnet.postgres import EmbeddedPostgres

NAMES = [migration.name for migration in read_migrations() if migration.number != TEST_DATA]
LAST = read_migrations()[-1].number
NEXT = f"{LAST + 1:03}_more.sql"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the migrations that may be changed."""
    return Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def dump(postgres: EmbeddedPostgres, url: str) -> str:
    command = [
        postgres.bin / "pg_dump",
        "--no-owner",
        "--no-privileges",
        "--exclude-table=schema_migrations",
        "--inserts",
        url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # pg_dump guards its own script with a random word.
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def test_files_apply_in_order_once_and_without_test_data(empty_database_url: str) -> None:
    assert migrate(empty_database_url, network="testnet") == NAMES
    assert NAMES[:2] == ["001_initial_schema.sql", "002_indexes.sql"]
    assert migrate(empty_database_url, network="testnet") == []
    assert run(empty_database_url, "SELECT count(*) FROM farmers") == [(0,)]


def test_what_would_be_applied_is_told_and_nothing_is_changed(empty_database_url: str) -> None:
    assert pending(empty_database_url) == pending(empty_database_url) == NAMES
    migrate(empty_database_url, network="testnet")
    assert pending(empty_database_url) == []


def test_schema_file_is_the_sum_of_the_migrations(
    postgres: EmbeddedPostgres, empty_database_url: str, database_url: str
) -> None:
    run(empty_database_url, (SQL_DIRECTORY / "schema.sql").read_text())
    assert dump(postgres, empty_database_url) == dump(postgres, database_url)


def test_test_data_are_inactive_farmers_without_secrets(database_url: str) -> None:
    assert migrate(database_url, network="testnet", with_test_data=True) == ["003_test_data.sql"]
    rows = run(database_url, "SELECT status, sealed_seed, key_version FROM farmers")
    assert len(rows) == 5
    assert set(rows) == {("inactive", None, None)}


def test_test_data_are_refused_on_mainnet(empty_database_url: str) -> None:
    with pytest.raises(MigrationError, match="refused on mainnet"):
        migrate(empty_database_url, network="mainnet", with_test_data=True)
    assert run(empty_database_url, "SELECT count(*) FROM pg_class WHERE relname = 'farmers'") == [(0,)]


def test_edited_applied_file_is_refused(database_url: str, files: Path) -> None:
    with (files / "001_initial_schema.sql").open("a") as file:
        file.write("-- an afterthought\n")
    with pytest.raises(MigrationError, match=r"001_initial_schema\.sql was edited after it was applied"):
        migrate(database_url, network="local", directory=files)


def test_later_change_is_applied_without_test_data(database_url: str, files: Path) -> None:
    (files / NEXT).write_text("CREATE TABLE more (id integer);")
    assert migrate(database_url, network="local", directory=files) == [NEXT]
    assert migrate(database_url, network="local", directory=files, with_test_data=True) == ["003_test_data.sql"]


def test_missing_number_is_refused(empty_database_url: str, files: Path) -> None:
    (files / "002_indexes.sql").unlink()
    with pytest.raises(MigrationError, match=r"migration 002 is missing before 003_test_data\.sql"):
        migrate(empty_database_url, network="local", directory=files)


def test_double_number_is_refused(empty_database_url: str, files: Path) -> None:
    (files / "002_again.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="double"):
        migrate(empty_database_url, network="local", directory=files)


def test_database_with_a_gap_is_refused(database_url: str, files: Path) -> None:
    (files / NEXT).write_text("CREATE TABLE more (id integer);")
    migrate(database_url, network="local", directory=files)
    run(database_url, "DELETE FROM schema_migrations WHERE number = 2")
    with pytest.raises(MigrationError, match=r"after 002_indexes\.sql but not that one"):
        migrate(database_url, network="local", directory=files)


def test_database_newer_than_the_program_is_refused(database_url: str, files: Path) -> None:
    (files / NEXT).write_text("CREATE TABLE more (id integer);")
    migrate(database_url, network="local", directory=files)
    with pytest.raises(MigrationError, match=f"migration {LAST + 1:03}, which this program does not know"):
        migrate(database_url, network="local")


def test_failing_file_leaves_nothing_behind(database_url: str, files: Path) -> None:
    (files / NEXT).write_text("CREATE TABLE half (id integer);\nSELECT 1 / 0;")
    with pytest.raises(MigrationError, match=rf"{NEXT} failed and left nothing behind: division by zero"):
        migrate(database_url, network="local", directory=files)
    assert run(database_url, "SELECT to_regclass('half') IS NULL, max(number) FROM schema_migrations") == [(True, LAST)]
    (files / NEXT).write_text("CREATE TABLE half (id integer);")
    assert migrate(database_url, network="local", directory=files) == [NEXT]


def test_file_that_controls_transactions_is_refused(files: Path) -> None:
    (files / NEXT).write_text("CREATE TABLE more (id integer);\ncommit;\n")
    with pytest.raises(MigrationError, match="must not begin or end transactions"):
        read_migrations(files)


def test_two_migrations_at_once_apply_each_file_once(empty_database_url: str) -> None:
    applied: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: applied.append(migrate(empty_database_url, network="local"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, applied)) == [0, 0, 0, len(NAMES)]


def test_empty_folder_is_an_incomplete_installation(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="installation is incomplete"):
        read_migrations(tmp_path)


def test_unreachable_database_names_the_host_but_no_password() -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1/pool") as caught:
        migrate("postgresql://kale:tops3cret@127.0.0.1:1/pool", network="local")
    assert "tops3cret" not in str(caught.value)


def test_applied_files_need_no_further_work() -> None:
    migrations = read_migrations()
    applied = {migration.number: migration.checksum for migration in migrations}
    assert check_applied(applied, migrations, test_data=True) == []
