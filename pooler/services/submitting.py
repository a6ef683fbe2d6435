"""Submitting work: what is due, through a free channel account, until its end is known from a ledger."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import structlog

from kale_chain.errors import RpcError
from kale_chain.model import Ledger
from kale_chain.planning.delays import Delays
from kale_chain.planning.works import Insurance
from pooler.domain.assignment import Accepted, Failure, FarmerWork, Find, Reason
from pooler.domain.attempt import LEDGERS_TO_APPLY, Attempt
from pooler.domain.leases import Leases
from pooler.domain.round import Round, Rounds
from pooler.domain.schedule import BlockPlan, Stage
from pooler.domain.spare import spare_find
from pooler.ports import FarmView, Journal, News, SendState, Sent, WorkChannels, WorkOrder
from pooler.services.tally import Ending, Tally

log = structlog.get_logger(__name__)

_LOW_FUNDS = "txINSUFFICIENT_BALANCE"


@dataclass(frozen=True, slots=True)
class _Due:
    """A work to submit, and how many ledgers after the next one still are safely in its block."""

    work: FarmerWork
    find: Find
    stage: Stage
    ledgers_left: int


class Submitting:
    """The work transactions of all rounds.

    Args:
        channels: The channel accounts.
        farm: Tells what Pails hold.
        journal: Keeps attempts.
        rounds: The blocks and their farmers.
        max_repeats: Transactions per farmer and block beyond the first of each stage (MAX_RETRY_ATTEMPTS).
        latency: Takes how many ledgers each transaction needed.
        patience: Seconds from submitting a work to its known result (WORK_TIMEOUT_MS); then another may be tried.
        clock: Seconds of a steady clock.

    Attributes:
        tally: Counts what became of them.
    """

    def __init__(
        self,
        channels: WorkChannels,
        farm: FarmView,
        journal: Journal,
        rounds: Rounds,
        *,
        max_repeats: int,
        patience: float,
        latency: Delays,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channels = channels
        self._farm = farm
        self._journal = journal
        self._rounds = rounds
        self._max_repeats = max_repeats
        self._patience = patience
        self._latency = latency
        self._clock = clock
        self._leases = Leases(lambda: channels.count)
        self._open: dict[str, Attempt] = {}
        self._since: dict[str, float] = {}
        self._submitted_at = 0
        self.tally = Tally()

    @property
    def open_attempts(self) -> int:
        """Transactions whose end is not known yet."""
        return len(self._open)

    def resume(self, attempts: Iterable[Attempt]) -> None:
        """Takes on attempts of an earlier run; they are sent again and end like others."""
        for attempt in attempts:
            self._leases.claim(attempt.channel)
            self._watch(attempt)

    def pending(self, block_index: int, address: str) -> bool:
        """Whether a transaction for this farmer and block may still be applied and is not overdue."""
        now = self._clock()
        return any(
            one.address == address and one.block_index == block_index and now - self._since[key] < self._patience
            for key, one in self._open.items()
        )

    async def settle(self, news: News) -> None:
        """Ends the attempts that these ledgers applied, or that no ledger can apply any more."""
        ended = []
        for attempt in list(self._open.values()):
            result = news.result(attempt.transaction_hash)
            if result is not None:
                delay = attempt.delay(result.ledger_sequence)
                self._latency.add(delay)
                self.tally.inclusion.add(delay)
                self._applied(attempt, result.ledger_sequence, result.gap, result.failure)
            elif attempt.expired(news.last.sequence):
                self._latency.add(None)
                self.tally.endings[Ending.EXPIRED] += 1
                self._log(attempt, "work expired")
            else:
                continue
            self._forget(attempt)
            ended.append(attempt)
        if ended:
            await self._journal.ended(ended)

    def _applied(self, attempt: Attempt, ledger: int, gap: int | None, failure: Failure | None) -> None:
        work = self._work(attempt)
        if failure is None and gap is not None:
            self._log(attempt, "work accepted", ledger_sequence=ledger, gap=gap)
            self.tally.endings[Ending.ACCEPTED] += 1
            self.tally.zeros.add(attempt.find.zeros)
            self.tally.gaps.add(gap)
            if work is not None:
                find = attempt.find
                work.applied(Accepted(find.zeros, gap, find, attempt.transaction_hash, ledger))
            return
        self.tally.endings[Ending.REFUSED] += 1
        self._log(attempt, "work refused", ledger_sequence=ledger, reason=failure.message if failure else "")
        if work is not None:
            work.failure = failure

    async def read_pails(self, wanted: Collection[tuple[str, int]]) -> None:
        """Takes what the Pails of (farmer, block) hold.

        Raises:
            RpcError: Nothing is known then.
        """
        for (address, index), pail in (await self._farm.pails(wanted)).items():
            one = self._rounds.get(index)
            if one is not None and address in one.works:
                one.works[address].read(pail)

    async def send_again(self) -> None:
        """Sends every open attempt once more, in case the network lost it."""
        await asyncio.gather(*(self._send(attempt, first=False) for attempt in list(self._open.values())))

    async def submit(self, last: Ledger) -> None:
        """Submits what is due after ledger `last`; a repeat in the same ledger does nothing.

        Raises:
            RpcError: It is left for the next ledger.
        """
        if last.sequence == self._submitted_at:
            return
        due = [order for one in self._rounds if not one.over for order in self._due(one, last.sequence)]
        if not due:
            return
        fresh = await self._built(due, last)
        self._submitted_at = last.sequence
        refused = await asyncio.gather(*(self._send(attempt, first=True) for attempt in fresh))
        if ended := [attempt for attempt in refused if attempt is not None]:
            await self._journal.ended(ended)

    def _due(self, one: Round, closed: int) -> list[_Due]:
        """What is due in a block's round, the most valuable first."""
        due = []
        for address in filter(one.works.__contains__, one.plans):
            work, stage = one.works[address], one.stage(address, closed)
            if stage is Stage.SEARCHING or self.pending(one.index, address):
                continue
            insurance = one.plans[address].insurance
            if stage is Stage.INSURING and one.plan is not None and insurance is not None:
                _take_spare(one.plan, work, insurance)
            if (find := work.choose(stage, max_repeats=self._max_repeats, insurance=insurance)) is not None:
                due.append(_Due(work, find, stage, max(one.last_safe - closed - 1, 0)))
        return due

    async def _built(self, due: list[_Due], last: Ledger) -> list[Attempt]:
        leased = [(channel, item) for item in due if (channel := self._leases.take()) is not None]
        if len(leased) < len(due):
            log.info("work waits for a free channel account", waiting=len(due) - len(leased))
        try:
            sequences = await self._channels.sequences([channel for channel, _ in leased])
            await self._channels.refresh_fees()
        except RpcError:
            for channel, _ in leased:
                self._leases.give_back(channel)
            raise
        attempts = []
        for channel, one in leased:
            if channel not in sequences:
                log.error("a channel account is missing on the ledger", channel=channel)
                self._leases.give_back(channel)
                continue
            order = WorkOrder(
                assignment=one.work.assignment,
                find=one.find,
                stage=one.stage,
                channel=channel,
                sequence=sequences[channel] + 1,
                max_ledger=last.sequence + 1 + LEDGERS_TO_APPLY,
                ledgers_left=one.ledgers_left,
            )
            attempts.append(self._channels.build(order))
            one.work.sent(one.find, one.stage)
        # On disk before the first sending: a restart sends the same bytes again.
        await self._journal.opened(attempts)
        for attempt in attempts:
            self._watch(attempt)
        return attempts

    async def _send(self, attempt: Attempt, *, first: bool) -> Attempt | None:
        """Sends an attempt; returns it if that proved that it never was nor will be pending."""
        try:
            sent = await self._channels.send(attempt)
        except RpcError as error:
            self._log(attempt, "work not sent; it goes out again at the next ledger", problem=str(error))
            return None
        if sent.state is SendState.TAKEN and first:
            self._log(attempt, "work sent")
        # Only the first answer proves anything: a repeat may be refused because the first one was applied.
        if sent.state is not SendState.REFUSED or not first or attempt.transaction_hash not in self._open:
            return None
        self._refused(attempt, sent)
        self._forget(attempt)
        return attempt

    def _refused(self, attempt: Attempt, sent: Sent) -> None:
        self._log(attempt, "the network refused work", code=sent.code)
        self.tally.endings[Ending.NOT_TAKEN] += 1
        reason = Reason.FEE_ACCOUNT_LOW if sent.code == _LOW_FUNDS else Reason.NETWORK_REFUSED
        if (work := self._work(attempt)) is not None:
            work.failure = Failure(reason, f"the network refused the work transaction: {sent.code}")

    def _watch(self, attempt: Attempt) -> None:
        self._open[attempt.transaction_hash] = attempt
        self._since[attempt.transaction_hash] = self._clock()

    def _forget(self, attempt: Attempt) -> None:
        del self._open[attempt.transaction_hash]
        del self._since[attempt.transaction_hash]
        self._leases.give_back(attempt.channel)

    def _work(self, attempt: Attempt) -> FarmerWork | None:
        one = self._rounds.get(attempt.block_index)
        return None if one is None else one.works.get(attempt.address)

    def _log(self, attempt: Attempt, event: str, **more: object) -> None:
        work = self._work(attempt)
        log.info(
            event,
            block_index=attempt.block_index,
            farmer_id="" if work is None else work.assignment.farmer_id,
            transaction_hash=attempt.transaction_hash,
            zeros=attempt.find.zeros,
            stage=attempt.stage.name.lower(),
            **more,
        )


def _take_spare(plan: BlockPlan, work: FarmerWork, insurance: Insurance) -> None:
    """Has a few nonces hashed for a find to insure with, where the search for one has not come to an end."""
    if work.best is not None and work.needs_spare(insurance):
        find = spare_find(plan, work.assignment, work.best)
        if find is not None and find.zeros >= insurance.least_zeros:
            work.take_spare(find)
