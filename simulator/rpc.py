"""Stellar RPC in process: the real client over the real methods, with a network between them that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
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
from simulator.weather import Weather, Wind

ENDPOINT = "https://rpc.simulated:443"
_TIMEOUT_SECONDS = 10.0


class Traveller(Protocol):
    """Who calls: can be ended between any two steps."""

    async def step(self, what: str) -> None:
        """Comes to a place where the program can end."""


class SimulatedTransport:
    """Stands in for kale_chain.transport.JsonRpcTransport.

    Args:
        chain: Answers.
        weather: What happens to a call on its way.
        traveller: Who calls.
        watch_sent: Told of every transaction (base64 envelope) before it goes on its way.
    """

    endpoint = ENDPOINT

    def __init__(self, chain: Chain, weather: Weather, traveller: Traveller, watch_sent: Callable[[str], None]) -> None:
        self._chain = chain
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
            raise RpcTimeoutError(ENDPOINT, method, "no answer within 10 s")
        return answer

    def _refuse(self, method: str, wind: Wind) -> None:
        if wind.rate_limited:
            raise RpcRateLimitedError(ENDPOINT, method, wind.retry_after)
        if wind.refused:
            raise RpcUnavailableError(ENDPOINT, method, "HTTP status 503")

    async def _answer(self, method: str, parameters: dict[str, Any], wind: Wind) -> Any:
        if wind.swallowed:
            return _pretended(self._chain, parameters)
        try:
            return await self._chain.methods[method](parameters)
        except JsonRpcError as error:
            raise RpcRefusedError(ENDPOINT, method, error.code, str(error)) from error


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
        super().__init__(ENDPOINT, timeout=_TIMEOUT_SECONDS)
        self._transport = transport  # type: ignore[assignment]  # its two methods are all that is used


def simulated_rpc(transport: SimulatedTransport) -> StellarRpc:
    """The real client over the simulated transport."""
    return StellarRpc(Endpoints([SimulatedEndpoint(transport)]))
