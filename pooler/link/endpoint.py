"""From BACKEND_API_URL to a gRPC channel."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import grpc
import grpc.aio

from pooler.link.identity import Identity

OPTIONS = (
    # A restarted backend is found again within a second or two.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 64 * 1024),
    # A backend that is gone without a word is noticed within half a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
_LAST_CALLS_SECONDS = 60.0


class Line:
    """The channel to the backend. An async context manager: leaving it closes the channel.

    Args:
        urls: `http://host:port` (plain) or `https://host:port` (TLS); several, separated by commas, where another
            backend takes over when one is gone.
        identity: This pooler's certificate, for a pool with its own authority. Without it TLS trusts the system's
            certificates and shows none.

    Raises:
        IdentityFilesError: The certificate cannot be read.
    """

    def __init__(self, urls: str, identity: Identity | None = None) -> None:
        self._urls = deque(urls.split(","))
        self._identity = identity
        self._closing: set[asyncio.Task[None]] = set()
        self.channel = self._opened()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.channel.close()

    def renew(self) -> None:
        """Goes over to a channel with the certificate as it lies in the files now; calls under way may end."""
        self._go_over(_LAST_CALLS_SECONDS)

    def turn(self, failed: grpc.aio.Channel) -> None:
        """A backend cannot be reached by the channel `failed`: goes over to the next, if there are several.

        Does nothing where another call has gone over before.
        """
        if failed is self.channel and len(self._urls) > 1:
            self._urls.rotate(-1)
            self._go_over(None)

    def _go_over(self, grace: float | None) -> None:
        old, self.channel = self.channel, self._opened()
        closing = asyncio.create_task(old.close(grace))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _opened(self) -> grpc.aio.Channel:
        parts = urlsplit(self._urls[0])
        secure = parts.scheme == "https"
        target = f"{_host(parts.hostname or '')}:{parts.port or (443 if secure else 80)}"
        if not secure:
            return grpc.aio.insecure_channel(target, options=OPTIONS)
        credentials = grpc.ssl_channel_credentials() if self._identity is None else self._identity.credentials()
        return grpc.aio.secure_channel(target, credentials, options=OPTIONS)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
