"""Channel accounts: sources for transactions that need no farmer's signature, one at a time each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog

from backend.domain.attempt import AttemptKind
from backend.domain.work import BACKSTOP_AGE_SECONDS
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
    """Lends channel accounts and creates those that do not exist.

    Attributes:
        backstop_age_seconds: The age of the current block from which the backstop needs them first.
    """

    def __init__(self, attempts: AttemptStore, chain: ChainAccess) -> None:
        self._attempts = attempts
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._watch = chain.watch
        self._missing = True
        self.backstop_age_seconds = BACKSTOP_AGE_SECONDS

    @property
    def count(self) -> int:
        """How many there are, free or not."""
        return len(self._factory.channels)

    @asynccontextmanager
    async def lend(self, wanted: int) -> AsyncIterator[Sequence[Channel]]:
        """At most `wanted` free channels; those used for an attempt by the end stay busy until it ends."""
        with self._submitting.claim(self._factory.channels, wanted) as free:
            accounts = await self._reader.accounts(free) if free else {}
            yield [
                Channel(address, self._submitting.next_sequence(address, accounts[address].sequence))
                for address in free
                if address in accounts
            ]

    async def ensure(self) -> None:
        """Has the master account create the channels that do not exist, 1 XLM each; does nothing once all do."""
        if not self._missing:
            return
        master = self._factory.master
        with self._submitting.claim([master], 1) as claimed:
            accounts = await self._reader.accounts([*self._factory.channels, master])
            absent = [address for address in self._factory.channels if address not in accounts]
            self._missing = bool(absent)
            if absent and claimed and master in accounts:
                await self._create(absent[:_MAX_CREATED_AT_ONCE], accounts[master].sequence)

    async def _create(self, absent: Sequence[str], master_sequence: int) -> None:
        ledger = self._watch.view.ledger.sequence
        signed = self._factory.channel_accounts(
            absent,
            sequence=self._submitting.next_sequence(self._factory.master, master_sequence),
            max_ledger=ledger + LEDGER_WINDOW,
        )
        attempt = attempt_of(signed, AttemptKind.CHANNELS, uuid4(), created_ledger=ledger)
        _log.info("creating channel accounts", accounts=len(absent))
        async with self._submitting.storing():
            await self._attempts.store(attempt)
        await self._submitting.submit([attempt])
