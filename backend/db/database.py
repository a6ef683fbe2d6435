"""The connection to PostgreSQL: one pool, one way to open a transaction, and what the server must be like."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import TextClause, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from backend.db.audit import tell
from backend.db.migrations import check_applied, read_migrations
from backend.db.roles import check_role
from backend.db.translation import location, translated_errors
from backend.domain.access import actor
from backend.errors import BackendError, MigrationError

_log = structlog.get_logger()

_CONNECT_SECONDS = 5
_POOL_SECONDS = 10
_STATEMENT_MILLISECONDS = 30_000
# Noticing a server that vanished without a word takes seconds, not the kernel's quarter of an hour.
_LIVENESS = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
_SESSION = {
    "timezone": "UTC",
    "statement_timeout": str(_STATEMENT_MILLISECONDS),
    "idle_in_transaction_session_timeout": str(2 * _STATEMENT_MILLISECONDS),
    # Rows leave the partial indexes (open, pending, queued) as soon as they came. An index scan marks such entries as
    # dead for those after it; a bitmap scan never does, and reads all of them again until the table is vacuumed.
    "enable_bitmapscan": "off",
    "random_page_cost": "1.1",
}
# What a committed row is worth depends on these; each with the remedy.
_REQUIRED = {
    "server_encoding": ("UTF8", "create the database with ENCODING 'UTF8'"),
    "synchronous_commit": ("on", "a commit must be on disk before it is reported: remove the setting"),
    "data_checksums": ("on", "stop the server and run `pg_checksums --enable` on its data folder"),
}

_ACTOR = text("SELECT set_config('kale.actor', :name, true)")


class Database:
    """A pool of connections to one database.

    Args:
        url: postgresql://user:password@host:port/database.
        max_connections: Connections opened at most.

    Attributes:
        fence: The fence of the lease this program took; 0, which the database refuses, until it took one.
    """

    def __init__(self, url: str, *, max_connections: int) -> None:
        self._url = url
        self.fence = 0
        self._connecting: set[asyncio.Task[Any]] = set()
        self._engine = create_async_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=max_connections,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            pool_pre_ping=True,
            # Parameters are envelopes and sealed seeds.
            hide_parameters=True,
            connect_args={
                "async_creator_fn": self._connect,
                "application_name": "kale-backend",
                "client_encoding": "utf8",
                "connect_timeout": _CONNECT_SECONDS,
                "options": _options(_SESSION),
                **_LIVENESS,
            },
        )

    def __repr__(self) -> str:
        return f"Database({location(self._url)!r})"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed when the block ends and rolled back if it raises.

        Raises:
            BackendError: whatever the database refused; see backend.db.translation.
        """
        with translated_errors(self._url):
            async with self._engine.begin() as connection:
                yield connection
            tell(connection)

    @asynccontextmanager
    async def attributed(self) -> AsyncIterator[AsyncConnection]:
        """A transaction whose changes the audit trail attributes to who has them done.

        Raises:
            BackendError: see `transaction`.
        """
        async with self.transaction() as connection:
            if actor():
                await connection.execute(_ACTOR, {"name": actor()})
            yield connection

    def translated(self) -> AbstractContextManager[None]:
        """Raises what the driver raises inside the block as BackendErrors."""
        return translated_errors(self._url)

    async def session(self, settings: dict[str, str]) -> psycopg.AsyncConnection[Any]:
        """A connection of its own, outside the pool, in autocommit; the caller closes it."""
        return await self._connect(
            self._url,
            autocommit=True,
            application_name="kale-backend lease",
            connect_timeout=_CONNECT_SECONDS,
            options=_options(_SESSION | settings),
            **_LIVENESS,
        )

    async def ping(self) -> None:
        """Raises DatabaseUnavailableError if the database does not answer."""
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def check(self, *, owner_allowed: bool) -> None:
        """Accepts a server that keeps what it commits, with exactly the schema of this program.

        Raises:
            DatabaseUnavailableError: it does not answer.
            DatabaseRoleError: the role owns the tables, and that is not allowed.
            MigrationError: it is not migrated, or migrated by another program version.
            BackendError: a setting of the server endangers rows; the text says which and what to do.
        """
        async with self.transaction() as connection:
            for setting, (expected, remedy) in _REQUIRED.items():
                found = await connection.scalar(text(f"SHOW {setting}"))
                if found != expected:
                    raise BackendError(f"the database at {location(self._url)} has {setting} {found}: {remedy}")
            if await connection.scalar(text("SHOW fsync")) != "on":
                _log.warning("the database has fsync off: a power cut loses committed rows")
            found = await connection.scalar(text("SELECT to_regclass('schema_migrations')"))
            if found is None:
                raise MigrationError(f"the database at {location(self._url)} is empty; run `kale-backend migrate`")
            rows = await connection.execute(text("SELECT number, checksum FROM schema_migrations"))
            missing = check_applied({row.number: row.checksum for row in rows}, read_migrations(), test_data=False)
        if missing:
            names = ", ".join(migration.name for migration in missing)
            raise MigrationError(f"the database at {location(self._url)} lacks {names}; run `kale-backend migrate`")
        async with self.transaction() as connection:
            await check_role(connection, self._url, owner_allowed=owner_allowed)

    async def close(self) -> None:
        """Closes every connection."""
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await self._engine.dispose()

    async def _connect(self, *arguments: Any, **options: Any) -> psycopg.AsyncConnection[Any]:
        """Connects. For a caller who is cancelled meanwhile the connection is still made, and then closed.

        Given up half-way it would keep a place on the server until the authentication's time-out of a minute.
        """
        connecting = asyncio.create_task(psycopg.AsyncConnection.connect(*arguments, **options))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            closing = asyncio.create_task(_close_when_made(connecting))
            self._connecting.add(closing)
            closing.add_done_callback(self._connecting.discard)
            raise


def _options(settings: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


async def _close_when_made(connecting: asyncio.Task[psycopg.AsyncConnection[Any]]) -> None:
    with contextlib.suppress(psycopg.Error):
        await (await connecting).close()


async def select_ids(connection: AsyncConnection, statement: TextClause, values: Mapping[str, Any]) -> list[UUID]:
    """The ids in a statement's first column."""
    return list((await connection.execute(statement, values)).scalars())


async def lock_farmers(connection: AsyncConnection, farmer_ids: Sequence[UUID]) -> None:
    """Locks farmers' rows in one order, so that two transactions never wait for each other in a circle."""
    statement = text("SELECT id FROM farmers WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")
    await connection.execute(statement, {"ids": list(farmer_ids)})
