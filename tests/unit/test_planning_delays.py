"""Delays as the planner learns them."""

from hypothesis import given
from hypothesis import strategies as st

from kale_chain.planning.delays import Delays
from kale_chain.planning.laws import LATENCY, Law


@given(seen=st.lists(st.one_of(st.none(), st.integers(-5, 90)), max_size=60))
def test_every_delay_but_halts_is_counted_once(seen: list[int | None]) -> None:
    delays = Delays(LATENCY)
    for delay in seen:
        delays.add(delay)
    kept = [max(delay, 0) for delay in seen if delay is not None and delay <= 30]
    law = delays.law
    assert law.total == LATENCY.total + len(kept) + seen.count(None)
    assert law.lost == LATENCY.lost + seen.count(None)
    for delay in set(kept):
        before = LATENCY.counts[delay] if delay < len(LATENCY.counts) else 0
        assert law.counts[delay] == before + kept.count(delay)


def test_the_default_holds_until_something_is_seen() -> None:
    assert Delays(LATENCY).law == LATENCY


def test_only_the_last_500_count() -> None:
    delays = Delays(LATENCY)
    delays.remember([2] * 700)
    delays.add(None)
    assert delays.law == Law((92, 7, 499), lost=2)


def test_what_an_earlier_run_has_seen_is_not_written_again() -> None:
    delays = Delays(LATENCY)
    delays.add(1)
    delays.remember([0, None])
    assert delays.law == Law((93, 8), lost=2)
    assert delays.drain() == [1]
    assert delays.drain() == []
