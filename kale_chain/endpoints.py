"""Several RPC endpoints as one: a call goes to the best of them, and at once to the next if that one fails."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kale_chain.breaker import CircuitBreaker, CircuitState
from kale_chain.errors import RpcError, RpcRateLimitedError, RpcRefusedError
from kale_chain.transport import JsonRpcTransport

INTERNAL_ERROR = -32603
"""JSON-RPC's number for a fault of the server: another endpoint may well answer."""

T = TypeVar("T")
Read = Callable[[Any, str], T]
"""Turns a result into a value; raises RpcUnavailableError, naming the endpoint given, for what it cannot read."""


class Endpoint:
    """One endpoint with its breaker.

    Attributes:
        name: Scheme, host and port.
        behind: Whether it was found to lag, so that others are asked first. Whoever watches the endpoints sets it.
        last_error: Its latest fault; None once it has answered again.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        self._transport = JsonRpcTransport(url, timeout=timeout)
        self.breaker = CircuitBreaker()
        self.name = self._transport.endpoint
        self.behind = False
        self.last_error: RpcError | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    @property
    def rank(self) -> int:
        """How willingly it is asked, 0 best; equals are asked in the order of configuration."""
        if self.breaker.quiet_seconds:
            return 4
        if self.breaker.state is CircuitState.OPEN:
            return 3
        if self.behind:
            return 2
        return 0 if self.breaker.state is CircuitState.CLOSED else 1

    async def call(self, method: str, parameters: Mapping[str, Any] | None, read: Read[T]) -> T:
        """One call; its outcome moves the breaker.

        Raises:
            RpcRateLimitedError: The endpoint asked to be left alone, now or in an earlier answer; in the latter case
                nothing is sent.
            RpcError: See `JsonRpcTransport.call`.
        """
        quiet = self.breaker.quiet_seconds
        if quiet:
            raise RpcRateLimitedError(self.name, method, quiet)
        try:
            answer = read(await self._transport.call(method, parameters), self.name)
        except RpcError as error:
            self._note(error)
            raise
        self.breaker.succeeded()
        self.last_error = None
        return answer

    def _note(self, error: RpcError) -> None:
        if isinstance(error, RpcRefusedError) and error.code != INTERNAL_ERROR:
            self.breaker.succeeded()
            return
        self.last_error = error
        if isinstance(error, RpcRateLimitedError) or error.retry_after is not None:
            self.breaker.wait(error.retry_after)
        if not isinstance(error, RpcRateLimitedError):
            self.breaker.failed()


class Endpoints:
    """Endpoints in the order of preference."""

    def __init__(self, members: Sequence[Endpoint]) -> None:
        if not members:
            raise ValueError("there must be at least one endpoint")
        self.members = tuple(members)

    @property
    def name(self) -> str:
        """The names of all of them."""
        return ", ".join(member.name for member in self.members)

    async def close(self) -> None:
        """Close the connections of all of them."""
        for member in self.members:
            await member.close()

    async def call(self, method: str, parameters: Mapping[str, Any] | None, read: Read[T], *, tries: int = 0) -> T:
        """The best endpoint's answer, or that of the next one where it fails.

        One whose circuit is open is asked last rather than not at all. A refusal of the parameters is an answer.

        Args:
            method: The JSON-RPC method.
            parameters: Its parameters.
            read: See `Read`.
            tries: How often the same was called before: each time another endpoint comes first.

        Raises:
            RpcError: The last endpoint's, if none answered.
        """
        first = tries % len(self.members)
        order = sorted((*self.members[first:], *self.members[:first]), key=lambda member: member.rank)
        for member in order[:-1]:
            try:
                return await member.call(method, parameters, read)
            except RpcRefusedError as error:
                if error.code != INTERNAL_ERROR:
                    raise
            except RpcError:
                continue
        return await order[-1].call(method, parameters, read)
