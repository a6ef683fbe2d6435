"""Renewing this pooler's certificate while it runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from pooler.errors import BackendError, IdentityFilesError
from pooler.link.endpoint import Line
from pooler.link.identity import Identity

log = structlog.get_logger(__name__)

LOOK_SECONDS = 600.0


@contextlib.asynccontextmanager
async def renewed(line: Line, identity: Identity | None, *, look_seconds: float = LOOK_SECONDS) -> AsyncIterator[None]:
    """While entered, the certificate is renewed once two thirds of its life are over, and the line goes over to it."""
    if identity is None:
        yield
        return
    task = asyncio.create_task(_renew(line, identity, look_seconds), name="certificate")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _renew(line: Line, identity: Identity, look_seconds: float) -> None:
    while True:
        try:
            if identity.due:
                await identity.renew(line.channel)
                line.renew()
                log.info("certificate renewed")
        except (BackendError, IdentityFilesError) as error:
            log.warning("certificate not renewed; trying again", problem=str(error))
        await asyncio.sleep(look_seconds)
