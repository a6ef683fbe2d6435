"""A pooler's half of a block's plan: for whom to search, and when to hand in which work."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from kale_chain.planning.inputs import OpenPail, WorkView
from kale_chain.planning.timing import Timing, insured_by
from kale_chain.planning.zeros import search_order, target_zeros
from kale_chain.rewards import Scoring


@dataclass(frozen=True, slots=True)
class Insurance:
    """The work that makes a pail safe.

    Attributes:
        ledger: The ledger to aim it at.
        most_zeros: Hand in a find with at most so many zeros, so that a better one is left to replace it.
        least_zeros: And with so many at least, which costs 16^least_zeros hashes if there is none; fewer than others
            have would widen the next block's range, to the good of those others.
    """

    ledger: int
    most_zeros: int
    least_zeros: int


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """What is planned for one pail.

    Attributes:
        farmer: The farmer's address.
        index: The block.
        target_zeros: Zeros at which more earns nothing.
        priority: Place in the search order, 0 first; None if nothing is to be searched for any more.
        insurance: The insuring work; None where the pail holds a work, or it would cost more than it saves.
        final_not_before: The ledger to aim the last work at.
        deadline: The last ledger in which it can still be taken.
    """

    farmer: str
    index: int
    target_zeros: int
    priority: int | None
    insurance: Insurance | None
    final_not_before: int
    deadline: int


def plan_works(view: WorkView, pails: Iterable[OpenPail]) -> tuple[WorkPlan, ...]:
    """The plans of a block's pails, in the order to submit in; the order given does not matter.

    Those planted first work first, as many in a ledger as it takes: so all have the same gap. Pails of other blocks
    have no plan.
    """
    ours = sorted(
        (pail for pail in pails if pail.index == view.index),
        key=lambda pail: (pail.planted_ledger, -pail.stake_stroops, pail.farmer),
    )
    if not ours:
        return ()
    target = target_zeros(view.block, lone=view.lone)
    places = {pail.farmer: place for place, pail in enumerate(search_order(ours, target))}
    planner = _Planner(view, ours, target)
    capacity = view.chances.ledger_capacity
    groups = (len(ours) - 1) // capacity
    return tuple(
        planner.plan(pail, places.get(pail.farmer), ahead=groups - place // capacity) for place, pail in enumerate(ours)
    )


class _Planner:
    """Plans one pail after another of a block."""

    def __init__(self, view: WorkView, pails: Sequence[OpenPail], target: int) -> None:
        self._view = view
        self._target = target
        self._scoring = Scoring(view.block)
        # The farm still has the block open, so its end is ahead whatever the estimate says.
        self._last_safe = max(view.clock.last_safe_ledger, view.ledger)
        self._timing = Timing(view.block, self._last_safe, view.chances)
        self._insured_by = insured_by(self._last_safe, view.chances)
        self._unit = self._reward_of(pails)

    def plan(self, pail: OpenPail, priority: int | None, ahead: int) -> WorkPlan:
        """The plan of one pail that has its turn `ahead` ledgers before the last."""
        first = max(self._view.ledger, pail.planted_ledger) + 1
        insurance = self._insurance(pail, max(first, self._insured_by - ahead))
        start = first if insurance is None else insurance.ledger + 1
        best = self._timing.final(pail.planted_ledger, self._rest(pail), self._fallback(pail, insurance), start + ahead)
        deadline = max(self._timing.deadline, first)
        return WorkPlan(
            farmer=pail.farmer,
            index=pail.index,
            target_zeros=self._target,
            priority=priority,
            insurance=insurance,
            final_not_before=min(max(best - ahead, start), deadline),
            deadline=deadline,
        )

    def _insurance(self, pail: OpenPail, ledger: int) -> Insurance | None:
        """The insuring work, unless there is one, no time for one, or nothing worth it."""
        if pail.accepted_zeros is not None or ledger >= self._last_safe:
            return None
        best, least = pail.best_zeros or 0, self._view.block.min_zeros
        most = best if best == least else max(0, best - 1)
        insurance = Insurance(ledger, most, min(most, least))
        price = self._view.market.floor_price
        if pail.stake_stroops or price is None:
            return insurance
        saved = self._timing.chance_of_missing(self._last_safe) * self._first_score(pail, insurance) * self._unit
        return insurance if saved * price > self._view.work_fee else None

    def _fallback(self, pail: OpenPail, insurance: Insurance | None) -> int:
        """What the pail is worth without the last work, in units of score."""
        if pail.accepted_zeros is not None:
            return self._scoring.score(pail.accepted_gap or 0, pail.stake_stroops, pail.accepted_zeros)
        if insurance is not None:
            return self._first_score(pail, insurance)
        return -int(pail.stake_stroops / self._unit) if self._unit else 0

    def _first_score(self, pail: OpenPail, insurance: Insurance) -> int:
        gap = insurance.ledger - pail.planted_ledger
        return self._scoring.score(gap, pail.stake_stroops, insurance.most_zeros)

    def _rest(self, pail: OpenPail) -> int:
        return self._scoring.stake(pail.stake_stroops) + self._scoring.zeros(pail.best_zeros or 0)

    def _reward_of(self, pails: Sequence[OpenPail]) -> Fraction:
        """Stroops of reward for each unit of score, if all pails are worked at the end."""
        ours = sum(self._scoring.gap(self._last_safe - pail.planted_ledger) + self._rest(pail) for pail in pails)
        return Fraction(self._view.market.pot) / (self._view.market.rivals * self._scoring.widest + ours)
