"""What `kale-backend quarantine` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from backend.config import DatabaseSettings
from backend.db import SqlStores, open_stores
from backend.domain.lease import Quarantine

_CONNECTIONS = 2


async def show(settings: DatabaseSettings) -> Sequence[Quarantine]:
    """The quarantines that have not ended.

    Raises:
        BackendError: the database cannot be used.
    """
    async with _stores(settings) as stores:
        return await stores.quarantines.open()


async def begin(settings: DatabaseSettings, reason: str) -> None:
    """Begins a quarantine at once: the database refuses every further attempt, a running backend's too.

    Raises:
        BackendError: the database cannot be used.
    """
    async with _stores(settings) as stores:
        await stores.quarantines.begin(f"begun by an operator: {reason}")


@asynccontextmanager
async def _stores(settings: DatabaseSettings) -> AsyncIterator[SqlStores]:
    url = settings.database_url.get_secret_value()
    stores = await open_stores(url, max_connections=_CONNECTIONS, owner_allowed=settings.owner_allowed)
    try:
        yield stores
    finally:
        await stores.close()
