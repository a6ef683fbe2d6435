"""Caps and the harvests' reserve: nothing is granted that they do not leave room for."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.attempt import (
    BUMP_LEDGERS,
    TRANSITIONS,
    Attempt,
    AttemptKind,
    AttemptState,
    Bump,
    is_expired,
    is_stuck,
    is_superseded,
)
from backend.domain.spending import UNMEASURED_HARVEST_FEE, Allowance, FeeCaps, Spending

CAPS = FeeCaps(per_transaction=1000, per_hour=100_000)
STROOPS = st.integers(0, 2000)


def allowance(*, spendable: int = 1_000_000, at_stake: int = 0, charged: int = 0, pails: int = 0) -> Allowance:
    return Allowance.of(CAPS, Spending(charged, at_stake, pails, harvest_fee=100), spendable)


@pytest.mark.parametrize(
    ("left", "fee", "refusal"),
    [
        (allowance(), 1000, None),
        (allowance(), 1001, "FEE_CAP_STROOPS"),
        (allowance(spendable=10_000, pails=90), 900, None),
        (allowance(spendable=10_000, pails=90), 901, "send it XLM"),
        (allowance(spendable=10_000, at_stake=9000), 901, "send it XLM"),
        (allowance(charged=99_000), 900, None),
        (allowance(charged=99_000), 901, "FEE_CAP_PER_HOUR_STROOPS"),
        (allowance(charged=90_000, at_stake=9000, pails=1), 900, "FEE_CAP_PER_HOUR_STROOPS"),
    ],
)
def test_plant_is_refused_for_the_first_thing_it_would_break(left: Allowance, fee: int, refusal: str | None) -> None:
    told = left.refuses_plant(fee)
    assert (told is None) == (refusal is None)
    assert refusal is None or refusal in (told or "")


@given(st.lists(STROOPS), st.integers(0, 200_000), st.integers(0, 100_000), st.integers(0, 500))
def test_plants_never_touch_what_harvests_need(fees: list[int], spendable: int, charged: int, pails: int) -> None:
    left = allowance(spendable=spendable, charged=charged, pails=pails)
    granted = [fee for fee in fees if left.refuses_plant(fee) is None]
    if granted:
        harvests = (pails + len(granted)) * 100
        assert spendable - sum(granted) >= harvests
        assert charged + sum(granted) + harvests <= CAPS.per_hour
        assert max(granted) <= CAPS.per_transaction


@given(st.lists(st.tuples(st.booleans(), STROOPS)), st.integers(0, 100_000))
def test_no_order_of_grants_exceeds_the_hour(asked: list[tuple[bool, int]], charged: int) -> None:
    left = allowance(charged=charged)
    granted = [fee for plant, fee in asked if (left.refuses_plant(fee) is None if plant else left.grants(fee))]
    assert charged + sum(granted) <= CAPS.per_hour


def test_harvest_goes_where_a_plant_may_not() -> None:
    left = allowance(spendable=0, pails=5)
    assert left.refuses_plant(500) is not None
    assert left.grants(500)


def test_one_rescue_alone_may_carry_the_farms_rent() -> None:
    left = allowance()
    assert not left.grants(5000)
    assert left.grants_rescue(5000)
    assert not left.grants_rescue(5000)
    assert left.grants_rescue(900)
    assert not allowance(charged=96_000).grants_rescue(5000)


def test_harvest_fee_is_assumed_until_it_was_measured() -> None:
    assert Spending(0, 0, 1, None).measured_harvest_fee == UNMEASURED_HARVEST_FEE
    assert Spending(0, 0, 1, 7).measured_harvest_fee == 7


def attempt(*, inner: bool = True, max_ledger: int = 106) -> Attempt:
    return Attempt(
        hash=bytes(32),
        inner_hash=bytes([1]) * 32 if inner else None,
        kind=AttemptKind.HARVEST,
        intent_id=UUID(int=1),
        source="G1",
        sequence=41,
        envelope="first",
        max_ledger=max_ledger,
        created_ledger=100,
        max_fee=100,
    )


def bump(number: int, ledger: int) -> Bump:
    return Bump(bytes([9, number]) * 16, bytes(32), number, f"bump {number}", 1000 * number, ledger)


@pytest.mark.parametrize(
    ("one", "closed", "refused", "stuck"),
    [
        (attempt(), 101, False, False),
        (attempt(), 100 + BUMP_LEDGERS, False, True),
        (attempt(), 101, True, True),
        (attempt(inner=False), 104, False, False),
        (attempt(), 105, False, False),  # no ledger is left that could take it
        (attempt().with_bump(bump(1, 102)), 103, False, False),
        (attempt().with_bump(bump(1, 102)), 104, False, True),
    ],
)
def test_attempt_is_bumped_while_a_ledger_can_take_it(one: Attempt, closed: int, *, refused: bool, stuck: bool) -> None:
    assert is_stuck(one, closed, refused=refused) is stuck


@given(st.lists(st.integers(1, 5), max_size=6))
def test_bumps_keep_every_hash_and_send_the_last(steps: list[int]) -> None:
    one, ledger = attempt(), 100
    for number, step in enumerate(steps, start=1):
        ledger += step
        one = one.with_bump(bump(number, ledger))
    assert one.hashes == (bytes(32), *(made.hash for made in one.bumps), bytes([1]) * 32)
    assert one.current_envelope == (f"bump {len(steps)}" if steps else "first")
    assert one.highest_fee == max([100, *(made.max_fee for made in one.bumps)])
    assert replace(one, bumps=()) == attempt()


@given(st.integers(90, 120), st.integers(30, 50), st.integers(90, 120))
def test_ends_without_result_need_a_later_ledger(closed: int, used: int, read_at: int) -> None:
    one = attempt()
    assert is_expired(one, closed) == (closed >= one.max_ledger)
    if is_superseded(one, used, read_at):
        assert read_at > one.created_ledger
        assert used >= one.sequence


def test_every_end_is_final() -> None:
    assert TRANSITIONS[AttemptState.OPEN] == set(AttemptState) - {AttemptState.OPEN}
    assert all(not TRANSITIONS[state] for state in AttemptState if state is not AttemptState.OPEN)
