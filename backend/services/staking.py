"""Whom to plant in a block with what stake: what each farmer's settings ask for, and what of that pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import structlog

from backend.domain.plant import FarmView
from backend.domain.staking import Economy, StakePolicy, stake
from backend.ports.chain import ChainReader
from backend.ports.stores import Candidate
from backend.services.following import FarmWatch
from backend.services.learning import Learning
from kale_chain.model import BLOCK_SECONDS, Block, Pail
from kale_chain.planning import inputs
from kale_chain.planning.plants import Mode, PlantPlan, Reason, plan_plants
from kale_chain.rewards import Scoring, base_reward

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Before:
    """The block before the one to plant in, as far as it is known, and the pails of our farmers in it."""

    block: Block | None
    pails: Sequence[Pail]

    @property
    def _ours(self) -> int:
        """What our farmers have scored in it."""
        if self.block is None:
            return 0
        scoring = Scoring(self.block)
        return sum(
            scoring.score(pail.gap, pail.stake, pail.zeros)
            for pail in self.pails
            if pail.gap is not None and pail.zeros is not None
        )

    @property
    def rivals(self) -> Fraction:
        """The score of all others, in units of the block's widest range."""
        if self.block is None:
            return Fraction(0)
        return Fraction(max(self.block.normalized_total - self._ours, 0), Scoring(self.block).widest)

    @property
    def lone(self) -> bool:
        """Whether our farmers scored most of it, and so made most of the next block's ranges."""
        return self.block is not None and 2 * self._ours > self.block.normalized_total

    @property
    def worth_opening_another(self) -> bool:
        """Whether more is in these pails than one that was only planted to open the block."""
        return len(self.pails) > 1 or any(pail.stake for pail in self.pails)


class Staking:
    """Decides the stakes of a block's plants; `tell` is told of every plan."""

    def __init__(
        self,
        reader: ChainReader,
        watch: FarmWatch,
        economy: Economy,
        learning: Learning,
        tell: Callable[[PlantPlan], None],
    ) -> None:
        self._reader = reader
        self._watch = watch
        self._economy = economy
        self._learning = learning
        self._tell = tell

    async def stakes(
        self, block_index: int, candidates: Sequence[Candidate], balances: Mapping[str, int]
    ) -> Mapping[str, int]:
        """The stake in stroops of each farmer to plant, by address; those who are better not planted are missing.

        Args:
            block_index: The block to plant in.
            candidates: The farmers.
            balances: What each may stake from, in stroops by address.
        """
        asked = {
            one.key.address: stake(balances.get(one.key.address, 0), one.stake_basis_points, one.fixed_stake_stroops)
            for one in candidates
        }
        if self._economy.policy is StakePolicy.ASKED or not asked:
            return asked
        before = await self._block_before(block_index, list(asked))
        losses, fees = await self._learning.history(block_index)
        plan = self._plan(block_index, asked, before, losses, fees)
        self._tell(plan)
        _report(plan)
        if plan.mode is Mode.HARVEST_ONLY and plan.unprofitable and before.worth_opening_another:
            # Nothing but a plant opens a block, and what is in the one before can be harvested only then.
            return {plan.unprofitable[0].farmer: 0}
        return {one.farmer: one.stake_stroops for one in plan.farmers if one.planting}

    def _plan(
        self,
        block_index: int,
        asked: Mapping[str, int],
        before: _Before,
        losses: inputs.LossHistory,
        fees: inputs.Fees,
    ) -> PlantPlan:
        view = self._watch.view
        is_open = view.open_block is not None and block_index == view.farm.index
        block = view.open_block if is_open else view.farm.block.opened_at(view.turnover_time)
        assert block is not None
        plan_view = inputs.PlantView(
            index=block_index,
            block=block,
            clock=self._clock(view, is_open=is_open),
            market=inputs.Market(base_reward(block_index), before.rivals, self._economy.floor_price),
            hashes_per_second=self._learning.hashes_per_second,
            fees=fees,
            losses=losses,
            lone=before.lone,
        )
        candidates = [inputs.Candidate(address, stroops) for address, stroops in asked.items()]
        return plan_plants(plan_view, candidates, ledger=view.ledger.sequence if is_open else 0)

    def _clock(self, view: FarmView, *, is_open: bool) -> inputs.ClockEstimate:
        pace = self._watch.pace
        opening = pace.opening(view.ledger, view.turnover_time)
        length = int(BLOCK_SECONDS / pace.mean)
        if is_open:
            age = int((view.ledger.close_time - view.farm.block.timestamp) / pace.mean)
            opened = max(view.ledger.sequence - age, 0)
            return inputs.ClockEstimate(opened, opening.last_safe, opening.latest - opening.earliest)
        return inputs.ClockEstimate(opening.expected, opening.expected + length - 1)

    async def _block_before(self, block_index: int, addresses: Sequence[str]) -> _Before:
        """The block before this one, and the pails that these farmers have in it."""
        view, index = self._watch.view, block_index - 1
        if index < 0:
            return _Before(None, ())
        block = view.open_block if index == view.farm.index else await self._reader.block(index)
        _, entries = await self._reader.pails([(address, index) for address in addresses])
        return _Before(block, tuple(entry.pail for entry in entries.values()))


def _report(plan: PlantPlan) -> None:
    """Tells of farmers who are not planted, and why."""
    for reason in (Reason.FEES, Reason.TOO_LATE):
        left_out = [one for one in plan.farmers if one.reason is reason]
        if left_out:
            _log.warning(
                "farmers are not planted",
                block_index=plan.index,
                why=reason.value,
                mode=plan.mode.value,
                farmers=[one.farmer for one in left_out],
                expected_kale_stroops=max(one.reward_stroops for one in left_out),
                fees_stroops=left_out[0].fee_stroops,
            )
