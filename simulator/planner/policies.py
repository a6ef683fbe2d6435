"""Ways to farm: what a pool does in a block, given what it can know, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random
from typing import Protocol

from kale_chain.model import Block
from kale_chain.planning.inputs import (
    Candidate,
    Chances,
    ClockEstimate,
    LossHistory,
    Market,
    OpenPail,
    PlantView,
    WorkView,
)
from kale_chain.planning.laws import LATENCY, TURNOVER
from kale_chain.planning.plants import plan_plants
from kale_chain.planning.timing import LEDGERS_A_TRY, Timing, tries_needed
from kale_chain.planning.works import WorkPlan, plan_works
from kale_chain.planning.zeros import target_zeros
from kale_chain.rewards import Scoring
from simulator.planner.rivals import Setting, applied, landed
from simulator.planner.scenarios import Scenario
from simulator.planner.search import EqualSplit, FewestFirst, Search

_NAIVE_ZEROS = 6
_NAIVE_STAKE_PERCENT = 10
_DETECTED = 2
"""Ledgers after the opening in which a pool plants that asks for new blocks every few seconds."""


@dataclass(slots=True)
class Play:
    """One farmer's block.

    Attributes:
        farmer: Its number.
        stake: Stroops.
        planted: Ledger of the plant, counted from the opening; None if it failed.
        works: Gap and zeros of every accepted work.
        transactions: How many were sent.
    """

    farmer: int
    stake: int
    planted: int | None
    works: list[tuple[int, int]] = field(default_factory=list)
    transactions: int = 1


@dataclass(frozen=True, slots=True)
class Situation:
    """A block before it opens, and the luck in it.

    Attributes:
        scenario: The sizes and laws.
        setting: How long it will be; policies look at what they could know.
        block: Its ranges.
        pot: Stroops it pays.
        free: Stroops each of our farmers could stake.
        luck: A source of luck for a purpose, the same for every policy.
    """

    scenario: Scenario
    setting: Setting
    block: Block
    pot: int
    free: Sequence[int]
    luck: Callable[[str], Random]

    def hashes(self, ledger: float) -> float:
        """Hashes tried from the opening until so many ledgers later."""
        return self.scenario.hashes_per_second * self.setting.seconds * max(0.0, ledger)


class Policy(Protocol):
    """A way to farm."""

    def play(self, situation: Situation) -> list[Play]:
        """What the pool's farmers do in a block."""

    def learn(self, plays: Sequence[Play], setting: Setting, rivals_score: Fraction) -> None:
        """The block is over; `rivals_score` is what the others scored, in units of the widest range."""


class Oracle:
    """Knows when the block ends, and nothing of its own is ever late or lost: the best possible."""

    def play(self, situation: Situation) -> list[Play]:
        """Plants in the opening ledger, works once in the last one, with all that the block's hashes found."""
        last = situation.setting.turnover - 1
        search = FewestFirst(situation.luck("search"), len(situation.free), target_zeros(situation.block))
        search.advance(situation.hashes(last + 1))
        most = situation.block.max_stake
        return [
            Play(number, min(free, most), 0, [(last, finds[-1])], transactions=2)
            for number, (free, finds) in enumerate(zip(situation.free, search.finds, strict=True))
        ]

    def learn(self, plays: Sequence[Play], setting: Setting, rivals_score: Fraction) -> None:
        """It knows everything."""


class Naive:
    """Plants when it notices the block, a percentage of the balance, and hands in the first hash that is good enough.

    Every farmer has its own processes and a fixed number of zeros to find. Who has not found them by nine tenths of
    the block hands in nothing.
    """

    def play(self, situation: Situation) -> list[Play]:
        """Plays a block."""
        setting, scenario = situation.setting, situation.scenario
        luck = situation.luck("naive")
        search = EqualSplit(situation.luck("search"), len(situation.free), _NAIVE_ZEROS)
        plays = []
        for number, free in enumerate(situation.free):
            planted = landed(_DETECTED, scenario.latency, luck)
            play = Play(number, free * _NAIVE_STAKE_PERCENT // 100, planted)
            plays.append(play)
            most = situation.hashes(setting.first_turnover * 0.9 - _DETECTED)
            tried = search.found_at(number, _NAIVE_ZEROS, most)
            if planted is None or tried is None:
                continue
            play.transactions += 1
            sent = planted + 1 + int(tried / situation.hashes(1))
            worked = applied(sent, setting.turnover, scenario.latency, luck)
            if worked is not None:
                play.works.append((worked - planted, search.finds[number][-1]))
        return plays

    def learn(self, plays: Sequence[Play], setting: Setting, rivals_score: Fraction) -> None:
        """It learns nothing."""


class Planned:
    """What `kale_chain.planning` plans.

    Args:
        search: How hashes are shared.
        part: The part of the farmers that is planted.
    """

    def __init__(
        self,
        search: Callable[[Random, int, int], Search] = FewestFirst,
        *,
        part: Fraction = Fraction(1),
    ) -> None:
        self._search = search
        self._part = part
        self._turnovers: Counter[int] = Counter()
        self._delays: Counter[int] = Counter()
        self._lost_sends = 0
        self._losses = LossHistory()
        self._rivals = Fraction(0)

    def play(self, situation: Situation) -> list[Play]:
        """Plays a block: plants, one round of insuring works, one of last works."""
        plays = self._plant(situation)
        planted = [play for play in plays if play.planted is not None]
        search = self._search(situation.luck("search"), max(1, len(planted)), target_zeros(situation.block))
        luck = situation.luck("works")
        first = situation.setting.first_turnover
        tries = tries_needed(self._chances(situation.scenario))
        # Long before the first insuring work is due.
        for place, plan in self._plans(situation, planted, search, first // 2):
            if plan.insurance is not None:
                search.advance(situation.hashes(plan.insurance.ledger - 1))
                finds = [zeros for zeros in search.finds[place] if zeros <= plan.insurance.most_zeros]
                zeros = max(0, *finds, plan.insurance.least_zeros)
                due = plan.insurance.ledger
                again = range(due, due + tries * LEDGERS_A_TRY, LEDGERS_A_TRY)
                self._insure(situation, planted[place], again, zeros, luck)
        for place, plan in self._plans(situation, planted, search, first - LEDGERS_A_TRY - 1):
            search.advance(situation.hashes(plan.final_not_before - 1))
            self._finish(situation, planted[place], plan.final_not_before, search.finds[place][-1], luck)
        return plays

    def learn(self, plays: Sequence[Play], setting: Setting, rivals_score: Fraction) -> None:
        """Keeps turnovers, losses and the others' score."""
        self._turnovers[setting.turnover - setting.first_turnover] += 1
        planted = [play for play in plays if play.planted is not None]
        lost = sum(not play.works for play in planted)
        self._losses = LossHistory(self._losses.planted + len(planted), self._losses.lost + lost)
        self._rivals = rivals_score

    def _plant(self, situation: Situation) -> list[Play]:
        setting, scenario = situation.setting, situation.scenario
        view = PlantView(
            index=setting.index,
            block=situation.block,
            clock=ClockEstimate(0, setting.first_turnover - 1),
            market=Market(situation.pot, self._rivals),
            hashes_per_second=scenario.hashes_per_second,
            losses=self._losses,
            chances=self._chances(scenario),
        )
        numbers = {f"{number:05}": number for number in range(len(situation.free))}
        candidates = [Candidate(name, situation.free[number]) for name, number in numbers.items()]
        wanted = int(len(candidates) * self._part)
        luck = situation.luck("plants")
        plays = []
        for plan in [one for one in plan_plants(view, candidates, ledger=-1).farmers if one.planting][:wanted]:
            ledger = self._landed(plan.plant_ledger, scenario, luck)
            plays.append(Play(numbers[plan.farmer], plan.stake_stroops, ledger))
        return plays

    def _plans(
        self, situation: Situation, planted: Sequence[Play], search: Search, ledger: int
    ) -> list[tuple[int, WorkPlan]]:
        """The plans made after `ledger`, in the order in which their works are due, with the place of each pail."""
        setting = situation.setting
        search.advance(situation.hashes(ledger))
        view = WorkView(
            index=setting.index,
            block=situation.block,
            clock=ClockEstimate(0, setting.first_turnover - 1),
            ledger=ledger,
            market=Market(situation.pot, self._rivals),
            chances=self._chances(situation.scenario),
        )
        pails = [_pail(setting.index, place, play, search) for place, play in enumerate(planted)]
        plans = [(int(plan.farmer), plan) for plan in plan_works(view, pails)]
        return sorted(plans, key=lambda one: (_due(one[1]), one[0]))

    def _insure(self, situation: Situation, play: Play, ledgers: range, zeros: int, luck: Random) -> None:
        """Hands in a first work, aimed at one of the ledgers after the other until one takes it."""
        assert play.planted is not None
        for ledger in ledgers:
            play.transactions += 1
            worked = applied(ledger, situation.setting.turnover, situation.scenario.latency, luck)
            if worked is not None:
                play.works.append((worked - play.planted, zeros))
                return

    def _finish(self, situation: Situation, play: Play, aimed: int, zeros: int, luck: Random) -> None:
        """Hands in the last work if it is better than what the pail holds."""
        assert play.planted is not None
        if play.works and zeros <= play.works[-1][1]:
            return
        play.transactions += 1
        worked = applied(aimed, situation.setting.turnover, situation.scenario.latency, luck)
        if worked is not None:
            play.works.append((worked - play.planted, zeros))

    def _landed(self, aimed: int, scenario: Scenario, luck: Random) -> int | None:
        ledger = landed(aimed, scenario.latency, luck)
        if ledger is None:
            self._lost_sends += 1
        else:
            self._delays[ledger - aimed] += 1
        return ledger

    def _chances(self, scenario: Scenario) -> Chances:
        """What was learned; the usual before that."""
        return Chances(
            LATENCY.with_seen(_counts(self._delays), self._lost_sends),
            TURNOVER.with_seen(_counts(self._turnovers)),
            scenario.ledger_capacity,
        )


def _counts(seen: Counter[int]) -> list[int]:
    return [seen[delay] for delay in range(max(seen, default=-1) + 1)]


def _due(plan: WorkPlan) -> int:
    return plan.final_not_before if plan.insurance is None else plan.insurance.ledger


def _pail(index: int, place: int, play: Play, search: Search) -> OpenPail:
    assert play.planted is not None
    gap, zeros = play.works[-1] if play.works else (None, None)
    return OpenPail(f"{place:05}", index, play.planted, play.stake, search.finds[place][-1], zeros, gap)


class Once(Planned):
    """Planned, but every pail has one work, aimed at a fixed ledger.

    Args:
        ledger: Counted from the opening.
    """

    def __init__(self, ledger: int) -> None:
        super().__init__()
        self._ledger = ledger

    def play(self, situation: Situation) -> list[Play]:
        """Plays a block: plants, and one round of works."""
        plays = self._plant(situation)
        planted = [play for play in plays if play.planted is not None]
        search = self._search(situation.luck("search"), max(1, len(planted)), target_zeros(situation.block))
        search.advance(situation.hashes(self._ledger - 1))
        for place, play in enumerate(planted):
            self._finish(situation, play, self._ledger, search.finds[place][-1], situation.luck(f"work {place}"))
        return plays


class Uninsured(Planned):
    """Planned, but every pail has one work, at the best ledger for that."""

    def play(self, situation: Situation) -> list[Play]:
        """Plays a block: plants, and one round of works."""
        plays = self._plant(situation)
        planted = [play for play in plays if play.planted is not None]
        search = self._search(situation.luck("search"), max(1, len(planted)), target_zeros(situation.block))
        luck = situation.luck("works")
        scoring = Scoring(situation.block)
        capacity = situation.scenario.ledger_capacity
        last_safe = situation.setting.first_turnover - 1
        timing = Timing(situation.block, last_safe, self._chances(situation.scenario))
        search.advance(situation.hashes(last_safe - LEDGERS_A_TRY))
        for place, play in enumerate(planted):
            assert play.planted is not None
            rest = scoring.stake(play.stake) + scoring.zeros(search.finds[place][-1])
            ours = len(planted) * (scoring.gap(last_safe) + rest)
            worth_of_stake = play.stake * (int(self._rivals * scoring.widest) + ours) // situation.pot
            ahead = (len(planted) - 1) // capacity - place // capacity
            ledger = timing.final(play.planted, rest, -worth_of_stake, play.planted + 1 + ahead) - ahead
            search.advance(situation.hashes(ledger - 1))
            self._finish(situation, play, ledger, search.finds[place][-1], luck)
        return plays


def equal_split() -> Policy:
    """Planned, but every farmer has the same part of the hashes."""
    return Planned(EqualSplit)


def few_deep() -> Policy:
    """Planned, but only for half of the farmers, each with twice the hashes."""
    return Planned(part=Fraction(1, 2))


POLICIES: dict[str, Callable[[], Policy]] = {
    "oracle": Oracle,
    "planner": Planned,
    "uninsured": Uninsured,
    "equal split": equal_split,
    "few deep": few_deep,
    "naive": Naive,
}
