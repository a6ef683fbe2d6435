"""The backend's half of a block's plan: who is planted, with what stake, in which ledger, to be harvested by when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from itertools import accumulate

from kale_chain.model import U32_MAX
from kale_chain.planning.inputs import Candidate, PlantView
from kale_chain.planning.stakes import stake
from kale_chain.planning.timing import insured_by
from kale_chain.planning.zeros import expected_zeros, target_zeros
from kale_chain.rewards import Scoring

HARVEST_WITHIN = 2
"""Ledgers after an opening in which what it made harvestable is harvested."""


class Reason(Enum):
    """Why a farmer is planted or not."""

    PAYS = "pays"
    FARM_PAUSED = "farm_paused"
    TOO_LATE = "too_late"
    FEES = "fees"


class Mode(Enum):
    """What the pool does in a block."""

    FARMING = "farming"
    HARVEST_ONLY = "harvest_only"


@dataclass(frozen=True, slots=True)
class FarmerPlan:
    """What is planned for one farmer.

    Attributes:
        farmer: The farmer's address.
        reason: Why it is planted, or why not.
        stake_stroops: Its stake; 0 if it is not planted.
        plant_ledger: The ledger to aim the plant at.
        slot: That ledger, counted from the first that can take plants.
        reward_stroops: The reward to be expected, in KALE.
        fee_stroops: What its transactions cost, in XLM.
        harvest_by: The last ledger to harvest it in.
    """

    farmer: str
    reason: Reason
    stake_stroops: int
    plant_ledger: int
    slot: int
    reward_stroops: int
    fee_stroops: int
    harvest_by: int

    @property
    def planting(self) -> bool:
        """Whether the farmer is planted."""
        return self.reason is Reason.PAYS


@dataclass(frozen=True, slots=True)
class PlantPlan:
    """What is planned for a block: every candidate once, those to be planted first, the most valuable of them first."""

    index: int
    farmers: tuple[FarmerPlan, ...]

    @property
    def mode(self) -> Mode:
        """Whether anybody is planted."""
        return Mode.FARMING if any(one.planting for one in self.farmers) else Mode.HARVEST_ONLY

    @property
    def unprofitable(self) -> tuple[FarmerPlan, ...]:
        """The farmers who would not earn their fees."""
        return tuple(one for one in self.farmers if one.reason is Reason.FEES)


@dataclass(frozen=True, slots=True)
class _Scored:
    """A candidate with the score to be expected of it without a stake, and of the stake that would be its most."""

    candidate: Candidate
    stake: int
    score: Fraction


def plan_plants(view: PlantView, candidates: Iterable[Candidate], *, ledger: int = 0) -> PlantPlan:
    """The plan of a block's plants; the order of the candidates does not matter.

    Args:
        view: What is known.
        candidates: The farmers, each once.
        ledger: The last closed ledger, if the block is open already.
    """
    ordered = sorted(candidates, key=lambda one: (-min(one.allowed_stroops, view.block.max_stake), one.farmer))
    first = max(view.clock.opening_ledger, ledger + 1)
    if view.paused:
        return _nobody(view, ordered, first, Reason.FARM_PAUSED)
    last_slot = max(0, len(ordered) - 1) // view.chances.ledger_capacity
    if first + last_slot >= insured_by(view.clock.last_safe_ledger, view.chances):
        return _nobody(view, ordered, first, Reason.TOO_LATE)
    scored = _scored(view, ordered, gap=view.clock.last_safe_ledger - last_slot - first)
    paying = _paying(view, scored)
    reward = _reward_of(view, sum((one.score for one in scored[:paying]), Fraction(0)), Scoring(view.block).widest)
    plans = [
        _plan(view, one, first, place // view.chances.ledger_capacity, reward)
        if place < paying
        else _left_out(view, one.candidate, first, Reason.FEES, int(reward * one.score))
        for place, one in enumerate(scored)
    ]
    return PlantPlan(view.index, tuple(plans))


def _scored(view: PlantView, ordered: Sequence[Candidate], gap: int) -> list[_Scored]:
    """The candidates with their stakes, which depend on what all of them score together; the most valuable first."""
    scoring = Scoring(view.block)
    base = _base_score(view, scoring, gap, len(ordered))
    most = [min(max(one.allowed_stroops, 0), max(view.block.max_stake, 0)) for one in ordered]
    # With every stake at its most a unit of score earns least: who stakes then does so whatever the others do.
    ours = sum((base + scoring.stake(stroops) for stroops in most), Fraction(0))
    rivals = view.market.rivals * scoring.widest
    share = ours / (ours + rivals) if ours else Fraction(0)
    unit = _reward_of(view, ours, scoring.widest)
    stakes = [stake(view.block, stroops, unit=unit, share=share, loss=view.losses.chance) for stroops in most]
    scored = [
        _Scored(one, stroops, base + scoring.stake(stroops)) for one, stroops in zip(ordered, stakes, strict=True)
    ]
    # Works are submitted in this order, too.
    return sorted(scored, key=lambda one: (-one.stake, one.candidate.farmer))


def _base_score(view: PlantView, scoring: Scoring, gap: int, farmers: int) -> Fraction:
    """The score of gap and zeros to be expected of each of so many farmers."""
    if not farmers:
        return Fraction(0)
    target = target_zeros(view.block, lone=view.lone)
    zeros = expected_zeros(view.hashes_per_second * view.seconds, farmers, target)
    whole = int(zeros)
    low, high = scoring.zeros(whole), scoring.zeros(whole + 1)
    return scoring.gap(min(gap, U32_MAX)) + low + (zeros - whole) * (high - low)


def _reward_of(view: PlantView, ours: Fraction, widest: int) -> Fraction:
    """Stroops of reward for each unit of score, if our farmers score `ours` together."""
    return Fraction(view.market.pot) / max(Fraction(1), view.market.rivals * widest + ours)


def _paying(view: PlantView, scored: Sequence[_Scored]) -> int:
    """How many of the candidates, best first, bring the pool more than their fees.

    Each takes a part of what it earns from those before it: it is weighed by what the pool earns with it and would not
    earn without.
    """
    if view.market.floor_price is None:
        return len(scored)
    rivals = view.market.rivals * Scoring(view.block).widest
    before = Fraction(0)
    for place, ours in enumerate(accumulate(one.score for one in scored)):
        income = view.market.pot * ours / max(Fraction(1), rivals + ours)
        if (income - before) * view.market.floor_price < view.fees.block:
            return place
        before = income
    return len(scored)


def _plan(view: PlantView, one: _Scored, first: int, slot: int, reward: Fraction) -> FarmerPlan:
    return FarmerPlan(
        farmer=one.candidate.farmer,
        reason=Reason.PAYS,
        stake_stroops=one.stake,
        plant_ledger=first + slot,
        slot=slot,
        reward_stroops=int(reward * one.score),
        fee_stroops=view.fees.block,
        harvest_by=harvest_by(view, first + slot),
    )


def harvest_by(view: PlantView, planted: int) -> int:
    """The last ledger to harvest a pail in: two after the opening that makes it due, or at half of the pail's life."""
    clock = view.clock
    length = max(1, clock.first_turnover - clock.opening_ledger)
    opening = clock.first_turnover + clock.spread + (view.harvest_after_blocks - 1) * length
    return min(opening + HARVEST_WITHIN, max(clock.first_turnover + 1, planted + view.pail_life // 2))


def _nobody(view: PlantView, ordered: Sequence[Candidate], first: int, reason: Reason) -> PlantPlan:
    return PlantPlan(view.index, tuple(_left_out(view, one, first, reason, 0) for one in ordered))


def _left_out(view: PlantView, one: Candidate, first: int, reason: Reason, reward: int) -> FarmerPlan:
    return FarmerPlan(one.farmer, reason, 0, first, 0, reward, view.fees.block, harvest_by(view, first))
