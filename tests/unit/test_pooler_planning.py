"""What a pooler learns on the way, and what it plans from it."""

from dataclasses import replace
from fractions import Fraction
from typing import cast

import pytest

from kale_chain.model import Block, Farm, Ledger
from kale_chain.planning.laws import TURNOVER
from kale_chain.planning.zeros import MAX_ZEROS
from kale_chain.rewards import Scoring
from pooler.domain.assignment import Accepted, Assignment
from pooler.domain.round import Rounds
from pooler.ports import WorkChannels
from pooler.services.planning import Planning
from pooler.services.watching import Sight

START = 1_000_000
RANGES = replace(Block.unseen(START).opened_at(START), max_gap=60, min_zeros=4, max_zeros=8)


class Channels:
    """So many channel accounts."""

    def __init__(self, count: int) -> None:
        self.count = count


class Farmyard:
    """A planning pooler that sees ledgers of 5 s."""

    def __init__(self, *, channels: int = 8) -> None:
        self.rounds = Rounds()
        self.planning = Planning(cast("WorkChannels", Channels(channels)), self.rounds)
        self.ledger = Ledger(100, START)
        for number in range(20):
            self.planning.closed(Ledger(80 + number, START - 5 * (20 - number)))

    def close(self, ledgers: int = 1) -> None:
        for _ in range(ledgers):
            self.ledger = Ledger(self.ledger.sequence + 1, self.ledger.close_time + 5)
            self.planning.closed(self.ledger)

    def look(self, index: int, block: Block) -> None:
        farm = Farm(index, Block.unseen(block.timestamp), paused=False, ledger=self.ledger.sequence, live_until=10_000)
        self.planning.look(Sight(farm, block), self.ledger)

    def assign(self, index: int, number: int, zeros: int | None = None) -> str:
        address, one = f"G{number}", self.rounds.of(index)
        one.assign(Assignment(index, f"id-{number}", address, self.ledger.sequence, 0))
        if zeros is not None:
            one.works[address].applied(Accepted(zeros, 58, None))
        return address


@pytest.mark.parametrize(("late", "ledgers"), [(0, 0), (4, 0), (5, 1), (17, 3)])
def test_how_late_a_block_turned_over_is_learned(late: int, ledgers: int) -> None:
    yard = Farmyard()
    yard.look(7, RANGES)
    yard.close(60)
    yard.look(8, replace(RANGES, timestamp=START + 300 + late))
    law = yard.planning.delays["turnover"].law
    assert law.counts[ledgers] == TURNOVER.counts[ledgers] + 1
    assert law.total == TURNOVER.total + 1


def test_a_block_whose_beginning_was_missed_teaches_nothing() -> None:
    yard = Farmyard()
    yard.look(7, RANGES)
    yard.close(300)
    yard.look(11, replace(RANGES, timestamp=START + 1_400))
    assert yard.planning.delays["turnover"].law == TURNOVER


@pytest.mark.parametrize(("zeros", "others", "target"), [(8, 0, MAX_ZEROS), (7, 0, 8), (8, 100, 8)])
def test_the_search_goes_on_beyond_the_range_where_it_was_made_by_our_own(zeros: int, others: int, target: int) -> None:
    """Our works decide only if they scored most of the block before and hold its most zeros."""
    yard = Farmyard()
    scoring = Scoring(RANGES)
    yard.assign(7, 1, zeros)
    mine = scoring.score(58, 0, zeros)
    yard.look(7, replace(RANGES, normalized_total=mine + others * scoring.widest))
    yard.close(60)
    yard.look(8, replace(RANGES, timestamp=START + 300))
    plan = yard.rounds.of(8).plan
    assert plan is not None
    assert plan.target_zeros == target


def test_with_few_channel_accounts_works_take_turns() -> None:
    yard = Farmyard(channels=2)
    farmers = [yard.assign(7, number) for number in range(5)]
    yard.close(20)
    yard.look(7, RANGES)
    plans = yard.rounds.of(7).plans
    aims = sorted(plans[farmer].final_not_before for farmer in farmers)
    assert len({aim for aim in aims if aims.count(aim) <= 2}) == 3
    assert max(aims) <= 160
    assert all(plan.insurance is not None and plan.insurance.ledger < plan.final_not_before for plan in plans.values())


def test_rivals_are_what_others_scored_in_the_block_before() -> None:
    yard = Farmyard()
    scoring = Scoring(RANGES)
    yard.assign(7, 1, 6)
    yard.look(7, replace(RANGES, normalized_total=scoring.score(58, 0, 6) + 30 * scoring.widest))
    yard.close(60)
    yard.look(8, replace(RANGES, timestamp=START + 300))
    before = yard.planning._before
    assert before is not None
    assert before.rivals == Fraction(30)
