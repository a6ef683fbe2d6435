"""Looks at every RPC endpoint: whether it answers, and how far behind it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from backend.domain.agreement import lagging
from backend.ports.chain import EndpointReport
from kale_chain.errors import ChainError
from kale_chain.rpc import StellarRpc

PROBE_SECONDS = 3.0
"""How long an endpoint may take to tell its last ledger."""


class RpcEndpointProbe:
    """EndpointProbe over Stellar RPC."""

    def __init__(self, rpc: StellarRpc) -> None:
        self._each = tuple(rpc.each())
        self._foremost = 0

    async def reports(self) -> Sequence[EndpointReport]:
        """See EndpointProbe. A single endpoint has nobody to be compared with: there is no report of it."""
        if len(self._each) == 1:
            return []
        answers = await asyncio.gather(*(_latest(rpc) for rpc in self._each))
        self._foremost = max(self._foremost, *(answer for answer in answers if isinstance(answer, int)), 0)
        return [self._report(rpc, answer) for rpc, answer in zip(self._each, answers, strict=True)]

    def _report(self, rpc: StellarRpc, answer: int | str) -> EndpointReport:
        endpoint = rpc.endpoints[0]
        circuit = endpoint.breaker.state
        if isinstance(answer, str):
            return EndpointReport(endpoint.name, None, circuit, answer)
        endpoint.behind = lagging(answer, self._foremost)
        fault = f"it is {self._foremost - answer} ledgers behind" if endpoint.behind else None
        return EndpointReport(endpoint.name, answer, circuit, fault)


async def _latest(rpc: StellarRpc) -> int | str:
    """The last ledger an endpoint tells of, or why it does not."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return (await rpc.latest_ledger()).sequence
    except TimeoutError:
        return f"no answer within {PROBE_SECONDS:g} s"
    except ChainError as error:
        return str(error)
