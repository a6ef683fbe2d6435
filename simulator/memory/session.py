"""A client's connection to tables in memory; what stands between the two can fail as a network does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from simulator.memory.tables import Tables

Hook = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """The default: nothing happens."""


class Session:
    """What the stores of one backend share.

    Attributes:
        fence: The fence that attempts are stored with; 0 until the lease is taken.
        before: Awaited before a transaction begins; what it raises, the transaction does not happen.
        after: Awaited after a transaction was committed; what it raises, its caller does not learn that it happened.
    """

    def __init__(self, tables: Tables, *, before: Hook = nothing, after: Hook = nothing) -> None:
        self.tables = tables
        self.fence = 0
        self.before = before
        self.after = after

    def hold_lease(self, tables: Tables) -> None:
        """Raises LeaseLostError if this is not the backend that holds the lease."""
        tables.check_fence(self.fence)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tables]:
        """One transaction; nothing is awaited within it."""
        await self.before()
        with self.tables.transaction() as tables:
            yield tables
        await self.after()
