"""Channel accounts: sources for transactions that need no farmer's signature, one at a time each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog

from backend.domain.attempt import AttemptKind
from backend.ports.stores import AttemptStore
from backend.services.access import ChainAccess
from backend.services.submitting import LEDGER_WINDOW, attempt_of

_log = structlog.get_logger()

_MAX_CREATED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel account that is free, and the sequence number for its next transaction."""

    address: str
    sequence: int


class Channels:
    """Lends channel accounts and creates those that do not exist."""

    def __init__(self, attempts: AttemptStore, chain: ChainAccess) -> None:
        self._attempts = attempts
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._watch = chain.watch
        self._lent: set[str] = set()
        self._missing = True
        self._creating = asyncio.Lock()

    @property
    def count(self) -> int:
        """How many there are, free or not."""
        return len(self._factory.channels)

    @asynccontextmanager
    async def lend(self, wanted: int) -> AsyncIterator[Sequence[Channel]]:
        """At most `wanted` free channels; those used for an attempt by the end stay busy until it ends."""
        busy = self._submitting.busy_sources() | self._lent
        free = [address for address in self._factory.channels if address not in busy][: max(wanted, 0)]
        self._lent.update(free)
        try:
            accounts = await self._reader.accounts(free) if free else {}
            yield [
                Channel(address, self._submitting.next_sequence(address, accounts[address].sequence))
                for address in free
                if address in accounts
            ]
        finally:
            self._lent.difference_update(free)

    async def ensure(self) -> None:
        """Has the master account create the channels that do not exist, 1 XLM each; does nothing once all do."""
        if not self._missing:
            return
        async with self._creating:
            addresses = [*self._factory.channels, self._factory.master]
            accounts = await self._reader.accounts(addresses)
            absent = [address for address in self._factory.channels if address not in accounts]
            self._missing = bool(absent)
            master = accounts.get(self._factory.master)
            if not absent or master is None or self._submitting.busy(self._factory.master):
                return
            ledger = self._watch.view.ledger.sequence
            signed = self._factory.channel_accounts(
                absent[:_MAX_CREATED_AT_ONCE],
                sequence=self._submitting.next_sequence(self._factory.master, master.sequence),
                max_ledger=ledger + LEDGER_WINDOW,
            )
            attempt = attempt_of(signed, AttemptKind.CHANNELS, uuid4(), created_ledger=ledger)
            _log.info("creating channel accounts", accounts=len(absent))
            async with self._submitting.storing():
                await self._attempts.store(attempt)
            await self._submitting.submit([attempt])
