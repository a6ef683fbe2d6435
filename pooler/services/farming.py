"""One turn of the pooler at every closed ledger: settle, look, have farmers planted, submit, report."""

import asyncio
from collections.abc import Callable

import structlog

from kale_chain.errors import RpcError
from kale_chain.model import Ledger
from pooler.domain.assignment import Accepted, Assignment, Failure
from pooler.domain.attempt import LEDGERS_TO_APPLY
from pooler.domain.presence import TakenLease
from pooler.domain.report import Report
from pooler.domain.round import Round, Rounds
from pooler.domain.schedule import Stage, plant_target
from pooler.ports import Journal, Kept, LedgerFeed, News
from pooler.services.assigning import Assigning
from pooler.services.planning import Planning
from pooler.services.reporting import Reporting
from pooler.services.searching import Searching
from pooler.services.submitting import Submitting
from pooler.services.watching import Sight, Watching

log = structlog.get_logger(__name__)

# A pooler that was away for longer reads Pails instead of every ledger it missed.
LEDGERS_TO_CATCH_UP = 500


class Farming:
    """Drives the other services, ledger by ledger.

    Args:
        pooler_id: The pooler's name.
        feed: The closed ledgers.
        watching, planning, submitting, searching, reporting: The other services.
        journal: What an earlier run left.
        rounds: The blocks and their farmers, shared with the other services.
        interval: Seconds after which the farm is read again even if no ledger closes (BLOCK_MONITOR_INTERVAL_MS).
        turned: Called after every turn.
    """

    def __init__(
        self,
        *,
        pooler_id: str,
        feed: LedgerFeed,
        watching: Watching,
        planning: Planning,
        submitting: Submitting,
        searching: Searching,
        reporting: Reporting,
        journal: Journal,
        rounds: Rounds,
        interval: float,
        turned: Callable[[], None],
    ) -> None:
        self._pooler_id = pooler_id
        self._feed = feed
        self._watching = watching
        self._planning = planning
        self._submitting = submitting
        self._searching = searching
        self._reporting = reporting
        self._journal = journal
        self._rounds = rounds
        self._interval = interval
        self._turned = turned
        self._queue: asyncio.Queue[News | None] = asyncio.Queue()
        self._interrupted: set[int] = set()
        self._detected: int | None = None

    def take(self, assignment: Assignment) -> None:
        """A farmer was planted: starts the search, or looks at the farm at once if the block is not known yet."""
        log.info(
            "farmer planted",
            block_index=assignment.block_index,
            farmer_id=assignment.farmer_id,
            ledger_sequence=assignment.planted_ledger,
        )
        one = self._rounds.of(assignment.block_index)
        if one.assign(assignment):
            self._searching.renew(one.index, assignment.address)
        if one.plan is None:
            self._queue.put_nowait(None)
        else:
            self._searching.start(one)

    def release(self, lease: TakenLease) -> None:
        """A farmer is another pooler's now: ends its search; work of ours that was accepted is still reported."""
        one = self._rounds.get(lease.block_index)
        address = None if one is None else one.release(lease.farmer_id, lease.generation)
        if address is not None:
            log.info("farmer taken over by another pooler", block_index=lease.block_index, farmer_id=lease.farmer_id)
            self._searching.stop(lease.block_index, address)
            self._queue.put_nowait(None)

    async def restore(self, last: Ledger, sight: Sight) -> int:
        """Takes up what an earlier run left; the ledger after which to follow.

        Args:
            last: The last closed ledger.
            sight: The farm now.
        """
        self._watching.ledger = last
        self._planning.closed(last)
        kept = await self._journal.restore(sight.farm.index)
        self._searching.run_number = kept.run_number
        self._interrupted = set(kept.requested)
        for kind, delays in self._planning.delays.items():
            delays.remember(kept.delays.get(kind, ()))
        _refill(self._rounds, kept)
        self._submitting.resume(kept.attempts)
        if kept.assignments:
            log.info("work of an earlier run taken up", farmers=len(kept.assignments), attempts=len(kept.attempts))
        oldest = min((attempt.max_ledger - LEDGERS_TO_APPLY - 1 for attempt in kept.attempts), default=last.sequence)
        return max(min(oldest, last.sequence), last.sequence - LEDGERS_TO_CATCH_UP)

    async def run(self, assigning: Assigning, after: int) -> None:
        """Farms for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump(after), name="ledgers")
            await self._turn([], assigning, tasks)
            while True:
                await self._turn(await self._next(), assigning, tasks)

    async def _pump(self, after: int) -> None:
        async for news in self._feed.news(after):
            await self._queue.put(news)

    async def _next(self) -> list[News]:
        """What closed since the last turn; nothing if a look at the farm is due for another reason."""
        try:
            waiting = [await asyncio.wait_for(self._queue.get(), self._interval)]
        except TimeoutError:
            waiting = []
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait())
        return [news for news in waiting if news is not None]

    async def _turn(self, ledgers: list[News], assigning: Assigning, tasks: asyncio.TaskGroup) -> None:
        for news in ledgers:
            await self._submitting.settle(news)
            self._watching.ledger = news.last
            self._planning.closed(news.last)
        try:
            sight = await self._watching.look()
            if sight is not None:
                self._follow(sight, assigning, tasks)
            if ledgers:
                await self._submitting.send_again()
            await self._work()
        except RpcError as error:
            log.warning("the ledger cannot be read; trying again", problem=str(error))
        for kind, delays in self._planning.delays.items():
            if fresh := delays.drain():
                await self._journal.seen(kind, fresh)
        self._turned()

    def _follow(self, sight: Sight, assigning: Assigning, tasks: asyncio.TaskGroup) -> None:
        """Brings rounds, plants and searches in line with what was seen."""
        farm, ledger = sight.farm, self._watching.ledger
        for over in self._rounds.close_before(farm.index):
            self._searching.stop(over.index)
        assigning.leave_before(farm.index)
        if sight.block is not None:
            self._planning.look(sight, ledger)
            self._searching.start(self._rounds.of(farm.index))
            if farm.index != self._detected:
                self._detected = farm.index
                opened = sight.block.timestamp
                log.info("block detected", block_index=farm.index, opened_at=opened, ledger_sequence=farm.ledger)
                tasks.create_task(self._reporting.block(farm.index, opened_at=opened, ledger=farm.ledger))
        target = plant_target(farm, open_block=sight.block is not None, ledger=ledger, pace=self._planning.clock.pace)
        if target is not None:
            assigning.ask(target)
        for index in self._interrupted & {farm.index, farm.index + 1}:
            assigning.ask(index)

    async def _work(self) -> None:
        closed = self._watching.ledger.sequence
        wanted = [
            (address, one.index) for one in self._rounds for address in one.works if one.looked_at(address, closed)
        ]
        if wanted:
            await self._submitting.read_pails(wanted)
        await self._submitting.submit(self._watching.ledger)
        for one in self._rounds:
            await self._conclude(one, closed)
        self._rounds.drop_finished()

    async def _conclude(self, one: Round, closed: int) -> None:
        """Reports on the farmers of a round whose end is known, and lets them go."""
        reports = []
        for address, work in list(one.works.items()):
            if Stage.FINAL in work.stages:
                self._searching.stop(one.index, address)
            if self._submitting.pending(one.index, address):
                continue
            outcome = work.settled(one.stage(address, closed))
            if outcome is not None:
                self._log(work.assignment, outcome)
                reports.append(Report.of(self._pooler_id, work.assignment, outcome))
            elif work.released:
                del one.works[address]
        if reports:
            await self._reporting.report(reports)
        for report in reports:
            del one.works[report.address]
            self._searching.stop(one.index, report.address)
        if one.over and not one.works:
            self._searching.forget(one.index)

    def _log(self, assignment: Assignment, outcome: Accepted | Failure) -> None:
        ids = {"block_index": assignment.block_index, "farmer_id": assignment.farmer_id}
        if isinstance(outcome, Failure):
            log.warning("no work accepted", **ids, reason=outcome.reason.value, problem=outcome.message)
        else:
            log.info(
                "work complete", **ids, zeros=outcome.zeros, gap=outcome.gap, transaction_hash=outcome.transaction_hash
            )


def _refill(rounds: Rounds, kept: Kept) -> None:
    for assignment in kept.assignments:
        rounds.of(assignment.block_index).assign(assignment)
    for index, address, find in kept.finds:
        one = rounds.get(index)
        if one is not None and address in one.works:
            one.works[address].found(find)
    for index, address, find, stage in kept.submitted:
        one = rounds.get(index)
        if one is not None and address in one.works:
            one.works[address].sent(find, stage)
