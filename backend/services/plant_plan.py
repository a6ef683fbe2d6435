"""From farmers to signed plants: what each can stake, and its transaction or the reason why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import structlog

from backend.domain.attempt import Attempt, AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import FarmerKey
from backend.domain.plant import RESOURCE_FAILURES, FarmView, Plant, PlantRequest, PlantState
from backend.domain.settlement import PlantFailed
from backend.domain.spending import Allowance
from backend.errors import VaultError
from backend.ports.stores import Candidate, UnsentPlant
from backend.services.access import ChainAccess
from backend.services.learning import Learning
from backend.services.staking import Staking
from backend.services.submitting import LEDGER_WINDOW, attempt_of
from kale_chain.clock import Pace
from kale_chain.model import Account
from kale_chain.planning.plants import PlantPlan as BlockPlan

_log = structlog.get_logger()

T = TypeVar("T")

_BUILT_IN_ONE_GO = 10
_PLANTS_IN_A_LEDGER = 100
"""Plants that one ledger surely takes; more of them are given more ledgers."""
_MISSING_ACCOUNT = Failure(FailureReason.ACCOUNT_MISSING, "the farmer's account does not exist on the ledger")
_MISSING_TRUSTLINE = Failure(FailureReason.TRUSTLINE_MISSING, "the farmer's account has no KALE trustline")


@dataclass(frozen=True, slots=True)
class PlantPlan:
    """New plants of a request, PENDING with an attempt or FAILED without one, and earlier ones it includes."""

    earlier: Sequence[UUID]
    plants: Sequence[Plant]
    attempts: Sequence[Attempt]

    def as_of(self, closed: int) -> PlantPlan:
        """This plan with attempts that are stored after ledger `closed`, maybe later than they were built."""
        attempts = [replace(attempt, created_ledger=closed) for attempt in self.attempts]
        return replace(self, attempts=attempts)


@dataclass(frozen=True, slots=True)
class Window:
    """The ledgers that can take plants: from `min_ledger` on, but none from `max_ledger` on."""

    closed: int
    """The last closed ledger when they were built."""
    min_ledger: int
    max_ledger: int

    @classmethod
    def now(cls, closed: int, plants: int, preparing: int = 0) -> Self:
        """From the next ledger on, for so many plants sent together; `preparing` them takes so many ledgers."""
        return cls(closed, closed + 1, closed + preparing + LEDGER_WINDOW + plants // _PLANTS_IN_A_LEDGER)

    @classmethod
    def of(cls, view: FarmView, block_index: int, pace: Pace, plants: int, preparing: int = 0) -> Self:
        """As `now`; in a block that is not open yet, from the first ledger that can open it."""
        closed = view.ledger.sequence
        if block_index == view.plantable_index:
            return cls.now(closed, plants, preparing)
        opening = pace.opening(view.ledger, view.turnover_time)
        return replace(cls.now(opening.latest - 1, plants, preparing), closed=closed, min_ledger=opening.earliest)


class PlantPlanner:
    """Reads the farmers' accounts, decides their stakes, builds and signs their plants."""

    def __init__(self, chain: ChainAccess, learning: Learning, tell: Callable[[BlockPlan], None]) -> None:
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._budget = chain.budget
        self._staking = Staking(chain.reader, chain.watch, chain.economy, learning, tell)

    async def plan(
        self, request: PlantRequest, earlier: Sequence[UUID], candidates: Sequence[Candidate], window: Window
    ) -> PlantPlan:
        """The plan of a request, in transactions for these ledgers. Farmers who are better not planted have no part."""
        addresses = [candidate.key.address for candidate in candidates]
        accounts, balances, allowance = await asyncio.gather(
            self._reader.accounts(addresses), self._reader.balances(addresses), self._budget.allowance(window.closed)
        )
        stakeable = {
            each.key.address: each.stakeable(balances[each.key.address])
            for each in candidates
            if each.key.address in balances
        }
        stakes = await self._staking.stakes(request.block_index, candidates, stakeable)
        planned = await _all(
            self._planned(_intent(request, each.key, stakes[each.key.address]), each.key, accounts, balances, window)
            for each in candidates
            if each.key.address in stakes
        )
        plants, attempts = [], []
        for each in planned:
            plant, attempt = _afforded(*each, allowance)
            plants.append(plant)
            attempts += [] if attempt is None else [attempt]
        return PlantPlan(earlier, plants, attempts)

    async def replan(self, unsent: Sequence[UnsentPlant], window: Window) -> tuple[list[Attempt], list[PlantFailed]]:
        """New attempts for pending plants whose transactions came to nothing; those that cannot be built fail."""
        accounts = await self._reader.accounts([one.plant.address for one in unsent])
        allowance = await self._budget.allowance(window.closed)
        outcomes = await _all(self._attempt(one.plant, one.key, accounts, window, _shortfalls(one)) for one in unsent)
        attempts, failed = [], []
        for one, outcome in zip(unsent, outcomes, strict=True):
            refusal = allowance.refuses_plant(outcome.max_fee) if isinstance(outcome, Attempt) else None
            if refusal is not None:
                failed.append(PlantFailed(one.plant.plant_id, Failure(FailureReason.FEE_ACCOUNT_LOW, refusal)))
            elif isinstance(outcome, Attempt):
                attempts.append(outcome)
            else:
                failed.append(PlantFailed(one.plant.plant_id, outcome))
        return attempts, failed

    async def _planned(
        self,
        plant: Plant,
        key: FarmerKey,
        accounts: Mapping[str, Account],
        balances: Mapping[str, int],
        window: Window,
    ) -> tuple[Plant, Attempt | None]:
        outcome: Attempt | Failure
        if key.address in accounts and key.address not in balances:
            outcome = _MISSING_TRUSTLINE
        else:
            outcome = await self._attempt(plant, key, accounts, window)
        if isinstance(outcome, Attempt):
            return plant, outcome
        return _failed(plant, outcome), None

    async def _attempt(
        self, plant: Plant, key: FarmerKey, accounts: Mapping[str, Account], window: Window, shortfalls: int = 0
    ) -> Attempt | Failure:
        account = accounts.get(plant.address)
        if account is None:
            return _MISSING_ACCOUNT
        try:
            signed = await self._factory.plant(
                key,
                stake=plant.stake_stroops,
                block_index=plant.block_index,
                sequence=self._submitting.next_sequence(plant.address, account.sequence),
                min_ledger=window.min_ledger,
                max_ledger=window.max_ledger,
                shortfalls=shortfalls,
            )
        except VaultError as error:
            _log.exception("a farmer's key does not sign", farmer_id=str(key.farmer_id))
            return Failure(FailureReason.KEY_UNAVAILABLE, str(error))
        return attempt_of(signed, AttemptKind.PLANT, plant.plant_id, created_ledger=window.closed)


def _intent(request: PlantRequest, key: FarmerKey, stroops: int) -> Plant:
    """The plant of a farmer with this stake."""
    return Plant(
        plant_id=uuid4(),
        farmer_id=key.farmer_id,
        address=key.address,
        block_index=request.block_index,
        pooler_id=request.pooler_id,
        stake_stroops=stroops,
        state=PlantState.PENDING,
    )


async def _all(building: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all return, in their order. Each is begun as soon as it is made, while others wait for signatures."""
    tasks = []
    for number, one in enumerate(building):
        if number % _BUILT_IN_ONE_GO == 0:
            await asyncio.sleep(0)  # building hundreds must not keep others from being served
        tasks.append(asyncio.create_task(one))
    return await asyncio.gather(*tasks)


def _shortfalls(one: UnsentPlant) -> int:
    return one.attempts if one.last_code in RESOURCE_FAILURES else 0


def _afforded(plant: Plant, attempt: Attempt | None, allowance: Allowance) -> tuple[Plant, Attempt | None]:
    """The plant as planned, or failed where its fee cannot be spared."""
    refusal = None if attempt is None else allowance.refuses_plant(attempt.max_fee)
    if refusal is None:
        return plant, attempt
    return _failed(plant, Failure(FailureReason.FEE_ACCOUNT_LOW, refusal)), None


def _failed(plant: Plant, failure: Failure) -> Plant:
    return Plant(
        plant_id=plant.plant_id,
        farmer_id=plant.farmer_id,
        address=plant.address,
        block_index=plant.block_index,
        pooler_id=plant.pooler_id,
        stake_stroops=0,
        state=PlantState.FAILED,
        failure=failure,
    )
