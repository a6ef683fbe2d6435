"""Saves the ledger to its state file now and then."""

import asyncio

from devnet.engine_client import EngineClient
from devnet.ledger import LocalLedger
from devnet.state import SavedLedger, StateFile

SAVE_SECONDS = 5.0


class Saver:
    """Writes what has closed since the last time, and the entries as they are."""

    def __init__(self, ledger: LocalLedger, state: StateFile, *, saved: SavedLedger | None) -> None:
        self._ledger = ledger
        self._state = state
        self._next = saved.ledgers[-1].sequence + 1 if saved else ledger.history.oldest.sequence

    async def run(self) -> None:
        """Saves every few seconds until cancelled."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Saves now, unless nothing has closed since."""
        history = self._ledger.history
        if self._next > history.latest.sequence:
            return
        async with self._ledger.steady():
            snapshot = await self._ledger.call(_snapshot)
            ledgers = history.since(self._next)
        await asyncio.to_thread(self._state.save, snapshot, ledgers, history.oldest.sequence)
        self._next = ledgers[-1].sequence + 1


def _snapshot(client: EngineClient) -> bytes:
    return client.engine.snapshot()
