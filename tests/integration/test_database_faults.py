"""A database that is away, killed, badly set up or unmigrated: one clear error each, and nothing lost."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from backend.db import SqlStores, migrate, open_stores
from backend.db.database import Database
from backend.db.migrations import read_migrations
from backend.domain.farmer import NewFarmer
from backend.errors import BackendError, DatabaseUnavailableError, MigrationError
from devnet.postgres import EmbeddedPostgres
from devnet.postgres import _run as run_program
from tests.fixtures.rows import new_key


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, to be maltreated; durable, unlike the shared one."""
    with EmbeddedPostgres() as server:
        migrate(server.url, network="local", application_url=server.application_url)
        yield server


async def test_unreachable_database_names_the_host_but_no_password() -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1/pool") as caught:
        await open_stores("postgresql://kale:tops3cret@127.0.0.1:1/pool", max_connections=2)
    assert "tops3cret" not in str(caught.value)
    assert "tops3cret" not in repr(Database("postgresql://kale:tops3cret@127.0.0.1:1/pool", max_connections=2))


async def test_wrong_password_is_told_without_the_password(own_server: EmbeddedPostgres) -> None:
    url = f"postgresql://kale:tops3cret@127.0.0.1:{own_server.port}/kale_pool"
    with pytest.raises(DatabaseUnavailableError, match="password authentication failed") as caught:
        await open_stores(url, max_connections=2)
    assert "tops3cret" not in str(caught.value)


async def test_database_that_does_not_exist_is_told(own_server: EmbeddedPostgres) -> None:
    with pytest.raises(DatabaseUnavailableError, match='database "nowhere" does not exist'):
        await open_stores(own_server.url_of("nowhere"), max_connections=2)


async def test_unmigrated_database_says_what_to_run(empty_database_url: str) -> None:
    with pytest.raises(MigrationError, match="is empty; run `kale-backend migrate`"):
        await open_stores(empty_database_url, max_connections=2)


async def test_half_migrated_database_says_what_lacks(database_url: str) -> None:
    last = read_migrations()[-1]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE number = %s", [last.number])
    with pytest.raises(MigrationError, match=rf"lacks {last.name}; run `kale-backend migrate`"):
        await open_stores(database_url, max_connections=2)


async def test_database_with_test_data_serves(database_url: str) -> None:
    migrate(database_url, network="testnet", with_test_data=True)
    stores = await open_stores(database_url, max_connections=2)
    assert len(await stores.farmers.page(after=None, state=None, size=10)) == 5
    await stores.close()


async def test_server_that_does_not_keep_commits_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = off".encode())
    with pytest.raises(BackendError, match="synchronous_commit off: a commit must be on disk"):
        await open_stores(database_url, max_connections=2)


async def test_other_encoding_is_refused(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc"
        )
    with pytest.raises(BackendError, match="server_encoding SQL_ASCII: create the database with ENCODING 'UTF8'"):
        await open_stores(postgres.url_of("ascii"), max_connections=2)


async def test_server_that_does_not_notice_damaged_pages_is_refused(own_server: EmbeddedPostgres) -> None:
    own_server.stop()
    run_program(own_server._opened(), "pg_checksums", "--disable", "-D", str(own_server.data))
    own_server.start()
    with pytest.raises(BackendError, match="data_checksums off: stop the server and run `pg_checksums --enable`"):
        await open_stores(own_server.application_url, max_connections=2)


async def test_exhausted_pool_waits_its_turn(database_url: str) -> None:
    stores = await open_stores(database_url, max_connections=2)
    made = await asyncio.gather(*(stores.farmers.create(NewFarmer(new_key(), f"r{number}")) for number in range(20)))
    assert len({farmer.farmer_id for farmer in made}) == 20
    await stores.close()


async def test_committed_rows_survive_a_killed_server_and_the_stores_come_back(own_server: EmbeddedPostgres) -> None:
    stores = await open_stores(own_server.url, max_connections=2)
    farmer = await stores.farmers.create(NewFarmer(new_key(), "r"))
    own_server.kill()
    with pytest.raises(DatabaseUnavailableError):
        await stores.ping()
    with pytest.raises(DatabaseUnavailableError):
        await stores.farmers.get(farmer.farmer_id)
    own_server.start()
    await stores.ping()
    assert await stores.farmers.get(farmer.farmer_id) == farmer
    await stores.close()


async def test_errors_never_repeat_what_was_to_be_stored(database_url: str) -> None:
    stores: SqlStores = await open_stores(database_url, max_connections=2)
    key = new_key()
    await stores.farmers.create(NewFarmer(key, "r1"))
    with pytest.raises(BackendError) as caught:
        await stores.farmers.create(NewFarmer(key, "r2"))
    error: BaseException | None = caught.value
    while error is not None:
        assert key.sealed_seed.hex() not in str(error)
        assert repr(key.sealed_seed) not in str(error)
        error = error.__cause__
    await stores.close()
