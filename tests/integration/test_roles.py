"""The application's role: made by the migration, apart from the owner of the tables, who is refused."""

from collections.abc import Iterator

import psycopg
import pytest
import structlog.testing

from backend.db import migrate, open_stores
from backend.errors import DatabaseRoleError, DatabaseUnavailableError, MigrationError
from devnet.postgres import EmbeddedPostgres

NEW_ROLE = "kale_other"


@pytest.fixture
def limited_owner(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database whose owner may not make roles."""
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE limited LOGIN PASSWORD 'limited'")
        connection.execute("CREATE DATABASE limited OWNER limited TEMPLATE template0")
        yield f"postgresql://limited:limited@127.0.0.1:{postgres.port}/limited"
        connection.execute("DROP DATABASE limited WITH (FORCE)")
        connection.execute("DROP ROLE limited")


def other(postgres: EmbeddedPostgres, url: str, password: str) -> str:
    return f"postgresql://{NEW_ROLE}:{password}@127.0.0.1:{postgres.port}/{url.rsplit('/', 1)[1]}"


async def test_migration_makes_the_role_once_and_keeps_its_password(
    postgres: EmbeddedPostgres, empty_database_url: str
) -> None:
    url = other(postgres, empty_database_url, "first%2Fpassword")
    migrate(empty_database_url, network="local", application_url=url)
    assert migrate(empty_database_url, network="local", application_url=url) == []
    stores = await open_stores(url, max_connections=2, owner_allowed=False)
    assert await stores.farmers.addresses() == {}
    await stores.close()
    changed = other(postgres, empty_database_url, "second")
    migrate(empty_database_url, network="local", application_url=changed)
    with pytest.raises(DatabaseUnavailableError, match="password authentication failed"):
        await open_stores(changed, max_connections=2)


def test_right_that_left_the_file_is_gone(postgres: EmbeddedPostgres, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("GRANT DELETE ON attempts TO kale_application")
        migrate(database_url, network="local", application_url=postgres.application_url)
        (granted,) = connection.execute("SELECT has_table_privilege('kale_backend', 'attempts', 'DELETE')").fetchone()
    assert granted is False


async def test_owner_of_the_tables_is_refused_unless_allowed(database_url: str) -> None:
    with pytest.raises(DatabaseRoleError, match=r"'kale' owns the tables.*DATABASE_OWNER_URL.*ALLOW_OWNER_ROLE=true"):
        await open_stores(database_url, max_connections=2, owner_allowed=False)
    with structlog.testing.capture_logs() as logs:
        stores = await open_stores(database_url, max_connections=2, owner_allowed=True)
    await stores.close()
    assert [log["log_level"] for log in logs if "owns the tables" in log["event"]] == ["warning"]


def test_owner_as_application_is_refused(database_url: str) -> None:
    with pytest.raises(MigrationError, match="must name another user than DATABASE_OWNER_URL"):
        migrate(database_url, network="local", application_url=database_url)


async def test_owner_that_may_not_make_roles_says_what_an_administrator_does(
    postgres: EmbeddedPostgres, limited_owner: str
) -> None:
    url = f"postgresql://kale_limited:secret@127.0.0.1:{postgres.port}/limited"
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        with pytest.raises(MigrationError, match=r"CREATE ROLE \"kale_limited\" LOGIN") as caught:
            migrate(limited_owner, network="local", application_url=url)
        assert "secret" not in str(caught.value)
        connection.execute("CREATE ROLE kale_limited LOGIN PASSWORD 'secret' IN ROLE kale_application")
        migrate(limited_owner, network="local", application_url=url)
        stores = await open_stores(url, max_connections=2, owner_allowed=False)
        await stores.close()
        connection.execute("DROP ROLE kale_limited")
