"""Plans of plants: who, with what stake, in which ledger."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kale_chain.model import Block
from kale_chain.planning.inputs import Candidate, Chances, ClockEstimate, Fees, LossHistory, Market, PlantView
from kale_chain.planning.plants import Mode, PlantPlan, Reason, plan_plants
from kale_chain.planning.stakes import stake
from kale_chain.planning.zeros import expected_zeros
from kale_chain.rewards import base_reward
from tests.fixtures.ranges import blocks

KALE = 10**7
stroops = st.integers(0, 10**14)
fractions = st.fractions(0, 1)


@st.composite
def views(draw: st.DrawFn) -> PlantView:
    opening = draw(st.integers(1, 10**9))
    return PlantView(
        index=draw(st.integers(0, 10**6)),
        block=draw(blocks()),
        clock=ClockEstimate(opening, opening + draw(st.integers(0, 90)), draw(st.integers(0, 9))),
        market=Market(
            pot=draw(st.integers(1, 3000 * KALE)),
            rivals=draw(st.fractions(0, 5000)),
            floor_price=draw(st.none() | fractions),
        ),
        hashes_per_second=draw(st.integers(0, 10**10)),
        paused=draw(st.booleans()),
        fees=Fees(*[draw(st.integers(0, 10**6)) for _ in range(3)]),
        losses=LossHistory(draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))),
        chances=Chances(ledger_capacity=draw(st.integers(1, 200))),
        lone=draw(st.booleans()),
        harvest_after_blocks=draw(st.integers(1, 9)),
        pail_life=draw(st.integers(1, 20_000)),
    )


candidates = st.lists(
    st.builds(Candidate, st.text("ABCDEFG", min_size=1, max_size=6), stroops), max_size=12, unique_by=lambda c: c.farmer
)

USUAL = PlantView(
    index=11_024,
    block=replace(Block.unseen(0), min_gap=1, max_gap=62, min_stake=0, max_stake=1300 * KALE, min_zeros=5, max_zeros=9),
    clock=ClockEstimate(1000, 1059),
    market=Market(base_reward(11_024), Fraction(400)),
    hashes_per_second=50_000_000,
)


def farmers(count: int, allowed: int = 50 * KALE) -> list[Candidate]:
    return [Candidate(f"G{number:04}", allowed + number) for number in range(count)]


def planted(plan: PlantPlan) -> list[str]:
    return [one.farmer for one in plan.farmers if one.planting]


@given(views(), candidates)
def test_every_candidate_has_one_plan_within_what_it_allows(view: PlantView, those: Sequence[Candidate]) -> None:
    plan = plan_plants(view, those)
    assert sorted(one.farmer for one in plan.farmers) == sorted(one.farmer for one in those)
    allowed = {one.farmer: one.allowed_stroops for one in those}
    for one in plan.farmers:
        assert 0 <= one.stake_stroops <= min(allowed[one.farmer], view.block.max_stake)
        assert one.planting or one.stake_stroops == 0
        assert one.plant_ledger >= view.clock.opening_ledger
        assert one.plant_ledger < one.harvest_by


@given(views(), candidates, st.randoms(use_true_random=False))
def test_a_plan_does_not_depend_on_the_order_of_farmers(
    view: PlantView, those: list[Candidate], random: object
) -> None:
    shuffled = sorted(those, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert plan_plants(view, shuffled) == plan_plants(view, those)


@given(views(), candidates)
def test_the_whole_pool_never_plants_below_break_even(view: PlantView, those: Sequence[Candidate]) -> None:
    price = view.market.floor_price
    if price is None:
        return
    for one in plan_plants(view, those).farmers:
        # A stroop for rounding the reward down.
        assert not one.planting or (one.reward_stroops + 1) * price >= view.fees.block


@given(views(), candidates)
def test_no_ledger_is_given_more_plants_than_it_takes(view: PlantView, those: Sequence[Candidate]) -> None:
    ledgers = [one.plant_ledger for one in plan_plants(view, those).farmers if one.planting]
    assert ledgers == sorted(ledgers)
    for ledger in set(ledgers):
        assert ledgers.count(ledger) <= view.chances.ledger_capacity


@given(blocks(), st.tuples(stroops, stroops), fractions, fractions, st.fractions(0, Fraction(99, 100)))
def test_a_stake_never_falls_with_what_is_allowed(
    block: Block, amounts: tuple[int, int], unit: Fraction, share: Fraction, loss: Fraction
) -> None:
    allowed, larger = sorted(amounts)
    less = stake(block, allowed, unit=unit, share=share, loss=loss)
    assert less <= stake(block, larger, unit=unit, share=share, loss=loss)
    assert less in {0, min(allowed, block.max_stake)}


@given(blocks(), stroops, fractions, fractions, st.tuples(fractions, fractions))
def test_a_stake_never_grows_with_the_loss_rate(
    block: Block, allowed: int, unit: Fraction, share: Fraction, losses: tuple[Fraction, Fraction]
) -> None:
    safe, risky = (stake(block, allowed, unit=unit, share=share, loss=chance) for chance in sorted(losses))
    assert risky <= safe


@given(st.integers(0, 10**13), st.integers(0, 10**13), st.integers(1, 500), st.integers(0, 64))
def test_expected_zeros_grow_with_the_hash_rate_and_fall_with_farmers(
    hashes: int, more: int, count: int, target: int
) -> None:
    zeros = expected_zeros(hashes, count, target)
    assert 0 <= zeros <= expected_zeros(hashes + more, count, target) <= target
    assert expected_zeros(hashes, count + 1, target) <= zeros


def test_farmers_stake_all_that_is_allowed_up_to_the_blocks_most() -> None:
    plan = plan_plants(USUAL, [Candidate("poor", 1), Candidate("usual", 50 * KALE), Candidate("rich", 9_000 * KALE)])
    assert {one.farmer: one.stake_stroops for one in plan.farmers} == {
        "rich": 1300 * KALE,
        "usual": 50 * KALE,
        "poor": 0,  # its part of the score would be rounded to what no stake has
    }


def test_nothing_is_staked_where_more_is_lost_than_earned() -> None:
    often = replace(USUAL, losses=LossHistory(planted=10_000, lost=300))
    assert {one.stake_stroops for one in plan_plants(often, farmers(20)).farmers} == {0}


def test_plants_fill_ledgers_from_the_opening_one_the_most_valuable_first() -> None:
    plan = plan_plants(replace(USUAL, chances=Chances(ledger_capacity=2)), farmers(5))
    assert [(one.farmer, one.plant_ledger, one.slot) for one in plan.farmers] == [
        ("G0004", 1000, 0),
        ("G0003", 1000, 0),
        ("G0002", 1001, 1),
        ("G0001", 1001, 1),
        ("G0000", 1002, 2),
    ]


def test_farmers_who_would_only_take_from_the_others_are_left_out_and_reported() -> None:
    # 20 farmers each bring about 6 KALE; at 0.001 XLM a KALE, 0.005 XLM of fees is paid for by 5 KALE.
    dear = replace(
        USUAL, market=replace(USUAL.market, floor_price=Fraction(1, 1000)), fees=Fees(19_000, 10_000, 12_000)
    )
    plan = plan_plants(dear, farmers(200))
    assert 0 < len(planted(plan)) < 200
    assert len(plan.unprofitable) == 200 - len(planted(plan))
    assert plan.mode is Mode.FARMING
    cheap = plan_plants(replace(dear, fees=Fees(1_900, 1_000, 1_200)), farmers(200))
    assert len(planted(cheap)) == 200


def test_where_nobody_earns_the_fees_the_pool_only_harvests() -> None:
    worthless = replace(USUAL, market=replace(USUAL.market, floor_price=Fraction(0)), fees=Fees(1, 0, 0))
    plan = plan_plants(worthless, farmers(3))
    assert plan.mode is Mode.HARVEST_ONLY
    assert {one.reason for one in plan.farmers} == {Reason.FEES}


@pytest.mark.parametrize(
    ("view", "ledger", "reason"),
    [
        (replace(USUAL, paused=True), 0, Reason.FARM_PAUSED),
        (USUAL, 1050, Reason.TOO_LATE),
        (replace(USUAL, clock=ClockEstimate(1000, 1010)), 0, Reason.TOO_LATE),
    ],
)
def test_nobody_is_planted_when_the_farm_is_paused_or_no_time_is_left_to_insure(
    view: PlantView, ledger: int, reason: Reason
) -> None:
    plan = plan_plants(view, farmers(3), ledger=ledger)
    assert {one.reason for one in plan.farmers} == {reason}
    assert not planted(plan)


def test_a_harvest_is_due_two_ledgers_after_the_opening_or_at_half_a_pails_life() -> None:
    assert {one.harvest_by for one in plan_plants(USUAL, farmers(2)).farmers} == {1062}
    later = replace(USUAL, harvest_after_blocks=3)
    assert {one.harvest_by for one in plan_plants(later, farmers(2)).farmers} == {1182}
    short = replace(USUAL, harvest_after_blocks=30)
    assert {one.harvest_by for one in plan_plants(short, farmers(2)).farmers} == {1360}
