"""The embedded PostgreSQL: what it is set up as, what it keeps, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from devnet.errors import PostgresError
from devnet.postgres import EmbeddedPostgres


def ask(url: str, statement: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return "" if row is None else str(row[0])


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres() as postgres:
        yield postgres


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("server_encoding", "UTF8"),
        ("data_checksums", "on"),
        ("synchronous_commit", "on"),
        ("fsync", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
    ],
)
def test_setting_is_safe(server: EmbeddedPostgres, setting: str, expected: str) -> None:
    assert ask(server.url, f"SHOW {setting}") == expected


def test_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://kale:guess@127.0.0.1:{server.port}/kale_pool")


@pytest.mark.skipif(os.geteuid() != 0, reason="root only")
def test_root_runs_the_server_as_an_unprivileged_user(server: EmbeddedPostgres) -> None:
    data = Path(ask(server.url, "SHOW data_directory"))
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split("\n")[0]))
    assert postmaster.username() != "root"
    assert postmaster.uids().real == data.stat().st_uid


def test_repr_hides_the_password(server: EmbeddedPostgres) -> None:
    password = server.url.split(":")[2].split("@")[0]
    assert password not in repr(server)


def test_rows_survive_a_stop_and_the_directory_is_reused(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "db") as first:
        ask(first.url, "CREATE TABLE kept AS SELECT 7 AS number")
    with EmbeddedPostgres(tmp_path / "db") as second:
        assert ask(second.url, "SELECT number FROM kept") == "7"


def test_committed_rows_survive_a_kill_at_the_same_address(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "db") as postgres:
        url = postgres.url
        ask(url, "CREATE TABLE kept AS SELECT 7 AS number")
        postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        postgres.start()
        assert ask(url, "SELECT number FROM kept") == "7"


def test_deleted_directory_starts_empty(tmp_path: Path) -> None:
    directory = tmp_path / "db"
    with EmbeddedPostgres(directory) as first:
        ask(first.url, "CREATE TABLE kept AS SELECT 7 AS number")
    (directory / "postgres.json").unlink()
    if os.geteuid() != 0:
        (directory / "data").rename(tmp_path / "old")
    with EmbeddedPostgres(directory) as second:
        assert ask(second.url, "SELECT to_regclass('kept') IS NULL") == "True"


def test_exception_inside_the_context_stops_the_server(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "db")
    with pytest.raises(psycopg.errors.DivisionByZero), postgres:
        ask(postgres.url, "SELECT 1 / 0")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", postgres.port))


def test_temporary_directory_is_deleted() -> None:
    with EmbeddedPostgres() as postgres:
        data = Path(ask(postgres.url, "SHOW data_directory"))
        assert data.exists()
    assert not data.exists()


def test_directory_in_use_is_refused(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "db"), pytest.raises(PostgresError, match="another process runs"):
        EmbeddedPostgres(tmp_path / "db").__enter__()


def test_damaged_marker_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "postgres.json").write_text("{}")
    with pytest.raises(PostgresError, match="damaged; remove its folder"):
        EmbeddedPostgres(tmp_path).__enter__()


def test_bad_setting_is_reported_with_the_servers_words(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match='invalid value for parameter "work_mem"'):
        EmbeddedPostgres(tmp_path / "db", settings={"work_mem": "lots"}).__enter__()


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "db") as postgres:
        data = Path(ask(postgres.url, "SHOW data_directory"))
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(PostgresError, match="made by PostgreSQL 9"):
        EmbeddedPostgres(tmp_path / "db").__enter__()


def test_use_outside_a_with_statement_is_refused() -> None:
    with pytest.raises(PostgresError, match="context manager"):
        EmbeddedPostgres().start()


def test_killed_owner_leaves_no_server_and_the_directory_usable(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "devnet.postgres", str(tmp_path / "db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert b"database_url" in owner.stdout.readline()
        servers = [psutil.Process(owner.pid).children()[0]]
        owner.kill()
    assert psutil.wait_procs(servers, timeout=60)[1] == []
    with EmbeddedPostgres(tmp_path / "db") as postgres:
        assert ask(postgres.url, "SELECT 1") == "1"


def test_command_ends_cleanly_when_asked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "devnet.postgres", str(tmp_path / "db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(60) == 0
    assert b"database system is shut down" in (tmp_path / "db" / "postgres.log").read_bytes()
