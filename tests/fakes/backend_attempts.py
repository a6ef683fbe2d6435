"""Small fakes of what submitting needs: a store of attempts, a network, and closed ledgers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.attempt import Attempt, Bump
from backend.domain.money import AccountChange, Passage
from backend.domain.result import TransactionResult
from backend.domain.settlement import Effect, Settlement
from backend.domain.spending import Spending
from backend.errors import DatabaseUnavailableError, LedgerUnavailableError
from backend.ports.chain import SendOutcome, UsedSequence
from kale_chain.model import Ledger


@dataclass
class FakeAttemptStore:
    """Keeps attempts in a list; `faults` are how many of the next calls of settle fail."""

    stored: list[Attempt] = field(default_factory=list)
    settled: list[Settlement] = field(default_factory=list)
    bumped: list[Bump] = field(default_factory=list)
    faults: int = 0

    async def open(self) -> list[Attempt]:
        ended = {settlement.attempt_hash for settlement in self.settled}
        return [attempt for attempt in self.stored if attempt.hash not in ended]

    async def store(self, attempt: Attempt) -> None:
        self.stored.append(attempt)

    async def settle(self, settlements: Sequence[Settlement], passage: Passage | None = None) -> None:
        del passage
        if self.faults:
            self.faults -= 1
            raise DatabaseUnavailableError("the database is away")
        self.settled += settlements

    async def bump(self, bumps: Sequence[Bump]) -> None:
        self.bumped += bumps

    async def spending(self, since_ledger: int) -> Spending:
        del since_ledger
        return Spending(0, sum(attempt.highest_fee for attempt in await self.open()), 0, None)

    async def apply(self, effects: Sequence[Effect]) -> None:
        raise NotImplementedError


@dataclass
class FakeNetwork:
    """Answers every send with `outcome`, or with a fault while it is None."""

    outcome: SendOutcome | None = field(default_factory=lambda: SendOutcome("PENDING"))
    sent: list[str] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)

    async def send(self, envelope: str, *, tries: int = 0) -> SendOutcome:
        self.sent.append(envelope)
        self.tries.append(tries)
        if self.outcome is None:
            raise LedgerUnavailableError("time-out; what was sent may have arrived")
        return self.outcome


@dataclass(frozen=True)
class FakeLedgers:
    """Ledgers that closed and the results in them."""

    sequence: int
    results: Sequence[TransactionResult] = ()

    @property
    def first(self) -> int:
        return self.sequence

    @property
    def last(self) -> Ledger:
        return Ledger(self.sequence, self.sequence * 5)

    def find(self, attempt: Attempt) -> TransactionResult | None:
        return next((result for result in self.results if result.hash in attempt.hashes), None)

    def changes(self, addresses: Collection[str]) -> Sequence[AccountChange]:
        del addresses
        return ()


@dataclass
class FakeWitnesses:
    """Confirms that no ledger holds an attempt unless it is `disputed`, and tells what sequence numbers were used."""

    used: Mapping[str, UsedSequence] = field(default_factory=dict)
    disputed: set[bytes] = field(default_factory=set)
    used_by: bytes | None = None

    async def absent(self, attempts: Sequence[Attempt], ledger: int) -> frozenset[bytes]:
        del ledger
        return frozenset(attempt.hash for attempt in attempts) - self.disputed

    async def used_sequences(self, sources: Sequence[str]) -> Mapping[str, UsedSequence]:
        return {source: self.used[source] for source in sources if source in self.used}

    async def consumer(self, attempt: Attempt, ledger: int) -> bytes | None:
        del attempt, ledger
        return self.used_by
