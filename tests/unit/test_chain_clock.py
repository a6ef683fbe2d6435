"""The block clock against ledgers of every kind: steady, jittery, halting, missed and going backwards."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kale_chain.clock import HALT_SECONDS, UNKNOWN, BlockClock, Pace
from kale_chain.model import Ledger

START = 1_000_000
INTERVALS = st.lists(st.integers(0, 60), max_size=80)
PACES = st.tuples(st.floats(0.5, 10.0, allow_nan=False), st.floats(0, 5), st.floats(0, 10), st.floats(0, 20)).map(
    lambda four: Pace(four[0] + four[2], four[1], four[0], four[0] + four[2] + four[3])
)


def clock_of(seconds: list[int]) -> BlockClock:
    """A clock that saw ledgers close after so many seconds each."""
    clock, time = BlockClock(), START
    clock.observe(Ledger(1, time))
    for number, interval in enumerate(seconds, 2):
        time += interval
        clock.observe(Ledger(number, time))
    return clock


def test_an_empty_clock_goes_by_the_public_networks() -> None:
    assert BlockClock().pace == UNKNOWN
    assert BlockClock().last is None


def test_a_steady_ledger_opens_the_block_in_one_ledger_only() -> None:
    pace = clock_of([5] * 30).pace
    assert pace == Pace(5, 0, 5, 5)
    opening = pace.opening(Ledger(31, START), START + 10)
    assert (opening.earliest, opening.expected, opening.latest, opening.last_safe) == (33, 33, 33, 32)
    assert pace.next_reaches(Ledger(31, START), START + 5)
    assert not pace.next_reaches(Ledger(31, START), START + 6)


def test_before_enough_was_seen_shorter_and_longer_ledgers_are_expected() -> None:
    pace = clock_of([5] * 5).pace
    opening = pace.opening(Ledger(6, START), START + 5)
    assert not pace.next_reaches(Ledger(6, START), START + 5)
    assert (opening.earliest, opening.expected, opening.latest) == (7, 7, 8)


def test_the_time_of_ledgers_that_were_missed_is_shared_among_them() -> None:
    clock = BlockClock()
    clock.observe(Ledger(10, START))
    clock.observe(Ledger(30, START + 120))
    assert clock.pace == Pace(6, 0, 6, 6)


def test_a_halt_teaches_nothing() -> None:
    before = clock_of([5] * 30)
    after = clock_of([5] * 30 + [600, 5, 5])
    assert after.pace == before.pace


def test_a_ledger_that_comes_again_or_goes_backwards_is_passed_over() -> None:
    clock = clock_of([5] * 30)
    last, pace = clock.last, clock.pace
    assert last is not None
    for ledger in (
        last,
        Ledger(last.sequence - 3, last.close_time - 15),
        Ledger(last.sequence + 1, last.close_time - 1),
    ):
        clock.observe(ledger)
        assert (clock.last, clock.pace) == (last, pace)


def test_a_network_that_slows_down_is_followed_within_a_block() -> None:
    pace = clock_of([5] * 200 + [9] * 60).pace
    assert (pace.mean, pace.shortest, pace.longest) == (9, 5, 9)


@given(seconds=INTERVALS)
def test_whatever_closes_the_pace_is_one(seconds: list[int]) -> None:
    pace = clock_of(seconds).pace
    assert 0 < pace.shortest <= pace.mean <= pace.longest <= HALT_SECONDS
    assert pace.deviation >= 0


@given(pace=PACES, left=st.integers(-1_000, 1_000), sequence=st.integers(0, 2**31))
def test_openings_are_in_order_and_never_in_the_past(pace: Pace, left: int, sequence: int) -> None:
    opening = pace.opening(Ledger(sequence, START), START + left)
    assert sequence < opening.earliest <= opening.expected <= opening.latest
    assert opening.last_safe >= sequence
    assert pace.next_reaches(Ledger(sequence, START), START + left) == (opening.latest == sequence + 1)


@given(pace=PACES, left=st.integers(-100, 400), more=st.integers(0, 100))
def test_a_later_end_never_opens_sooner(pace: Pace, left: int, more: int) -> None:
    sooner, later = (pace.opening(Ledger(7, START), START + one) for one in (left, left + more))
    assert later.earliest >= sooner.earliest
    assert later.expected >= sooner.expected
    assert later.latest >= sooner.latest


@pytest.mark.parametrize("weights", [(0, 90, 10, 0), (5, 60, 30, 5), (1, 50, 40, 9)])
def test_fewer_than_one_in_a_hundred_ledgers_closes_before_the_block_it_was_chosen_for(
    weights: tuple[int, ...],
) -> None:
    rolls = random.Random(7)
    clock = clock_of(rolls.choices((4, 5, 6, 7), weights, k=400))
    last = clock.last
    assert last is not None
    chosen = early = 0
    for end in range(300, 400_000, 303):
        ends_at = START + 2_500 + end
        while not clock.pace.next_reaches(last, ends_at):
            last = Ledger(last.sequence + 1, last.close_time + rolls.choices((4, 5, 6, 7), weights)[0])
            clock.observe(last)
        chosen += 1
        early += last.close_time + rolls.choices((4, 5, 6, 7), weights)[0] < ends_at
    assert chosen > 1_000
    assert early < chosen / 100
