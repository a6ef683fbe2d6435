"""Every closed ledger once, whatever the RPC does in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from kale_chain.answers import LedgerTransaction, LedgerUpdate
from kale_chain.errors import RpcError
from kale_chain.model import Ledger
from kale_chain.rpc import StellarRpc

__all__ = ["LedgerFollower", "LedgerUpdate"]

MAX_BACKOFF_SECONDS = 15.0
MAX_DOUBLINGS = 10
LEDGERS_PER_UPDATE = 32
"""Most ledgers read for one update: after a long absence they come in several."""

TOLERATED_LAG = 3
"""Ledgers the RPC may be behind what was already seen and still count as healthy."""


class LedgerFollower:
    """Follows the ledger through one RPC, asking every `poll_seconds`; `sleep` is how it waits.

    Attributes:
        last_error: The fault of the latest try, or None if it went well.
        lag: Ledgers the RPC is behind what has already been seen; 0 if it is not.
    """

    def __init__(
        self, rpc: StellarRpc, *, poll_seconds: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._rpc = rpc
        self._sleep = sleep
        self._poll_seconds = poll_seconds
        self.last_error: RpcError | None = None
        self.lag = 0

    @property
    def healthy(self) -> bool:
        """Whether the latest try went well and the RPC keeps up."""
        return self.last_error is None and self.lag <= TOLERATED_LAG

    async def updates(self, after: int) -> AsyncIterator[LedgerUpdate]:
        """Updates from ledger `after` + 1 on, each ledger in exactly one, without end.

        Faults of the RPC are never raised: they are kept in `last_error` and the same ledgers are asked for again,
        ever more rarely up to every 15 s, or as a Retry-After says. A ledger that has left the RPC's retention window
        is a fault too, never skipped. Ledgers without transactions are updates as well. Cancelling ends it at once.
        """
        failures = 0
        while True:
            try:
                update = await self._next(after)
            except RpcError as error:
                self.last_error = error
                failures += 1
                await self._sleep(self._pause(error, failures))
                continue
            self.last_error, failures = None, 0
            if update is None:
                await self._sleep(self._poll_seconds)
                continue
            after = update.last.sequence
            yield update

    def _pause(self, error: RpcError, failures: int) -> float:
        backoff = min(self._poll_seconds * 2.0 ** min(failures, MAX_DOUBLINGS), MAX_BACKOFF_SECONDS)
        return max(backoff, error.retry_after or 0.0)

    async def _next(self, after: int) -> LedgerUpdate | None:
        """The next update, or None if no ledger has closed since `after`."""
        latest = await self._rpc.latest_ledger()
        self.lag = max(0, after - latest.sequence)
        if latest.sequence <= after:
            return None
        found: dict[str, LedgerTransaction] = {}
        for start in range(after + 1, latest.sequence + 1, LEDGERS_PER_UPDATE):
            end = min(start + LEDGERS_PER_UPDATE - 1, latest.sequence)
            transactions = await self._rpc.transactions(start, end)
            found |= {transaction.hash: transaction for transaction in transactions}
            if transactions and end < latest.sequence:
                # A part of the way: it ends at a ledger whose close time its transactions tell.
                last = transactions[-1]
                return LedgerUpdate(after + 1, Ledger(last.ledger, last.close_time), found)
        return LedgerUpdate(after + 1, latest, found)
