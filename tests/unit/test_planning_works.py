"""Plans of works: for whom to search, when to insure, when to hand in the best."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kale_chain.model import Block
from kale_chain.planning.fees import inclusion_fee
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
from kale_chain.planning.laws import LATENCY, TURNOVER, Landings, Law, works_in
from kale_chain.planning.plants import plan_plants
from kale_chain.planning.timing import Timing, insured_by, tries_needed
from kale_chain.planning.works import WorkPlan, plan_works
from kale_chain.planning.zeros import MAX_ZEROS, target_zeros
from kale_chain.rewards import base_reward
from tests.fixtures.ranges import blocks

KALE = 10**7
INDEX = 11_024
OPENED = 1000

laws = st.builds(
    lambda counts, first, lost: Law((*counts, first), lost),
    st.lists(st.integers(0, 100), max_size=5),
    st.integers(1, 100),
    st.integers(0, 20),
)


@st.composite
def views(draw: st.DrawFn) -> WorkView:
    last_safe = OPENED + draw(st.integers(30, 90))
    return WorkView(
        index=INDEX,
        block=draw(blocks()),
        clock=ClockEstimate(OPENED, last_safe, draw(st.integers(0, 5))),
        ledger=draw(st.integers(OPENED, last_safe + 10)),
        market=Market(
            draw(st.integers(0, 3000 * KALE)), draw(st.fractions(0, 5000)), draw(st.none() | st.fractions(0, 1))
        ),
        work_fee=draw(st.integers(0, 10**6)),
        chances=Chances(draw(laws), draw(laws), draw(st.integers(1, 200))),
        lone=draw(st.booleans()),
    )


@st.composite
def pails(draw: st.DrawFn) -> list[OpenPail]:
    count = draw(st.integers(0, 8))
    made = []
    for number in range(count):
        accepted = draw(st.none() | st.integers(0, 20))
        best = draw(st.none() | st.integers(0, 20))
        made.append(
            OpenPail(
                farmer=f"G{number}",
                index=draw(st.sampled_from([INDEX, INDEX, INDEX, INDEX - 1])),
                planted_ledger=OPENED + draw(st.integers(0, 40)),
                stake_stroops=draw(st.integers(0, 10**14)),
                best_zeros=best,
                accepted_zeros=accepted,
                accepted_gap=None if accepted is None else draw(st.integers(1, 60)),
            )
        )
    return made


USUAL = WorkView(
    index=INDEX,
    block=replace(Block.unseen(0), min_gap=1, max_gap=62, min_stake=0, max_stake=1300 * KALE, min_zeros=5, max_zeros=9),
    clock=ClockEstimate(OPENED, OPENED + 59),
    ledger=OPENED + 2,
    market=Market(base_reward(INDEX), Fraction(400)),
)
PAIL = OpenPail("G", INDEX, OPENED, 50 * KALE, best_zeros=7)


def only(plans: Sequence[WorkPlan]) -> WorkPlan:
    (plan,) = plans
    return plan


@given(views(), pails())
def test_plant_insure_final_deadline_and_turnover_follow_each_other(view: WorkView, those: list[OpenPail]) -> None:
    by_farmer = {pail.farmer: pail for pail in those}
    latest_turnover = max(view.clock.last_safe_ledger, view.ledger) + 1 + view.chances.turnover.longest
    for plan in plan_works(view, those):
        planted = by_farmer[plan.farmer].planted_ledger
        assert plan.final_not_before <= plan.deadline
        # If nothing but the next ledger is left, that one is tried.
        assert plan.deadline < max(latest_turnover, view.ledger + 2, planted + 2)
        assert planted < plan.final_not_before
        assert view.ledger < plan.final_not_before
        if plan.insurance is not None:
            assert max(planted, view.ledger) < plan.insurance.ledger < plan.final_not_before
            assert plan.insurance.ledger < view.clock.first_turnover or view.ledger >= view.clock.last_safe_ledger


@given(views(), pails())
def test_no_plan_is_for_another_block_and_none_beyond_its_target(view: WorkView, those: list[OpenPail]) -> None:
    plans = plan_works(view, those)
    assert sorted(plan.farmer for plan in plans) == sorted(pail.farmer for pail in those if pail.index == view.index)
    for plan in plans:
        assert plan.index == view.index
        young = view.block.max_zeros - view.block.min_zeros < 2 or view.block.max_zeros == 0
        assert plan.target_zeros == (MAX_ZEROS if young or view.lone else view.block.max_zeros)


@given(views(), pails(), st.randoms(use_true_random=False))
def test_plans_do_not_depend_on_the_order_of_farmers(view: WorkView, those: list[OpenPail], random: object) -> None:
    shuffled = sorted(those, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert plan_works(view, shuffled) == plan_works(view, those)


@given(views(), pails())
def test_works_are_planned_in_the_order_of_plants_and_no_later_one_comes_first(
    view: WorkView, those: list[OpenPail]
) -> None:
    by_farmer = {pail.farmer: pail for pail in those}
    planted = [by_farmer[plan.farmer].planted_ledger for plan in plan_works(view, those)]
    assert planted == sorted(planted)


@given(views(), pails())
def test_the_search_goes_to_the_fewest_zeros(view: WorkView, those: list[OpenPail]) -> None:
    by_farmer = {pail.farmer: pail for pail in those}
    ranked = sorted(
        (plan for plan in plan_works(view, those) if plan.priority is not None), key=lambda plan: plan.priority or 0
    )
    zeros = [-1 if (best := by_farmer[plan.farmer].best_zeros) is None else best for plan in ranked]
    assert zeros == sorted(zeros)
    assert [plan.priority for plan in ranked] == list(range(len(ranked)))
    assert all(count < plan.target_zeros for count, plan in zip(zeros, ranked, strict=True))


@given(views(), pails(), st.integers(0, 20))
def test_as_time_passes_no_work_moves_to_an_earlier_ledger(view: WorkView, those: list[OpenPail], passed: int) -> None:
    assume(view.ledger + passed < view.clock.last_safe_ledger)
    later = replace(view, ledger=view.ledger + passed)
    for before, after in zip(plan_works(view, those), plan_works(later, those), strict=True):
        if before.insurance is not None and after.insurance is not None:
            assert after.insurance.ledger >= before.insurance.ledger


@given(laws, laws, st.integers(1, 80))
def test_weights_of_a_law_add_up(latency: Law, turnover: Law, after: int) -> None:
    landings = Landings.of(latency)
    assert landings.lost + sum(weight for _, weight in landings) == latency.total**2
    assert works_in(turnover, -1) == 2 * turnover.total
    assert works_in(turnover, after) <= works_in(turnover, after - 1)


def test_a_staked_pail_is_insured_by_ledger_44_and_worked_in_the_last_safe_one() -> None:
    plan = only(plan_works(USUAL, [PAIL]))
    assert plan.insurance is not None
    assert plan.insurance.ledger == OPENED + 43
    assert plan.insurance.most_zeros == 6
    assert plan.final_not_before == OPENED + 59
    assert plan.deadline == OPENED + 59 + 3


def test_where_blocks_turn_over_late_the_last_work_comes_later() -> None:
    slow = replace(USUAL, chances=Chances(turnover=Law((0, 5, 15, 25, 40, 15))))
    assert only(plan_works(slow, [PAIL])).final_not_before > OPENED + 59


def test_without_insurance_a_big_stake_is_handed_in_earlier() -> None:
    late = replace(USUAL, ledger=OPENED + 56)
    bold = only(plan_works(late, [replace(PAIL, accepted_zeros=6, accepted_gap=43)]))
    assert (bold.insurance, bold.final_not_before) == (None, OPENED + 59)
    timing = Timing(USUAL.block, OPENED + 59, Chances())
    assert timing.final(OPENED, 3 * 10**9, -(10**13), OPENED + 1) < OPENED + 59


def test_a_pail_that_holds_a_work_is_not_insured_again() -> None:
    assert only(plan_works(USUAL, [replace(PAIL, accepted_zeros=0, accepted_gap=3)])).insurance is None


def test_insurance_is_spared_where_it_costs_more_than_it_saves() -> None:
    cheap = replace(USUAL, market=replace(USUAL.market, floor_price=Fraction(1, 1000)), work_fee=14_000)
    unstaked = replace(PAIL, stake_stroops=0)
    assert only(plan_works(cheap, [unstaked])).insurance is None
    assert only(plan_works(cheap, [PAIL])).insurance is not None
    dear = replace(cheap, market=replace(cheap.market, floor_price=Fraction(100)))
    assert only(plan_works(dear, [unstaked])).insurance is not None


def test_more_works_than_a_ledger_takes_end_in_the_same_one() -> None:
    narrow = replace(USUAL, chances=Chances(ledger_capacity=2))
    crowd = [replace(PAIL, farmer=f"G{number}", planted_ledger=OPENED + number // 2) for number in range(5)]
    plans = plan_works(narrow, crowd)
    assert [plan.final_not_before - OPENED for plan in plans] == [57, 57, 58, 58, 59]
    assert [plan.insurance.ledger - OPENED for plan in plans if plan.insurance] == [41, 41, 42, 42, 43]


@pytest.mark.parametrize(("lost", "tries"), [(0, 4), (1, 4), (10, 7), (40, 8)])
def test_the_worse_the_network_the_earlier_pails_are_insured(lost: int, tries: int) -> None:
    chances = Chances(latency=Law((100 - lost,), lost))
    assert tries_needed(chances) == tries
    assert insured_by(OPENED, chances) == OPENED - 4 * tries


def test_a_default_law_fades_as_more_is_seen() -> None:
    seen = TURNOVER.with_seen([0, 0, 0, 0, 900])
    assert seen == Law((4, 2, 1, 1, 900))
    assert seen.longest == 4
    assert LATENCY.with_seen([], lost=9) == Law((92, 7), 10)
    with pytest.raises(ValueError, match="one of them above 0"):
        Law((0, 0), 1)


def test_fees_climb_as_ledgers_run_out_and_never_beyond_the_works_worth() -> None:
    percentiles = [100, 5_000, 90_000]
    bids = [inclusion_fee(left, percentiles, worth=60_000) for left in range(4)]
    assert bids == [60_000, 5_000, 100, 100]
    assert inclusion_fee(0, [], worth=10**7) == 100
    assert inclusion_fee(0, percentiles, worth=0) == 100


def test_a_young_or_lone_farm_has_no_target_but_the_deadline() -> None:
    assert target_zeros(replace(USUAL.block, min_zeros=8)) == MAX_ZEROS
    assert target_zeros(replace(USUAL.block, min_zeros=0, max_zeros=0)) == MAX_ZEROS
    assert target_zeros(USUAL.block, lone=True) == MAX_ZEROS
    assert target_zeros(USUAL.block) == 9


@given(st.lists(st.integers(0, 3000 * KALE), min_size=1, max_size=9), st.integers(1, 4), st.integers(0, 10_000))
def test_farmers_are_worked_for_in_the_order_they_are_planted_in_and_with_the_same_gap(
    allowed: list[int], capacity: int, lost: int
) -> None:
    chances = Chances(ledger_capacity=capacity)
    plants = plan_plants(
        PlantView(
            INDEX, USUAL.block, USUAL.clock, USUAL.market, 10**8, losses=LossHistory(10_000, lost), chances=chances
        ),
        [Candidate(f"G{number}", stroops) for number, stroops in enumerate(allowed)],
    ).farmers
    pails = [OpenPail(one.farmer, INDEX, one.plant_ledger, one.stake_stroops, best_zeros=7) for one in plants]
    works = plan_works(replace(USUAL, chances=chances), pails)
    assert [work.farmer for work in works] == [plant.farmer for plant in plants]
    insured = [
        work.insurance.ledger - plant.plant_ledger for work, plant in zip(works, plants, strict=True) if work.insurance
    ]
    assert len(insured) == len(works)
    assert len(set(insured)) == 1
