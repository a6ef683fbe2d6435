"""The core of every transaction: stored before it is sent, sent again until its end is proven, ended by proof alone.

An attempt ends by the proofs of `services.proving` and by nothing else: what the network says at submission, time-outs
and faults of the RPC change nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import structlog

from backend.domain.attempt import RPC_SILENT, Attempt, AttemptKind, AttemptState, Bump, is_stuck, is_worth_sending
from backend.domain.money import Passage
from backend.errors import LedgerUnavailableError, UnavailableError
from backend.ports.chain import ClosedLedgers, SignedTransaction, TransactionSender, Witnesses
from backend.ports.stores import AttemptStore
from backend.services.proving import Ended, Proving
from backend.services.pulse import Pulse

_log = structlog.get_logger()

LEDGER_WINDOW = 6
"""Ledgers a transaction may wait for: few, so that one that is lost ends soon."""
_TRUST_LEDGERS = 2
"""Ledgers for which the network's word that it holds a transaction is taken; it forgets one after 4."""
_CONCURRENT_SENDS = 64
_DATABASE_RETRY_SECONDS = 0.5
_MAX_HOLD_EXPONENT = 8
_USED_SEQUENCE = "txBAD_SEQ"
_TOO_CHEAP = "txINSUFFICIENT_FEE"
_UNUSED = frozenset({AttemptState.EXPIRED, AttemptState.SUPERSEDED})

__all__ = ["LEDGER_WINDOW", "Ended", "Submitting", "attempt_of"]


def attempt_of(signed: SignedTransaction, kind: AttemptKind, intent_id: UUID, *, created_ledger: int) -> Attempt:
    """The attempt to store for a signed transaction."""
    return Attempt(
        hash=signed.hash,
        inner_hash=signed.inner_hash,
        kind=kind,
        intent_id=intent_id,
        source=signed.source,
        sequence=signed.sequence,
        envelope=signed.envelope,
        max_ledger=signed.max_ledger,
        created_ledger=created_ledger,
        max_fee=signed.max_fee,
    )


class Submitting:
    """Holds the open attempts. `rows` beats whenever the rows of plants, harvests or farmers have moved.

    Args:
        attempts: Where they are stored.
        sender: Sends them.
        witnesses: Confirm that no ledger holds an attempt; without them what was read of one endpoint is the proof.
    """

    def __init__(self, attempts: AttemptStore, sender: TransactionSender, witnesses: Witnesses | None = None) -> None:
        self._attempts = attempts
        self._sender = sender
        self._proving = Proving(witnesses)
        self.rows = Pulse()
        self._open: dict[bytes, Attempt] = {}
        self._refusals: dict[bytes, str] = {}
        self._accepted: dict[bytes, int] = {}
        self._sends: Counter[bytes] = Counter()
        self._closed = 0
        self._sequences: dict[str, int] = {}
        self._claimed: set[str] = set()
        self._failures: Counter[UUID] = Counter()
        self._held_until: dict[UUID, int] = {}
        self._stale = True
        self._slots = asyncio.Semaphore(_CONCURRENT_SENDS)

    @property
    def open_count(self) -> int:
        """How many attempts are open."""
        return len(self._open)

    @property
    def closed(self) -> int:
        """The last ledger whose transactions were settled; 0 before the first."""
        return self._closed

    def busy(self, source: str) -> bool:
        """Whether an open attempt uses this account's sequence numbers."""
        return any(attempt.source == source for attempt in self._open.values())

    @contextmanager
    def claim(self, sources: Iterable[str], wanted: int) -> Iterator[Sequence[str]]:
        """At most `wanted` of the accounts that are free, kept from others until the block is left.

        Those that an attempt was submitted for by then stay busy until it ends.
        """
        taken = {attempt.source for attempt in self._open.values()} | self._claimed
        claimed = [source for source in sources if source not in taken][: max(wanted, 0)]
        self._claimed.update(claimed)
        try:
            yield claimed
        finally:
            self._claimed.difference_update(claimed)

    def next_sequence(self, source: str, on_ledger: int) -> int:
        """The sequence number for the source's next transaction; `on_ledger` may be from an RPC that lags."""
        return max(on_ledger, self._sequences.get(source, 0)) + 1

    def failures(self, intent_id: UUID) -> int:
        """How often transactions of an intent have failed since one succeeded, in this process's life."""
        return self._failures[intent_id]

    def held_until(self, intent_id: UUID) -> int:
        """The ledger until which an intent that failed is better left alone; 0 if it did not fail."""
        return self._held_until.get(intent_id, 0)

    async def load(self) -> int | None:
        """Reads the open attempts from the database; the ledger after which the oldest may have been applied."""
        for attempt in await self._attempts.open():
            known = self._open.get(attempt.hash)
            if known is None or len(known.bumps) < len(attempt.bumps):
                self._open[attempt.hash] = attempt
        self._stale = False
        return min((attempt.created_ledger for attempt in self._open.values()), default=None)

    @asynccontextmanager
    async def storing(self) -> AsyncIterator[None]:
        """Wraps the storing of attempts: if it is cut off during its commit, they are looked up afterwards."""
        try:
            yield
        except BaseException:
            self._stale = True
            raise

    async def submit(self, attempts: Sequence[Attempt]) -> None:
        """Takes stored attempts into care and sends them, all at once but for a bound on open connections."""
        for attempt in attempts:
            self._open[attempt.hash] = attempt
        await self._send_all(attempts)

    async def advance(self, update: ClosedLedgers, passage: Passage | None = None) -> list[Ended]:
        """Settles what these ledgers end and books `passage` with it, trying until the database has stored it."""
        while True:
            try:
                if self._stale:
                    await self.load()
                ended = await self._proving.ended(update, tuple(self._open.values()), self._refusals)
                if ended or passage is not None:
                    await self._attempts.settle([end.settlement for end in ended], passage)
                break
            except UnavailableError as error:
                _log.warning("settling waits", ledger=update.last.sequence, error=str(error))
                await asyncio.sleep(_DATABASE_RETRY_SECONDS)
        for end in ended:
            self._forget(end)
        self._closed = update.last.sequence
        if ended or (passage is not None and passage.effects):
            self.rows.beat()
        return ended

    async def resend(self) -> None:
        """Sends open attempts again that the network has not accepted lately; the same bytes, so nothing doubles.

        Those that no ledger can take any more are left to their proofs.

        Of those refused for their sequence numbers it is then asked who used them.
        """
        await self._send_all([a for a in self._open.values() if self._is_silent(a)])
        suspects = [a for a in self._open.values() if self._refusals.get(a.hash) == _USED_SEQUENCE]
        await self._proving.look(suspects)

    def stuck(self) -> list[Attempt]:
        """The open attempts to be bumped: the network has them, or would for a higher fee, but no ledger took them."""
        found = []
        for attempt in self._open.values():
            refused = self._refusals.get(attempt.hash) == _TOO_CHEAP
            reached = refused or attempt.hash in self._accepted
            if reached and is_stuck(attempt, self._closed, refused=refused):
                found.append(attempt)
        return found

    async def bump(self, bumps: Sequence[Bump]) -> None:
        """Takes stored fee bumps of open attempts into care and sends them."""
        bumped = []
        for bump in bumps:
            attempt = self._open.get(bump.attempt_hash)
            if attempt is not None and bump not in attempt.bumps:
                attempt = self._open[attempt.hash] = attempt.with_bump(bump)
                bumped.append(attempt)
        await self._send_all(bumped)

    def _is_silent(self, attempt: Attempt) -> bool:
        trusted = self._closed - self._accepted.get(attempt.hash, 0) < _TRUST_LEDGERS
        return not trusted and is_worth_sending(attempt, self._closed)

    def _forget(self, end: Ended) -> None:
        attempt, settlement = end.attempt, end.settlement
        self._open.pop(attempt.hash, None)
        self._refusals.pop(attempt.hash, None)
        self._accepted.pop(attempt.hash, None)
        self._sends.pop(attempt.hash, None)
        self._proving.forget(attempt)
        if settlement.state not in _UNUSED:
            self._sequences[attempt.source] = max(self._sequences.get(attempt.source, 0), attempt.sequence)
        if settlement.state is AttemptState.FAILED:
            self._failures[attempt.intent_id] += 1
            wait = 2 ** min(self._failures[attempt.intent_id], _MAX_HOLD_EXPONENT)
            self._held_until[attempt.intent_id] = settlement.result_ledger + wait
        elif settlement.state is AttemptState.SUCCEEDED:
            self._failures.pop(attempt.intent_id, None)
            self._held_until.pop(attempt.intent_id, None)
        _log.info(
            "transaction ended",
            kind=attempt.kind,
            state=settlement.state,
            transaction_hash=attempt.hash.hex(),
            intent_id=str(attempt.intent_id),
            ledger=settlement.result_ledger,
            code=settlement.result_code,
            fee_charged=settlement.fee_charged,
        )

    async def _send_all(self, attempts: Iterable[Attempt]) -> None:
        await asyncio.gather(*(self._send(attempt) for attempt in attempts))

    async def _send(self, attempt: Attempt) -> None:
        async with self._slots:
            if attempt.hash not in self._open:
                return
            tries, self._sends[attempt.hash] = self._sends[attempt.hash], self._sends[attempt.hash] + 1
            try:
                outcome = await self._sender.send(attempt.current_envelope, tries=tries)
            except LedgerUnavailableError as error:
                if attempt.hash not in self._accepted:
                    self._refusals.setdefault(attempt.hash, RPC_SILENT)
                _log.warning("sending goes on later", transaction_hash=attempt.hash.hex(), error=str(error))
                return
        if outcome.code is not None:
            self._refusals[attempt.hash] = outcome.code
            _log.warning(
                "network refused a transaction for now",
                kind=attempt.kind,
                transaction_hash=attempt.hash.hex(),
                code=outcome.code,
            )
        elif outcome.status in {"PENDING", "DUPLICATE"}:
            self._refusals.pop(attempt.hash, None)
            self._accepted[attempt.hash] = self._closed
