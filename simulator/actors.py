"""Those who act on the farm beside the backend: a pooler, trusted with nothing, and strangers."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from uuid import UUID

from backend.app import Parts
from backend.domain.plant import PlantRequest
from backend.domain.work import WorkReport
from backend.errors import BackendError, PoolerQuarantinedError
from backend.services.planting import PlantSummary
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import BLOCK_SECONDS, Block, FarmIdentity
from kale_chain.tx import Bounds, ClassicCalls, FarmCalls, Signer, Transaction, fee_bump
from simulator.chain import LEDGER_SECONDS, Chain
from simulator.errors import Violation
from simulator.life import GoneError, Life
from simulator.truth import TruePail, Truth
from simulator.weather import Climate

_WINDOW = 8
_INSURE_SECONDS = 200
_LAST_SECONDS = BLOCK_SECONDS - 30
_LATEST_PLANT_SECONDS = 150
_ACCOUNT_STROOPS = 1_000_000_000
_RENT_STROOPS = 1_500_000_000


class Mood(Enum):
    """How a pooler behaves in a block."""

    GOOD = "good"
    SILENT = "silent"
    LATE = "late"
    LYING = "lying"
    ABSENT = "absent"


_BAD_MOODS = (Mood.SILENT, Mood.LATE, Mood.LYING, Mood.ABSENT)


class Accounts:
    """The world's own accounts, one transaction a ledger each, paid by the faucet."""

    def __init__(self, chain: Chain, truth: Truth, count: int) -> None:
        self._chain = chain
        self._truth = truth
        self._payer = chain.signer("faucet")
        self._signers = [self._payer.derive("actor", number) for number in range(count)]
        self._used: set[str] = set()
        self.classic = ClassicCalls(chain.identity)

    @property
    def farm(self) -> FarmCalls:
        """Calls for the farm's present code."""
        return _farm_calls(self._chain.identity)

    @property
    def bounds(self) -> Bounds:
        """The next ledgers."""
        return Bounds(max_ledger=self._chain.sequence + _WINDOW)

    def create(self) -> None:
        """Creates the accounts in the next ledger."""
        made = self.classic.create_accounts(
            source=self._payer.address,
            accounts=[(signer.address, _ACCOUNT_STROOPS) for signer in self._signers],
            sequence=self._chain.next_sequence(self._payer.address),
            bounds=self.bounds,
        )
        self._chain.submit(made.signed_by(self._payer))

    def trusting(self, count: int) -> list[str]:
        """Accounts of nobody's with a KALE trustline, made in the next ledger; their addresses."""
        signers = [self._payer.derive("outsider", number) for number in range(count)]
        made = self.classic.sponsored_accounts(
            sponsor=self._payer.address,
            addresses=[signer.address for signer in signers],
            sequence=self._chain.next_sequence(self._payer.address),
            bounds=self.bounds,
        )
        self._chain.submit(made.signed_by(self._payer, *signers))
        return [signer.address for signer in signers]

    def deposit(self, address: str, stroops: int) -> None:
        """Pays KALE to a farmer in the next ledger; one a ledger."""
        paid = self.classic.payment(
            source=self._payer.address,
            destination=address,
            stroops=stroops,
            sequence=self._chain.next_sequence(self._payer.address),
            bounds=self.bounds,
        )
        self._chain.submit(paid.signed_by(self._payer))

    def next_ledger(self) -> None:
        """Every account is free again."""
        self._used.clear()

    def send(self, build: Callable[[Signer, int], Transaction]) -> None:
        """Sends a call through a free account, if there is one."""
        free = next((signer for signer in self._signers if signer.address not in self._used), None)
        if free is None:
            return
        self._used.add(free.address)
        call = build(free, self._chain.next_sequence(free.address)).signed_by(free)
        bumped = fee_bump(call, self._payer)
        self._truth.is_stranger(bumped.hash)
        self._chain.submit(bumped)

    def work(self, pail: TruePail, block: Block, nonce: int) -> bytes:
        """Works a pail; the hash."""
        digest = work_hash(pail.block_index, nonce, block.entropy, pail.address)
        self.send(
            lambda source, sequence: self.farm.work(
                source=source.address,
                farmer=pail.address,
                block_index=pail.block_index,
                digest=digest,
                nonce=nonce,
                sequence=sequence,
                bounds=self.bounds,
            )
        )
        return digest

    def harvest(self, pail: TruePail) -> None:
        """Harvests a pail."""
        self.send(
            lambda source, sequence: self.farm.harvest(
                source=source.address,
                farmer=pail.address,
                block_index=pail.block_index,
                sequence=sequence,
                bounds=self.bounds,
            )
        )

    def plant(self, block_index: int) -> None:
        """Plants for one of these accounts, which opens a block that is due."""
        self.send(
            lambda source, sequence: self.farm.plant(
                farmer=source.address, stake=0, block_index=block_index, sequence=sequence, bounds=self.bounds
            )
        )


@dataclass
class Strangers:
    """Others on the farm: they open blocks, and now and then work or harvest a pail of ours."""

    chain: Chain
    truth: Truth
    accounts: Accounts
    climate: Climate
    rolls: random.Random
    patience: int = 4

    def act(self) -> None:
        """Acts once after a ledger has closed."""
        overdue = self.chain.close_time - self.truth.opened - BLOCK_SECONDS
        if overdue >= 0:
            seconds = 0 if self.rolls.random() < self.climate.stranger_opens else LEDGER_SECONDS * self.patience
            if overdue >= seconds:
                self.accounts.plant(self.truth.index + 1)
            return
        for pail in list(self.truth.open_pails.values()):
            if pail.block_index == self.truth.index:
                if pail.worked is None and self.rolls.random() < self.climate.stranger_works / 20:
                    block = self.chain.block(pail.block_index)
                    if block is not None:
                        self.accounts.work(pail, block, self.rolls.getrandbits(32))
            elif pail.worked is not None and self.rolls.random() < self.climate.stranger_harvests / 20:
                self.accounts.harvest(pail)


class Pooler:
    """Asks for plants, works them late in the block, and reports; see `Mood` for how well."""

    def __init__(self, chain: Chain, truth: Truth, accounts: Accounts, climate: Climate, rolls: random.Random) -> None:
        self._climate = climate
        self._chain = chain
        self._truth = truth
        self._accounts = accounts
        self._rolls = rolls
        self._index = -1
        self._mood = Mood.GOOD
        self._requested = -1
        self._nonces: dict[str, int] = {}
        self._reported: set[str] = set()
        self._farmers: dict[str, UUID] = {}
        self.resting = False
        self._names = 1

    @property
    def name(self) -> str:
        """Who it is."""
        return f"pooler-{self._names}"

    def _mood_of_block(self) -> Mood:
        return self._rolls.choice(_BAD_MOODS) if self._rolls.random() < self._climate.pooler_bad else Mood.GOOD

    def knows(self, address: str, farmer_id: UUID) -> None:
        """Learns of a farmer."""
        self._farmers[address] = farmer_id

    async def act(self, life: Life | None) -> None:
        """Acts once after a ledger has closed; whatever the backend answers, it goes on at the next."""
        if self._truth.index != self._index:
            self._index, self._mood = self._truth.index, self._mood_of_block()
            self._nonces.clear()
            self._reported.clear()
        if life is None or self.resting:
            return
        try:
            await self._plant(life)
            self._work()
            await self._report(life)
        except PoolerQuarantinedError:
            # Whoever lies is let in no longer: another pooler takes its place.
            self._names += 1
        except (GoneError, BackendError):
            return

    async def _plant(self, life: Life) -> None:
        age = self._chain.close_time - self._truth.opened
        due = age >= BLOCK_SECONDS - 20
        wanted = self._index + 1 if due else self._index
        if self._mood is Mood.ABSENT or wanted <= self._requested or _LATEST_PLANT_SECONDS < age < BLOCK_SECONDS - 20:
            return
        request = PlantRequest(f"{self.name}:{wanted}", self.name, wanted, 0)
        await life.call(lambda parts: parts.planting.request(request))
        self._requested = wanted
        life.spawn("plant stream", self._listen(life, request))

    async def _listen(self, life: Life, request: PlantRequest) -> None:
        """Takes in the request's stream: numbered from 1 without gaps, each farmer once."""
        assert life.parts is not None
        numbers, seen = 0, set()
        async for event in life.parts.planting.events(request, 0):
            if isinstance(event, PlantSummary):
                return
            numbers += 1
            if event.number != numbers or event.plant.address in seen:
                raise Violation("plant stream", request.block_index, f"number {event.number} after {numbers - 1}")
            seen.add(event.plant.address)

    def _work(self) -> None:
        age = self._chain.close_time - self._truth.opened
        first = _LAST_SECONDS if self._mood is Mood.LATE else _INSURE_SECONDS
        if self._mood in (Mood.SILENT, Mood.LYING) or not first <= age < BLOCK_SECONDS:
            return
        block = self._chain.block(self._index)
        if block is None:
            return
        for pail in self._truth.unworked(self._index):
            nonce = self._nonces[pail.address] = self._rolls.getrandbits(32)
            self._accounts.work(pail, block, nonce)

    async def _report(self, life: Life) -> None:
        block = self._chain.block(self._index)
        if block is None:
            return
        for address, nonce in list(self._nonces.items()):
            pail = self._truth.pails.get((address, self._index))
            if pail is not None and pail.worked is not None and address not in self._reported:
                await life.call(self._telling(address, nonce, block, honest=True))
                self._reported.add(address)
        if self._mood is Mood.LYING:
            for address in self._farmers:
                await life.call(self._telling(address, 7, block, honest=False))
            self._mood = Mood.SILENT

    def _telling(self, address: str, nonce: int, block: Block, *, honest: bool) -> Callable[[Parts], Awaitable[object]]:
        digest = work_hash(self._index, nonce, block.entropy, address)
        given = digest if honest else bytes(4) + digest[4:]
        report = WorkReport(
            report_id=f"{self.name}:{self._index}:{address}",
            pooler_id=self.name,
            block_index=self._index,
            farmer_id=self._farmers[address],
            work_hash=given,
            nonce=nonce if self._rolls.random() < 0.8 or not honest else None,  # noqa: PLR2004
            zeros=count_zeros(given),
            gap=1,
        )
        return lambda parts: parts.working.report(report)


@lru_cache(maxsize=4)
def _farm_calls(identity: FarmIdentity) -> FarmCalls:
    calls = FarmCalls(identity)
    # New code has a short life, and the first call after an upgrade pays for a longer one.
    calls.fee_floor = _RENT_STROOPS
    return calls
