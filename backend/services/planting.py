"""Planting: a pooler's request becomes one transaction a farmer, all stored together and sent at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from backend.domain.attempt import is_worth_sending
from backend.domain.plant import PlantEvent, PlantRequest, admit, may_rebuild, refusal
from backend.domain.presence import EVERY_FARMER, Offer, share_out
from backend.domain.settlement import PlantFailed
from backend.errors import RequestReusedError, StoreConflictError
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.attending import Attending
from backend.services.learning import Learning
from backend.services.plant_plan import PlantPlan, PlantPlanner, Window
from backend.services.tally import Tally
from kale_chain.breaker import loop_time

_log = structlog.get_logger()

_MAX_PLANS = 3
_MOST_PREPARING = 12
"""Ledgers that later plants are given more at most, however long the last ones took to prepare."""


@dataclass(frozen=True, slots=True)
class PlantSummary:
    """The end of a plant stream."""

    block_index: int
    planted: int
    failed: int
    last_number: int


class Planting:
    """Plants for poolers.

    The first request of a block plants for every pooler that attends, so that all farmers are planted at once; a pooler
    that asks later finds its farmers planted.
    """

    def __init__(self, stores: Stores, chain: ChainAccess, attending: Attending, tally: Tally) -> None:
        self._attending = attending
        self._poolers = stores.poolers
        self._plants = stores.plants
        self._attempts = stores.attempts
        self._planner = PlantPlanner(chain, Learning(stores.harvests, stores.attempts, attending), tally.plan)
        self._submitting = chain.submitting
        self._watch = chain.watch
        self._gate = chain.gate
        self._rows = chain.submitting.rows
        self._promising = chain.promising
        self._finishing = chain.finishing
        self._preparing = 0
        """Ledgers that closed while plants were prepared last."""

    async def request(self, request: PlantRequest) -> None:
        """Plants what the request asks for; returns once everything is stored and sent. A repeat does nothing.

        A request for the next block, made at most about three ledgers early, waits until it can be planted in the
        ledger that opens it; its transactions are signed meanwhile. Once begun it goes on even if the caller is
        cancelled: what is stored must be sent.

        Raises:
            RequestReusedError: the request id was used for another request.
            BlockPassedError: the block is over.
            BlockNotDueError: the block is neither open nor about to be.
            FarmPausedError: the farm is paused.
            PoolerExcludedError: the pooler is let in no longer.
            QuarantinedError: the database was restored, and nothing is signed yet.
            BooksViolatedError: the books break a rule.
            LedgerUnavailableError: the ledger cannot be read; nothing was planted anew.
            DatabaseUnavailableError: likewise for the database.
        """
        await self._finishing.run(self._carry_out(request))

    async def _carry_out(self, request: PlantRequest) -> None:
        self._attending.check(request.pooler_id)
        self._attending.asked(request.pooler_id)
        if await self._is_repeat(request):
            return  # replayed at once, though another request may be waiting for its block
        self._gate.check_plants()
        async with self._promising:
            if await self._is_repeat(request):
                return
            self._is_due(request)
            plan = await self._stored_plan(request)
        self._rows.beat()
        started = loop_time()
        await self._submitting.submit(plan.attempts)
        _log.info("plants sent", request_id=request.request_id, sent_ms=_milliseconds_since(started))

    async def events(self, request: PlantRequest, after: int) -> AsyncIterator[PlantEvent | PlantSummary]:
        """The request's events numbered above `after` as they become final, then the summary."""
        while True:
            seen = self._rows.count
            page = await self._plants.events(request.request_id, after)
            for event in page.events:
                yield event
                after = event.number
                self._attending.taking.planted(request.block_index, event.plant.farmer_id)
            if page.complete:
                yield PlantSummary(request.block_index, page.planted, page.failed, page.last_number)
                return
            await self._rows.after(seen)

    async def rebuild(self) -> None:
        """Gives pending plants without an open transaction another one, or ends them if their block has no time left.

        The ledger has proved the earlier transaction's end, so nothing is planted twice.
        """
        unsent = await self._plants.unsent()
        if not unsent:
            return
        view, pace = self._watch.view, self._watch.pace
        again, failed = [], []
        for one in unsent:
            rebuilt = may_rebuild(view, one.plant.block_index, one.attempts, one.last_code, pace=pace)
            if rebuilt:
                again.append(one)
            elif rebuilt is False:
                failed.append(PlantFailed(one.plant.plant_id, refusal(one.last_code)))
        window = Window.now(view.ledger.sequence, len(again), self._preparing)
        attempts, unbuildable = await self._planner.replan(again, window)
        if failed or unbuildable:
            await self._attempts.apply([*failed, *unbuildable])
            self._rows.beat()
        if attempts:
            async with self._submitting.storing():
                await self._plants.retry(attempts)
            await self._submitting.submit(attempts)

    async def _is_repeat(self, request: PlantRequest) -> bool:
        earlier = await self._plants.request(request.request_id)
        if earlier is None:
            return False
        if earlier != request:
            known = f"{earlier.requested_farmers} farmers of pooler {earlier.pooler_id} in block {earlier.block_index}"
            raise RequestReusedError(request.request_id, known)
        return True

    async def _stored_plan(self, request: PlantRequest) -> PlantPlan:
        """Plans, waits until the block is due, and stores.

        Plans anew if a farmer was planted by someone else, or if so many ledgers closed meanwhile that no later one can
        take what was prepared.
        """
        for remaining in reversed(range(_MAX_PLANS)):
            started, asked = loop_time(), self._watch.view.ledger.sequence
            plan = await self._plan(request)
            prepared_ms = _milliseconds_since(started)
            self._preparing = min(self._watch.view.ledger.sequence - asked, _MOST_PREPARING)
            await self._until_due(request)
            closed = self._watch.view.ledger.sequence
            if remaining and not all(is_worth_sending(attempt, closed) for attempt in plan.attempts):
                _log.warning("plants were prepared for too long", block_index=request.block_index, ms=prepared_ms)
                continue
            plan = plan.as_of(closed)
            started = loop_time()
            try:
                async with self._submitting.storing():
                    await self._plants.begin(request, earlier=plan.earlier, plants=plan.plants, attempts=plan.attempts)
            except StoreConflictError:
                if not remaining:
                    raise
            else:
                _log.info(
                    "planting",
                    request_id=request.request_id,
                    pooler_id=request.pooler_id,
                    block_index=request.block_index,
                    farmers=len(plan.plants),
                    earlier=len(plan.earlier),
                    prepared_ms=prepared_ms,
                    stored_ms=_milliseconds_since(started),
                )
                return plan
        raise AssertionError

    async def _plan(self, request: PlantRequest) -> PlantPlan:
        wanted = request.requested_farmers or None
        earlier = [p.plant_id for p in await self._plants.plants_of(request.block_index, request.pooler_id)][:wanted]
        offers = self._attending.offers(request)
        held = await self._held(request, earlier, offers)
        room = _room(offers, held)
        candidates = [] if room == 0 else await self._plants.candidates(request.block_index, room)
        view, pace = self._watch.view, self._watch.pace
        window = Window.of(view, request.block_index, pace, len(candidates), self._preparing)
        plan = await self._planner.plan(request, earlier, candidates, window)
        owners = share_out(len(plan.plants), offers, held)
        shared = [replace(plant, pooler_id=owner) for plant, owner in zip(plan.plants, owners, strict=True)]
        return replace(plan, plants=shared)

    async def _held(self, request: PlantRequest, earlier: Sequence[UUID], offers: Sequence[Offer]) -> Mapping[str, int]:
        """Farmers of the block that each pooler has already."""
        if len(offers) == 1:
            return {request.pooler_id: len(earlier)}
        return Counter(lease.pooler_id for lease in await self._poolers.leases(request.block_index))

    async def _until_due(self, request: PlantRequest) -> None:
        while True:
            seen = self._watch.closed.count
            if self._is_due(request):
                return
            await self._watch.closed.after(seen)

    def _is_due(self, request: PlantRequest) -> bool:
        return admit(self._watch.view, request.block_index, pace=self._watch.pace)


def _room(offers: Sequence[Offer], held: Mapping[str, int]) -> int | None:
    """How many farmers may be planted in all; None: every one."""
    if any(offer.farmers >= EVERY_FARMER for offer in offers):
        return None
    return sum(max(0, offer.farmers - held.get(offer.pooler_id, 0)) for offer in offers)


def _milliseconds_since(started: float) -> int:
    return round((loop_time() - started) * 1000)
