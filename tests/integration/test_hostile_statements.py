"""What the application's role cannot do, each statement refused by the rule that is meant to refuse it.

One filled database serves all: what is refused changes nothing, and the few honest statements are rolled back.
"""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from backend.db import migrate, open_stores
from backend.domain.attempt import AttemptKind
from backend.domain.work import WorkReport
from devnet.postgres import EmbeddedPostgres
from tests.fixtures.hostile_statements import DENIED, FORBIDDEN, HONEST, REFUSED
from tests.fixtures.rows import POOLER, Rows, confirmed, expired, harvested, succeeded


async def fill(url: str) -> None:
    """Two farmers: block 1 planted, worked, one harvested, all with attempts; block 2 pending; one attempt expired."""
    stores = await open_stores(url, max_connections=3, owner_allowed=False)
    await stores.lease.take("the backend", None)
    rows = Rows(stores)
    farmers = await rows.farmers(3)
    plants = [rows.plant(farmer, 1) for farmer in farmers]
    attempts = await rows.request("r-1", plants, block_index=1)
    ends = [succeeded(one, [confirmed(plant)]) for one, plant in zip(attempts[:2], plants[:2], strict=True)]
    await stores.attempts.settle([*ends, expired(attempts[2])])
    await stores.works.record(WorkReport("w", POOLER, 1, farmers[0].farmer_id, bytes(32), 1, 64, 2))
    (first, *_) = await stores.harvests.open_pails()
    await stores.attempts.apply([harvested(first.harvest_id, 10)])
    await stores.attempts.store(rows.attempt(AttemptKind.CHANNELS, farmers[2].farmer_id, farmers[2].address))
    await rows.request("r-2", [rows.plant(farmers[0], 2)], block_index=2)
    await stores.close()


@pytest.fixture(scope="module")
def filled_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a filled database, as the application's role."""
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE hostile TEMPLATE template0")
        url = postgres.application_url_of("hostile")
        migrate(postgres.url_of("hostile"), network="local", application_url=url)
        asyncio.run(fill(url))
        yield url
        connection.execute("DROP DATABASE hostile WITH (FORCE)")


@pytest.fixture
def application(filled_url: str) -> Iterator[psycopg.Connection]:
    """A connection as the application's role; nothing it does is committed."""
    with psycopg.connect(filled_url) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_statement_without_a_right_is_denied(filled_url: str, statement: str) -> None:
    with psycopg.connect(filled_url, autocommit=True) as application, pytest.raises(psycopg.Error) as caught:
        application.execute(statement.encode())
    assert caught.value.sqlstate == DENIED, caught.value


@pytest.mark.parametrize(("statement", "state", "rule"), REFUSED)
def test_statement_against_a_rule_is_refused_by_that_rule(
    application: psycopg.Connection, statement: str, state: str, rule: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        application.execute(statement.encode())
    told = caught.value.diag
    assert caught.value.sqlstate == state, caught.value
    assert rule in {told.constraint_name, told.column_name} or (
        told.constraint_name is None and rule in (told.message_primary or "")
    ), caught.value


@pytest.mark.parametrize("statement", HONEST)
def test_honest_statement_passes(application: psycopg.Connection, statement: str) -> None:
    cursor = application.execute(statement.encode())
    assert cursor.rowcount > 0
    application.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_role_owns_nothing_and_may_little(application: psycopg.Connection) -> None:
    rights = application.execute("""
        SELECT
            r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls,
            EXISTS (SELECT FROM pg_class AS c WHERE c.relowner = r.oid),
            EXISTS (SELECT FROM pg_proc AS p WHERE p.proowner = r.oid)
        FROM pg_roles AS r WHERE r.rolname = current_user
    """).fetchone()
    assert rights == (False, False, False)
    tables = application.execute("""
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND has_table_privilege(c.oid, 'DELETE, TRUNCATE, TRIGGER, REFERENCES, UPDATE')
    """).fetchall()
    assert tables == []
