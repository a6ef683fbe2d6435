"""Planning the works of the open block anew at every ledger, from what was learned of the network on the way."""

from dataclasses import dataclass, field
from fractions import Fraction

import structlog

from kale_chain.clock import BlockClock, Opening
from kale_chain.model import Block, Ledger
from kale_chain.planning.delays import Delays
from kale_chain.planning.inputs import Chances, ClockEstimate, Market, OpenPail, WorkView
from kale_chain.planning.laws import LATENCY, TURNOVER
from kale_chain.planning.works import plan_works
from kale_chain.planning.zeros import target_zeros
from kale_chain.rewards import Scoring, base_reward
from pooler.domain.assignment import FarmerWork
from pooler.domain.round import Round, Rounds
from pooler.domain.schedule import BlockPlan
from pooler.ports import WorkChannels
from pooler.services.watching import Sight

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Scores:
    """What was seen of a block: its record, when it ends, and what our farmers have scored in it."""

    block: Block
    ends_at: int
    ours: dict[str, int] = field(default_factory=dict)
    most_zeros: int = 0

    @property
    def rivals(self) -> Fraction:
        """The score of everybody else, in units of the block's widest range."""
        others = max(self.block.normalized_total - sum(self.ours.values()), 0)
        return Fraction(others, Scoring(self.block).widest)


class Planning:
    """The plans of the open block's works.

    Args:
        channels: Tells how many works one ledger takes.
        rounds: The blocks and their farmers; plans go into them.
    """

    def __init__(self, channels: WorkChannels, rounds: Rounds) -> None:
        self._channels = channels
        self._rounds = rounds
        self._clock = BlockClock()
        self._turnover = Delays(TURNOVER)
        self._index = -1
        self._now: _Scores | None = None
        self._before: _Scores | None = None
        self.latency = Delays(LATENCY)

    @property
    def delays(self) -> dict[str, Delays]:
        """What is learned of the network and worth keeping, by name."""
        return {"latency": self.latency, "turnover": self._turnover}

    @property
    def clock(self) -> BlockClock:
        """The block clock."""
        return self._clock

    def closed(self, ledger: Ledger) -> None:
        """A ledger has closed."""
        self._clock.observe(ledger)

    def look(self, sight: Sight, ledger: Ledger) -> None:
        """Takes what was seen of the farm after `ledger` and plans the works of its current block."""
        if sight.block is None:
            return
        self._take(sight, sight.block)
        one = self._rounds.of(sight.farm.index)
        one.plan = BlockPlan.of(sight.farm, sight.block, target_zeros(sight.block, lone=self._lone(sight.block)))
        opening = self._clock.pace.opening(ledger, sight.farm.block.ends_at)
        pails = [_pail(work) for work in one.works.values()]
        plans = plan_works(self._view(one, sight.block, opening, ledger), pails)
        one.plans = {plan.farmer: plan for plan in plans}
        one.last_safe = opening.last_safe

    def _take(self, sight: Sight, block: Block) -> None:
        index, ends_at = sight.farm.index, sight.farm.block.ends_at
        if index != self._index:
            if self._now is not None and index == self._index + 1:
                late = sight.farm.block.timestamp - self._now.ends_at
                self._turnover.add(int(late / self._clock.pace.mean))
            self._before = self._now if index == self._index + 1 else None
            self._index, self._now = index, _Scores(block, ends_at)
        assert self._now is not None
        self._now.block = block
        scoring = Scoring(block)
        for address, work in self._rounds.of(index).works.items():
            if work.accepted is not None:
                done = work.accepted
                self._now.ours[address] = scoring.score(done.gap, work.assignment.stake_stroops, done.zeros)
                self._now.most_zeros = max(self._now.most_zeros, done.zeros)

    def _lone(self, block: Block) -> bool:
        """Whether our farmers made most of the block's ranges, in the block before it."""
        before = self._before
        if before is None or before.most_zeros < block.max_zeros:
            return False
        return 2 * sum(before.ours.values()) > before.block.normalized_total

    def _view(self, one: Round, block: Block, opening: Opening, ledger: Ledger) -> WorkView:
        rivals = Fraction(0) if self._before is None else self._before.rivals
        planted = min((work.assignment.planted_ledger for work in one.works.values()), default=ledger.sequence)
        return WorkView(
            index=one.index,
            block=block,
            clock=ClockEstimate(planted, opening.last_safe, opening.latest - opening.earliest),
            ledger=ledger.sequence,
            market=Market(base_reward(one.index) + block.staked_total, rivals),
            chances=Chances(self.latency.law, self._turnover.law, max(self._channels.count, 1)),
            lone=self._lone(block),
        )


def _pail(work: FarmerWork) -> OpenPail:
    assignment, best, accepted = work.assignment, work.best, work.accepted
    return OpenPail(
        farmer=assignment.address,
        index=assignment.block_index,
        planted_ledger=assignment.planted_ledger,
        stake_stroops=assignment.stake_stroops,
        best_zeros=None if best is None else best.zeros,
        accepted_zeros=None if accepted is None else accepted.zeros,
        accepted_gap=None if accepted is None else accepted.gap,
    )
