"""Stellar RPC in process: the real client over the real methods, with a network between them that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from devnet.errors import JsonRpcError
from kale_chain.endpoints import Endpoint, Endpoints
from kale_chain.errors import (
    RpcRateLimitedError,
    RpcRefusedError,
    RpcTimeoutError,
    RpcUnavailableError,
)
from kale_chain.rpc import StellarRpc
from kale_chain.tx import Transaction
from simulator.chain import Chain
from simulator.nodes import Node
from simulator.weather import Weather, Wind

_TIMEOUT_SECONDS = 10.0


class Traveller(Protocol):
    """Who calls: can be ended between any two steps."""

    async def step(self, what: str) -> None:
        """Comes to a place where the program can end."""


class SimulatedTransport:
    """Stands in for kale_chain.transport.JsonRpcTransport.

    Args:
        chain: The ledger.
        node: Answers.
        weather: What happens to a call on its way.
        traveller: Who calls.
        watch_sent: Told of every transaction (base64 envelope) before it goes on its way.
    """

    def __init__(
        self, chain: Chain, node: Node, weather: Weather, traveller: Traveller, watch_sent: Callable[[str], None]
    ) -> None:
        self.endpoint = node.name
        self._chain = chain
        self._node = node
        self._weather = weather
        self._traveller = traveller
        self._watch_sent = watch_sent

    async def close(self) -> None:
        """Nothing to close."""

    async def call(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The method's result, if the network lets it through. Raises RpcError."""
        await self._traveller.step(f"before {method}")
        if method == "sendTransaction" and parameters is not None:
            self._watch_sent(parameters["transaction"])
        wind = self._weather.call(method)
        if wind.seconds_before:
            await asyncio.sleep(wind.seconds_before)
        self._refuse(method, wind)
        answer = await self._answer(method, dict(parameters or {}), wind)
        await self._traveller.step(f"after {method}")
        if wind.lost_answer:
            await asyncio.sleep(_TIMEOUT_SECONDS)
            raise RpcTimeoutError(self.endpoint, method, "no answer within 10 s")
        return answer

    def _refuse(self, method: str, wind: Wind) -> None:
        if wind.rate_limited:
            raise RpcRateLimitedError(self.endpoint, method, wind.retry_after)
        if wind.refused or self._node.down:
            raise RpcUnavailableError(self.endpoint, method, "HTTP status 503")

    async def _answer(self, method: str, parameters: dict[str, Any], wind: Wind) -> Any:
        if wind.swallowed:
            return _pretended(self._chain, parameters)
        try:
            return await self._node.answer(method, parameters)
        except JsonRpcError as error:
            raise RpcRefusedError(self.endpoint, method, error.code, str(error)) from error


def _pretended(chain: Chain, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a node that takes a transaction and loses it."""
    sent = Transaction.from_envelope(parameters["transaction"], chain.identity.passphrase)
    latest = chain.history.latest
    return {
        "status": "PENDING",
        "hash": sent.hash,
        "latestLedger": latest.sequence,
        "latestLedgerCloseTime": str(latest.close_time),
    }


class SimulatedEndpoint(Endpoint):
    """An endpoint with its real breaker over a simulated transport."""

    def __init__(self, transport: SimulatedTransport) -> None:
        super().__init__(transport.endpoint, timeout=_TIMEOUT_SECONDS)
        self._transport = transport  # type: ignore[assignment]  # its two methods are all that is used


def simulated_rpc(transports: Sequence[SimulatedTransport]) -> StellarRpc:
    """The real client over simulated transports, one an endpoint."""
    return StellarRpc(Endpoints([SimulatedEndpoint(transport) for transport in transports]))
