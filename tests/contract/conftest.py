"""The stores' contract: the same tests run against PostgreSQL and against its twin in memory.

A test that looks into the tables themselves (`query`, `database_url`) runs against PostgreSQL alone.
"""

from collections.abc import AsyncIterator
from typing import Literal

import pytest

from backend.db import open_stores
from backend.ports.stores import Stores
from simulator.memory import MemoryStores, Tables

StoreKind = Literal["postgresql", "memory"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Asks for both kinds of stores wherever a test knows only their ports."""
    if "store_kind" in metafunc.fixturenames:
        looks_inside = {"query", "database_url"} & set(metafunc.fixturenames)
        metafunc.parametrize("store_kind", ["postgresql"] if looks_inside else ["postgresql", "memory"])


@pytest.fixture
async def stores(store_kind: StoreKind, request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Stores over an empty database, with its lease taken."""
    if store_kind == "memory":
        opened: Stores = MemoryStores(Tables())
    else:
        url = request.getfixturevalue("application_url")
        opened = await open_stores(url, max_connections=10, owner_allowed=False)
    await opened.lease.take("a test", None)
    yield opened
    await opened.close()


@pytest.fixture
async def second(stores: Stores, request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """The stores of another backend over the same database, which has not taken the lease."""
    if isinstance(stores, MemoryStores):
        opened: Stores = MemoryStores(stores.session.tables)
    else:
        url = request.getfixturevalue("application_url")
        opened = await open_stores(url, max_connections=2, owner_allowed=False)
    yield opened
    await opened.close()
