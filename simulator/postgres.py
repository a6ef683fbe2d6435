"""The real PostgreSQL in a simulated world: simulated time stands still while the server works.

The stores' own event loop runs in a thread; the world's waits for each call, so that transactions never overlap and a
world takes the same course in every run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar, cast
from unittest import mock

import psycopg

from backend.db import SqlStores, lease, migrate, open_stores
from backend.domain.money import Violation
from backend.ports.stores import Stores
from devnet.postgres import DATABASE, EmbeddedPostgres
from simulator.memory import Tables
from simulator.memory.session import Hook
from simulator.rows import read_tables

T = TypeVar("T")

_CONNECTIONS = 2
_SERVER = {"fsync": "off", "authentication_timeout": "5s"}
_LEASE_SESSION = {"lock_timeout": "50", "idle_session_timeout": "0"}
"""Real time, of which none passes for the backends."""
_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid() AND (application_name = %s OR %s)
"""


class _Thread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="database", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there to its end, while the caller's thread waits."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Ends loop and thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Port:
    """One of the stores, as the simulated backend calls it."""

    def __init__(self, store: object, thread: _Thread, before: Hook, after: Hook) -> None:
        self._store = store
        self._thread = thread
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._before()
            result = self._thread.run(method(*arguments, **named))
            await self._after()
            return result

        return call


class _Ports:
    """All stores of one backend."""

    def __init__(self, stores: SqlStores, thread: _Thread, before: Hook, after: Hook) -> None:
        self.stores = stores
        self._before = before
        for name, store in vars(stores).items():
            if not name.startswith("_"):
                setattr(self, name, _Port(store, thread, before, after))

    async def ping(self) -> None:
        """Fails as a transaction would."""
        await self._before()


class PostgresDatabase:
    """A server of its own with one database; see SimulatedDatabase. A backup is a copy of the database."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._thread = _Thread()
        self._stack.callback(self._thread.close)
        self._server = self._stack.enter_context(EmbeddedPostgres(settings=_SERVER))
        self._stack.enter_context(mock.patch.dict(lease._SESSION, _LEASE_SESSION))  # noqa: SLF001
        migrate(self._server.url, network="local", application_url=self._server.application_url)
        self._name = DATABASE
        self._copies = 0
        self._backup: str | None = None
        self._tables = Tables()
        self._seen: tuple[str, int] | None = None
        self._observing: psycopg.Connection[Any] | None = None
        self._stack.callback(self._stop_observing)

    @property
    def tables(self) -> Tables:
        """The rows, read again if anything was written since."""
        connection = self._observer()
        place = connection.execute("SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS bigint)").fetchone()
        assert place is not None
        if (self._name, place[0]) != self._seen:
            self._tables = read_tables(connection)
            self._tables.position = place[0]
            self._seen = (self._name, place[0])
        return self._tables

    def open(self, *, before: Hook, after: Hook) -> Stores:
        """Stores as the application's role."""
        return cast("Stores", _Ports(self._opened(), self._thread, before, after))

    def disconnect(self, stores: Stores) -> None:
        """Closes a backend's connections."""
        assert isinstance(stores, _Ports)
        self._thread.run(stores.stores.close())

    def free_lock(self) -> None:
        """Ends the session that holds it."""
        self._end_sessions(self._name, "kale-backend lease")

    async def check_books(self) -> Sequence[Violation]:
        """Calls `ledger_check()` over everything."""
        rows = self._observer().execute("SELECT kind, key, detail FROM ledger_check('-infinity')").fetchall()
        return [Violation(*row) for row in rows]

    def back_up(self) -> int:
        """Copies the database."""
        earlier, self._backup = self._backup, self._copy(self._name)
        if earlier is not None:
            self._drop(earlier)
        row = self._observer().execute("SELECT fence FROM lease").fetchone()
        assert row is not None
        return int(row[0])

    def restore(self) -> None:
        """Puts a copy of the backup in the database's place.

        The server is the same and its log goes on, so that unlike after a real restore not every lost row can be told
        by the head: the operator begins the quarantine, as one does who knows.
        """
        assert self._backup is not None
        lost, self._name = self._name, self._copy(self._backup)
        self._drop(lost)
        stores = self._opened()
        self._thread.run(stores.quarantines.begin("the database was restored"))
        self._thread.run(stores.close())

    def close(self) -> None:
        """Stops the server."""
        self._stack.close()

    def _observer(self) -> psycopg.Connection[Any]:
        """A connection of the owner of the tables, for the checks."""
        if self._observing is None:
            self._observing = psycopg.connect(self._server.url_of(self._name), autocommit=True)
        return self._observing

    def _stop_observing(self) -> None:
        if self._observing is not None:
            self._observing.close()
            self._observing = None

    def _opened(self) -> SqlStores:
        url = self._server.application_url_of(self._name)
        return self._thread.run(open_stores(url, max_connections=_CONNECTIONS, owner_allowed=False))

    def _copy(self, source: str) -> str:
        self._copies += 1
        name = f"copy_{self._copies}"
        self._stop_observing()
        self._end_sessions(source)
        self._maintain(f"CREATE DATABASE {name} TEMPLATE {source}")
        return name

    def _drop(self, name: str) -> None:
        self._maintain(f"DROP DATABASE {name} WITH (FORCE)")

    def _maintain(self, statement: str) -> None:
        with psycopg.connect(self._server.url_of("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _end_sessions(self, name: str, application: str | None = None) -> None:
        with psycopg.connect(self._server.url_of("postgres"), autocommit=True) as connection:
            connection.execute(_END_SESSIONS, [name, application, application is None])
