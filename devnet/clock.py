"""When ledgers close: on a timer, or by hand."""

import asyncio

from devnet.ledger import LocalLedger


class Clock:
    """Closes a ledger every `close_seconds`; with 0 only when told to by `advance`.

    Whether the ledger's own time runs at the same speed is the ledger's matter: a block of 300 of its seconds then
    takes as long as `close_seconds` says.
    """

    def __init__(self, ledger: LocalLedger, close_seconds: float) -> None:
        self.halted = False
        self._ledger = ledger
        self._close_seconds = close_seconds

    @property
    def manual(self) -> bool:
        """Whether ledgers close only by `advance`."""
        return self._close_seconds == 0

    async def advance(self, ledgers: int = 1, *, seconds: int | None = None) -> None:
        """Closes this many ledgers now, halted or not; `seconds` of the ledger's time apart, if said."""
        for _ in range(ledgers):
            await self._ledger.close_ledger(seconds=seconds)

    async def run(self) -> None:
        """Closes ledgers until cancelled; returns at once in manual mode."""
        if self.manual:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + self._close_seconds
        while True:
            await asyncio.sleep(due - loop.time())
            # A machine too slow for the pace falls behind instead of closing empty ledgers to catch up.
            due = max(due + self._close_seconds, loop.time())
            if not self.halted:
                await self._ledger.close_ledger()
