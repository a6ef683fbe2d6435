"""Plays a policy through the blocks of a scenario and counts what it earned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import exp
from random import Random

from kale_chain.model import Block
from kale_chain.planning.inputs import Fees
from kale_chain.rewards import Scoring, base_reward
from simulator.planner.policies import Play, Policy, Situation
from simulator.planner.rivals import Rivals, Setting
from simulator.planner.scenarios import SPREAD_OF_STAKES, START_BALANCE, WHALE_STAKE, Scenario

FEES = Fees(plant=19_000, work=14_000, harvest=12_000)
"""What the public network takes without a surge, in stroops of XLM."""

FIRST_RANGES = replace(
    Block.unseen(0), min_gap=2, max_gap=58, min_stake=0, max_stake=WHALE_STAKE, min_zeros=5, max_zeros=9
)
"""The ranges of a season's first block: as such farmers make them."""


@dataclass(slots=True)
class Tally:
    """What a policy came to.

    Attributes:
        income: Rewards less lost stakes, in stroops; a repeat's over-payment is taken out.
        overpaid: What the contract would have paid beyond that, in stroops.
        lost_stakes: Stakes lost, in pails.
        lost_stroops: The same in stroops.
        unplanted: Plants that failed.
        unworked: Pails without an accepted work.
        missed: Pails that a last, better work did not reach in time.
        plants: Plants sent.
        works: Works sent.
        harvests: Pails harvested.
        blocks: Blocks played.
    """

    income: int = 0
    overpaid: int = 0
    lost_stakes: int = 0
    lost_stroops: int = 0
    unplanted: int = 0
    unworked: int = 0
    missed: int = 0
    plants: int = 0
    works: int = 0
    harvests: int = 0
    blocks: int = 0

    @property
    def transactions(self) -> int:
        """Everything sent."""
        return self.plants + self.works + self.harvests

    @property
    def fees(self) -> int:
        """What the transactions cost, in stroops of XLM."""
        return self.plants * FEES.plant + self.works * FEES.work + self.harvests * FEES.harvest


class Purse:
    """Our farmers' KALE: free, and locked in pails until two ledgers after the next block has opened."""

    def __init__(self, farmers: int, random: Random) -> None:
        self.free = [int(START_BALANCE * exp(random.gauss(0, SPREAD_OF_STAKES))) for _ in range(farmers)]
        self._coming: list[tuple[int, int]] = []

    def settle(self, plays: Sequence[Play], rewards: Sequence[int]) -> None:
        """A block is over: its stakes and rewards come back while the next one runs."""
        for farmer, amount in self._coming:
            self.free[farmer] += amount
        self._coming = []
        for play, reward in zip(plays, rewards, strict=True):
            if play.planted is None:
                continue
            self.free[play.farmer] -= play.stake
            if play.works:
                self._coming.append((play.farmer, play.stake + reward))


def season(
    scenario: Scenario, seed: int, policy: Policy, settings: Sequence[Setting], tick: Callable[[], None] = lambda: None
) -> Tally:
    """Plays all blocks of `settings`; every policy has the same luck of its own."""
    purse = Purse(scenario.farmers, Random(f"{scenario.name}/{seed}/balances"))  # noqa: S311 - a simulation
    tally = Tally()
    ranges = FIRST_RANGES
    for setting in settings:
        block = setting.ranges or ranges
        situation = Situation(
            scenario, setting, block, base_reward(setting.index), purse.free, _luck(scenario, seed, setting.index)
        )
        plays = policy.play(situation)
        rewards, rivals = settle_block(situation, plays, tally)
        policy.learn(plays, setting, rivals)
        purse.settle(plays, rewards)
        ranges = seen_ranges(block, setting.rivals, plays)
        tick()
    return tally


def _luck(scenario: Scenario, seed: int, index: int) -> Callable[[str], Random]:
    return lambda purpose: Random(f"{scenario.name}/{seed}/{index}/{purpose}")  # noqa: S311 - a simulation


def settle_block(situation: Situation, plays: Sequence[Play], tally: Tally) -> tuple[list[int], Fraction]:
    """Each play's reward in stroops, and the rivals' score in units of the widest range; counts them in `tally`.

    The contract takes a repeated work's earlier zeros out at the new gap, so the sum of scores it divides by is too
    small and everybody is paid too much. Here every pail counts once, with its last work.
    """
    scoring = Scoring(situation.block)
    rivals = situation.setting.rivals.score(scoring)
    scores = [scoring.score(play.works[-1][0], play.stake, play.works[-1][1]) if play.works else 0 for play in plays]
    lost = sum(play.stake for play in plays if play.planted is not None and not play.works)
    pot = situation.pot + situation.setting.rivals.lost + lost + situation.block.staked_total
    total = max(1, rivals + sum(scores))
    rewards = [score * pot // total for score in scores]
    flawed = max(1, total - sum(_taken_twice(scoring, play) for play in plays))
    tally.income += sum(rewards) - lost
    tally.overpaid += sum(score * pot // flawed for score in scores) - sum(rewards)
    tally.lost_stakes += sum(play.planted is not None and play.stake > 0 and not play.works for play in plays)
    tally.lost_stroops += lost
    tally.unplanted += sum(play.planted is None for play in plays)
    tally.unworked += sum(play.planted is not None and not play.works for play in plays)
    tally.missed += sum(len(play.works) == 1 and play.transactions > 2 for play in plays)  # noqa: PLR2004 - plant, works
    tally.plants += len(plays)
    tally.works += sum(play.transactions - 1 for play in plays)
    tally.harvests += sum(bool(play.works) for play in plays)
    tally.blocks += 1
    return rewards, Fraction(rivals, scoring.widest)


def _taken_twice(scoring: Scoring, play: Play) -> int:
    """By how much the contract's sum of scores is too small for the repeats of one pail."""
    pairs = zip(play.works, play.works[1:], strict=False)
    return sum(scoring.gap(again) - scoring.gap(gap) for (gap, _), (again, _) in pairs)


def seen_ranges(block: Block, rivals: Rivals, plays: Sequence[Play]) -> Block:
    """The next block's ranges: what the farm saw in this one; the same again if nothing was."""
    works = [work for play in plays for work in play.works]
    gaps = [*rivals.gaps, *(gap for gap, _ in works)]
    zeros = [*rivals.zeros, *(count for _, count in works)]
    stakes = [*rivals.stakes, *rivals.unworked, *(play.stake for play in plays if play.planted is not None)]
    if not gaps or not stakes:
        return block
    return replace(
        block,
        min_gap=min(gaps),
        max_gap=max(gaps),
        min_zeros=min(zeros),
        max_zeros=max(zeros),
        min_stake=min(stakes),
        max_stake=max(stakes),
    )
