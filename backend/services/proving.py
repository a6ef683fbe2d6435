"""What ends an attempt: its result in a ledger, a ledger past its bounds, or its sequence number used otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.attempt import Attempt, is_expired, is_superseded
from backend.domain.outcome import expiry_of, settlement_of, supersession_of
from backend.domain.settlement import Settlement
from backend.ports.chain import ClosedLedgers, Witnesses


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt whose end was stored."""

    attempt: Attempt
    settlement: Settlement


class Proving:
    """Finds ends and nothing else; without witnesses what the follower has read is the proof."""

    def __init__(self, witnesses: Witnesses | None) -> None:
        self._witnesses = witnesses
        self._used: dict[bytes, tuple[int, bytes | None]] = {}

    async def ended(
        self, update: ClosedLedgers, attempts: Collection[Attempt], refusals: Mapping[bytes, str]
    ) -> list[Ended]:
        """The ends that these ledgers prove of open attempts; `refusals` are the network's last words by hash."""
        found, others = [], []
        for attempt in attempts:
            result = update.find(attempt)
            if result is not None:
                found.append(Ended(attempt, settlement_of(attempt, result)))
            else:
                others.append(attempt)
        ledger = update.last.sequence
        overdue = [attempt for attempt in others if is_expired(attempt, ledger) or self._is_superseded(attempt, ledger)]
        confirmed = await self._absent(overdue)
        absent = [attempt for attempt in overdue if attempt.hash in confirmed]
        return [*found, *self._without_result(absent, ledger, refusals)]

    async def look(self, suspects: Sequence[Attempt]) -> None:
        """Asks whether the sequence numbers of attempts, refused by the network for theirs, were used otherwise."""
        unknown = [attempt for attempt in suspects if attempt.hash not in self._used]
        if self._witnesses is None or not unknown:
            return
        used = await self._witnesses.used_sequences([attempt.source for attempt in unknown])
        for attempt in unknown:
            last = used.get(attempt.source)
            if last is not None and is_superseded(attempt, last.sequence, last.ledger):
                consumer = await self._witnesses.consumer(attempt, last.ledger)
                if consumer not in attempt.hashes:
                    self._used[attempt.hash] = (last.ledger, consumer)

    def forget(self, attempt: Attempt) -> None:
        """Drops what was known of an attempt that has ended."""
        self._used.pop(attempt.hash, None)

    def _is_superseded(self, attempt: Attempt, ledger: int) -> bool:
        proof = self._used.get(attempt.hash)
        return proof is not None and proof[0] <= ledger

    async def _absent(self, attempts: Sequence[Attempt]) -> set[bytes]:
        """Those the witnesses confirm, as of the ledger that proves each end: an endpoint may not hold a later one."""
        if self._witnesses is None:
            return {attempt.hash for attempt in attempts}
        by_ledger = defaultdict[int, list[Attempt]](list)
        for attempt in attempts:
            by_ledger[self._proof(attempt)].append(attempt)
        confirmed: set[bytes] = set()
        for ledger, ending in by_ledger.items():
            confirmed |= await self._witnesses.absent(ending, ledger)
        return confirmed

    def _proof(self, attempt: Attempt) -> int:
        used = self._used.get(attempt.hash)
        return attempt.max_ledger if used is None else min(used[0], attempt.max_ledger)

    def _without_result(
        self, attempts: Sequence[Attempt], ledger: int, refusals: Mapping[bytes, str]
    ) -> Iterator[Ended]:
        for attempt in attempts:
            if is_expired(attempt, ledger):
                yield Ended(attempt, expiry_of(attempt, ledger, refusals.get(attempt.hash)))
            else:
                yield Ended(attempt, supersession_of(attempt, *self._used[attempt.hash]))
