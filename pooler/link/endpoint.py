"""From BACKEND_API_URL to a gRPC channel: several addresses, and a circuit breaker for each."""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import grpc
import grpc.aio
import structlog

from kale_chain.breaker import CircuitBreaker, CircuitState
from pooler.domain.snapshot import Circuit
from pooler.errors import BackendUnavailableError
from pooler.link.identity import Identity

log = structlog.get_logger(__name__)

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
_LONGEST_PAUSE_SECONDS = 2.0
"""An address is left alone no longer than this: plants are asked for within a ledger of the backend's return."""


class Address:
    """One backend's address and how its calls have fared.

    Attributes:
        name: `host:port`.
        breaker: Closed while calls are answered, open for a while once three in a row were not.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.secure = parts.scheme == "https"
        self.name = f"{_host(parts.hostname or '')}:{parts.port or (443 if self.secure else 80)}"
        self.breaker = CircuitBreaker(longest_pause=_LONGEST_PAUSE_SECONDS)


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
        self._addresses = [Address(url) for url in urls.split(",")]
        self._at = 0
        self._identity = identity
        self._closing: set[asyncio.Task[None]] = set()
        self.channel = self._opened()

    @property
    def address(self) -> Address:
        """Where the channel leads."""
        return self._addresses[self._at]

    @property
    def circuits(self) -> tuple[Circuit, ...]:
        """How every address stands, in the order in which they were given."""
        return tuple(
            Circuit(one.name, one.breaker.state, in_use=number == self._at)
            for number, one in enumerate(self._addresses)
        )

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

    def admit(self) -> Address:
        """The address for a call that begins now: the one in use, or the next whose circuit lets calls pass.

        Raises:
            BackendUnavailableError: every circuit is open; nothing was sent.
        """
        if self.address.breaker.state is CircuitState.OPEN and not self._turn():
            seconds = min(one.breaker.pause_seconds for one in self._addresses)
            raise BackendUnavailableError(
                f"{self.address.name} failed repeatedly and is left alone for {seconds:.1f} s more"
            )
        return self.address

    def answered(self, address: Address) -> None:
        """A call by an address was answered, be it with a refusal."""
        if address.breaker.state is not CircuitState.CLOSED:
            log.info("backend answers again", address=address.name)
        address.breaker.succeeded()

    def unanswered(self, address: Address) -> None:
        """A call by an address was not answered; enough of them open its circuit."""
        address.breaker.failed()
        if address.breaker.state is CircuitState.OPEN:
            log.warning("backend left alone", address=address.name, seconds=round(address.breaker.pause_seconds, 1))

    def leave(self, address: Address) -> None:
        """Nobody is at an address: goes over to the next, if there are several and no other call has done so."""
        if address is self.address:
            self._turn()

    def _turn(self) -> bool:
        """Goes over to the next address whose circuit is not open; False if there is none."""
        for step in range(1, len(self._addresses)):
            at = (self._at + step) % len(self._addresses)
            if self._addresses[at].breaker.state is not CircuitState.OPEN:
                self._at = at
                self._go_over(None)
                return True
        return False

    def _go_over(self, grace: float | None) -> None:
        old, self.channel = self.channel, self._opened()
        closing = asyncio.create_task(old.close(grace))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _opened(self) -> grpc.aio.Channel:
        address = self.address
        if not address.secure:
            return grpc.aio.insecure_channel(address.name, options=OPTIONS)
        credentials = grpc.ssl_channel_credentials() if self._identity is None else self._identity.credentials()
        return grpc.aio.secure_channel(address.name, credentials, options=OPTIONS)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
