"""Incomes on paper: what a block pays for pails that were never planted."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kale_chain.clock import Pace
from kale_chain.model import STROOPS_PER_KALE, Block, Farm, Ledger, Pail
from kale_chain.planning.inputs import Market
from kale_chain.rewards import Scoring, base_reward
from kale_console.income import Finished
from kale_console.policy import Means, PaperBlock, shared_zeros

KALE = STROOPS_PER_KALE
START = 1_000_000
RANGES = replace(Block.unseen(START).opened_at(START), max_gap=60, min_zeros=4, max_zeros=8, max_stake=5 * KALE)
PAILS = st.builds(
    Pail,
    sequence=st.just(1),
    gap=st.integers(1, 80),
    stake=st.integers(0, 9 * KALE),
    zeros=st.integers(0, 12),
)


@given(ours=st.lists(PAILS, max_size=5), best=st.lists(PAILS, max_size=5), rivals=st.integers(0, 500))
def test_what_is_left_on_the_table_is_the_difference_of_the_incomes(
    ours: list[Pail], best: list[Pail], rivals: int
) -> None:
    scoring = Scoring(RANGES)
    score = sum(scoring.score(pail.gap or 0, pail.stake, pail.zeros or 0) for pail in ours)
    block = replace(RANGES, normalized_total=score + rivals * scoring.widest)
    named = {f"farmer {number}": pail for number, pail in enumerate(ours)}
    wanted = {f"farmer {number}": pail for number, pail in enumerate(best)}
    finished = Finished(9, block, named)
    assert abs(finished.earned - finished.income(ours)) <= len(ours) + 1
    left = finished.left(wanted)
    parts = (left.gap, left.zeros, left.stake, left.unworked)
    missing = finished.income(best) - finished.income(ours)
    if wanted.keys() >= named.keys() and sum(parts):
        assert abs(sum(parts) - missing) <= len(parts)


def test_a_lost_stake_is_lost() -> None:
    never = Pail(1, None, 3 * KALE, None)
    block = replace(RANGES, staked_total=3 * KALE, normalized_total=0)
    finished = Finished(9, block, {"farmer": never})
    assert finished.earned == finished.income([never]) == -3 * KALE


@given(hashes=st.integers(0, 10**12), farmers=st.integers(0, 50), target=st.integers(0, 12))
def test_zeros_are_shared_evenly(hashes: int, farmers: int, target: int) -> None:
    zeros = shared_zeros(hashes, farmers, target)
    assert len(zeros) == farmers
    assert all(0 <= one <= target for one in zeros)
    assert max(zeros, default=0) - min(zeros, default=0) <= 1
    more = shared_zeros(2 * hashes, farmers, target)
    assert sum(more) >= sum(zeros)


def test_on_paper_a_block_is_farmed_to_its_last_safe_ledger() -> None:
    pace = Pace(5, 0, 5, 5)
    means = Means({f"farmer {number}": 9 * KALE for number in range(4)}, hashes_per_second=1_000_000)
    rivals = Market(base_reward(9), rivals=Fraction(100))
    paper = PaperBlock(9, RANGES, opened=100, means=means, market=rivals, lone=False)
    paper.plant(pace)
    farm = Farm(9, Block.unseen(START), paused=False, ledger=100, live_until=10_000)
    for sequence in range(100, 160):
        paper.closed(farm, Ledger(sequence, START + 5 * (sequence - 100)), pace)
    found, best = paper.pails(turned=160), paper.best(160, START + 300)
    assert {(pail.gap, pail.stake) for pail in found.values()} == {(59, 5 * KALE)}
    assert {(pail.gap, pail.stake) for pail in best.values()} == {(59, 5 * KALE)}
    # Had the block turned over sooner than any clock could know, the insuring works would still count.
    surprised = paper.pails(turned=150)
    assert all(pail.worked and pail.gap is not None and 30 < pail.gap < 50 for pail in surprised.values())
