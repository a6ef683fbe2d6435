"""Poolers by their certificates: who calls, what it may call, and the end of its streams once it may no longer."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import time
from collections.abc import AsyncIterator
from typing import Any

from backend.api.handlers import Context, RpcHandler, wrapped
from backend.domain.rate import Rate, RateLimits
from backend.domain.trust import CertificateKind
from backend.errors import PermissionDeniedError, RateLimitedError, UnauthenticatedError
from backend.services.trusting import Peer, Trusting
from kale_common.certificates import describe

_ENROL = "/kalepool.v1.EnrolmentService/Enrol"
_MINE = (
    "/kalepool.v1.PoolService/",
    "/kalepool.v1.StatusService/",
    "/kalepool.v1.EnrolmentService/RenewCertificate",
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)
_TLS = b"TLSv1.3"
_RATE = Rate(per_second=50, burst=200)
_MOST_STREAMS = 16
"""Calls of one pooler at a time; it needs four: attendance, two blocks' plants, reports."""

CALLER: contextvars.ContextVar[Peer | None] = contextvars.ContextVar("pooler", default=None)
"""The pooler whose call is being answered; None on a loopback connection without a certificate."""


def check_pooler(pooler_id: str) -> None:
    """Raises PermissionDeniedError if a message names another pooler than the certificate does."""
    peer = CALLER.get()
    if peer is not None and peer.pooler_id != pooler_id:
        raise PermissionDeniedError(f"the certificate is that of pooler {peer.pooler_id}, not of {pooler_id[:64]!r}")


class Identified:
    """The layer that lets a call pass whose certificate is good for it, and ends its stream when that changes."""

    def __init__(self, trusting: Trusting) -> None:
        self._trusting = trusting
        self._limits = RateLimits(_RATE)
        self._calls: dict[str, int] = {}

    def __call__(self, method: str, handler: RpcHandler) -> RpcHandler:
        """The method, behind the check."""
        return wrapped(
            handler,
            answering=functools.partial(self._answering, method),
            streaming=functools.partial(self._streaming, method),
        )

    def _answering(self, method: str, behaviour: Any) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            peer = await self._admit(method, context)
            try:
                return await behaviour(request, context)
            finally:
                self._leave(peer)

        return answer

    def _streaming(self, method: str, behaviour: Any) -> Any:
        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            peer = await self._admit(method, context)
            ending = self._trusting.ending(peer.serial)
            try:
                async for response in until(ending, behaviour(request, context)):
                    yield response
                if ending.is_set():
                    await self._trusting.identify(peer.serial, peer.pooler_id)
            finally:
                self._leave(peer)

        return stream

    async def _admit(self, method: str, context: Context) -> Peer:
        connection = context.auth_context()
        if connection.get("ssl_tls_version") != [_TLS]:
            raise UnauthenticatedError("this port speaks TLS 1.3 alone")
        certificates = list(connection.get("x509_pem_cert") or ())
        if not certificates:
            raise UnauthenticatedError("show a pooler's certificate; `kale-pooler enrol` gets one")
        peer = await self._trusting.identify(*_described(certificates[0]))
        allowed = method == _ENROL if peer.kind is CertificateKind.INVITATION else method.startswith(_MINE)
        if not allowed:
            raise PermissionDeniedError(f"a certificate of kind {peer.kind} is not good for {method}")
        now = time.monotonic()
        wait = self._limits.wait(peer.pooler_id, now)
        if wait > 0 or self._calls.get(peer.pooler_id, 0) >= _MOST_STREAMS:
            raise RateLimitedError(wait or 1.0)
        self._limits.take(peer.pooler_id, now)
        self._calls[peer.pooler_id] = self._calls.get(peer.pooler_id, 0) + 1
        CALLER.set(peer)
        return peer

    def _leave(self, peer: Peer) -> None:
        self._calls[peer.pooler_id] -= 1
        if not self._calls[peer.pooler_id]:
            del self._calls[peer.pooler_id]


async def until(ending: asyncio.Event, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """A stream's items until it ends or the event is set, whichever is first.

    Left in whatever way, by a call that is cancelled as well, it leaves nobody waiting for an item.
    """
    ended = asyncio.create_task(ending.wait())
    item: asyncio.Future[Any] | None = None
    try:
        while True:
            item = asyncio.ensure_future(anext(stream))
            await asyncio.wait({item, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not item.done():
                return
            try:
                yield item.result()
            except StopAsyncIteration:
                return
    finally:
        ended.cancel()
        if item is not None:
            item.cancel()
            await asyncio.gather(item, return_exceptions=True)


@functools.lru_cache(maxsize=1024)
def _described(pem: bytes) -> tuple[str, str]:
    return describe(pem)
