"""Two backends over one real database: one is refused, by the lock while both live and by the fence afterwards."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from backend.db import SqlStores, migrate, open_stores
from backend.domain.attempt import AttemptKind
from backend.errors import LeaseHeldError, LeaseLostError
from backend.services.leasing import Leasing
from backend.vault import HeadFile
from devnet.postgres import EmbeddedPostgres
from tests.fixtures.rows import Rows
from tests.fixtures.stores import Query

CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
END_LEASE_SESSION = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name = 'kale-backend lease' AND datname = current_database()
"""
HEAD = "SELECT fence, epoch, holder FROM lease"


@pytest.fixture
async def second(application_url: str) -> AsyncIterator[SqlStores]:
    """The stores of another backend."""
    opened = await open_stores(application_url, max_connections=2, owner_allowed=False)
    yield opened
    await opened.close()


async def store_attempt(rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    await rows.stores.attempts.store(rows.attempt(AttemptKind.CHANNELS, farmer.farmer_id, farmer.address))


async def take_from(stores: SqlStores, second: SqlStores, query: Query) -> None:
    """Has the second take the lease while the first does not know that its session is gone."""
    query(END_LEASE_SESSION)
    await second.lease.take("the second", await stores.lease.head())


async def test_second_backend_is_refused_while_the_first_lives(
    stores: SqlStores, second: SqlStores, query: Query, rows: Rows
) -> None:
    before = query(HEAD)
    with pytest.raises(
        LeaseHeldError, match=r"a test, fence 1, started \d{4}-.* UTC, connected from 127\.0\.0\.1 since"
    ):
        await second.lease.take("the second", None)
    assert query(HEAD) == before
    await stores.lease.renew()
    await store_attempt(rows)


async def test_backend_without_the_lease_stores_no_attempt(second: SqlStores, query: Query) -> None:
    with pytest.raises(LeaseLostError):
        await store_attempt(Rows(second))
    assert query("SELECT count(*) FROM attempts") == [(0,)]


async def test_second_backend_waits_for_the_first_to_stop(stores: SqlStores, second: SqlStores, query: Query) -> None:
    head = await stores.lease.head()
    taking = asyncio.create_task(second.lease.take("the second", head))
    await stores.lease.release()
    lease = await taking
    assert (lease.fence, lease.epoch, lease.restored) == (2, 1, None)
    assert query(HEAD) == [(2, 1, "the second")]


async def test_older_backend_that_lost_its_session_is_refused_by_the_database(
    stores: SqlStores, second: SqlStores, query: Query, rows: Rows, tmp_path: Path
) -> None:
    await store_attempt(rows)
    await take_from(stores, second, query)
    with pytest.raises(LeaseLostError, match="held by the second with fence 2"):
        await store_attempt(rows)
    with pytest.raises(LeaseLostError, match=r"taken by the second with fence 2 at .*with fence 1, ends"):
        await Leasing(stores.lease, HeadFile(tmp_path / "head")).hold(every=0)
    await store_attempt(Rows(second))
    assert query("SELECT fence FROM attempts ORDER BY fence") == [(1,), (2,)]


async def test_lost_session_is_taken_up_again_if_nobody_else_came(
    stores: SqlStores, second: SqlStores, query: Query, rows: Rows
) -> None:
    query(END_LEASE_SESSION)
    await stores.lease.renew()
    await store_attempt(rows)
    with pytest.raises(LeaseHeldError):
        await second.lease.take("the second", None)


async def test_attempt_being_stored_is_seen_by_the_backend_that_takes_the_lease(
    stores: SqlStores, second: SqlStores, query: Query, database_url: str
) -> None:
    insert = (
        "INSERT INTO attempts (hash, kind, intent_id, source_account, source_sequence, envelope, max_ledger, "
        "created_ledger, max_fee, fence) "
        "VALUES (decode(repeat('01', 32), 'hex'), 'channels', gen_random_uuid(), %s, 1, 'AA', 5, 1, 500, 1)"
    )
    head = await stores.lease.head()
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute(insert, [CHANNEL])
        query(END_LEASE_SESSION)
        taking = asyncio.create_task(second.lease.take("the second", head))
        while not query(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%lease FOR UPDATE' AND wait_event_type = 'Lock'"
        ):
            assert not taking.done(), "the fence was taken beside an unfinished insert"
            await asyncio.sleep(0.01)
        await connection.commit()
    await taking
    assert [attempt.source for attempt in await second.attempts.open()] == [CHANNEL]


async def test_restored_database_begins_an_epoch_with_a_fence_no_backend_has_had(
    stores: SqlStores, second: SqlStores, query: Query
) -> None:
    query(END_LEASE_SESSION)
    lease = await second.lease.take("the second", None)
    assert lease.epoch == 2
    assert lease.fence > 2
    assert "no record of its head" in (lease.restored or "")
    assert query("SELECT epoch, reason, until_ledger, ended_at FROM quarantines") == [(2, lease.restored, None, None)]
    await stores.lease.release()


async def test_crash_of_the_server_takes_back_nothing_that_was_recorded() -> None:
    with EmbeddedPostgres() as server:
        migrate(server.url, network="local", application_url=server.application_url)
        stores = await open_stores(server.application_url, max_connections=5, owner_allowed=False)
        lease = await stores.lease.take("a test", None)
        rows = Rows(stores)
        for _ in range(3):
            writing = [asyncio.create_task(rows.farmers(20)) for _ in range(4)]
            recorded = await stores.lease.head()
            server.kill()
            await asyncio.gather(*writing, return_exceptions=True)
            await stores.close()
            server.start()
            stores = await open_stores(server.application_url, max_connections=5, owner_allowed=False)
            again = await stores.lease.take("a test", recorded)
            assert (again.fence, again.epoch, again.restored) == (lease.fence + 1, 1, None)
            lease, rows = again, Rows(stores)
        await stores.close()
