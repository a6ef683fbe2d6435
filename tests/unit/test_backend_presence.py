"""Sharing farmers out by measured capacity, and handing them over."""

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.presence import (
    EVERY_FARMER,
    IDLE_LEDGERS,
    FarmerLease,
    HandOverReason,
    Offer,
    hand_overs,
    left_lying,
    share_out,
)

RATES = st.floats(min_value=0, max_value=1e12, allow_nan=False)
OFFERS = st.lists(st.tuples(st.integers(0, 60), RATES), min_size=1, max_size=8).map(
    lambda each: [Offer(f"p{number}", farmers, rate) for number, (farmers, rate) in enumerate(each)]
)


@given(count=st.integers(0, 120), offers=OFFERS)
def test_nobody_gets_more_than_its_capacity_and_no_farmer_is_left_out(count: int, offers: list[Offer]) -> None:
    given_to = share_out(count, offers, {})
    assert len(given_to) == min(count, sum(offer.farmers for offer in offers))
    shares = Counter(given_to)
    assert all(shares[offer.pooler_id] <= offer.farmers for offer in offers)


@given(count=st.integers(1, 120), rates=st.lists(st.floats(1, 1e9), min_size=2, max_size=6))
def test_share_is_within_one_farmer_of_what_the_rate_is_worth(count: int, rates: list[float]) -> None:
    """No farmer could move and leave the busiest pooler less busy."""
    offers = [Offer(f"p{number}", EVERY_FARMER, rate) for number, rate in enumerate(rates)]
    shares = Counter(share_out(count, offers, {}))
    busiest = max(shares[offer.pooler_id] / offer.hashes_per_second for offer in offers)
    for offer in offers:
        assert (shares[offer.pooler_id] + 1) / offer.hashes_per_second >= busiest * (1 - 1e-9)


def test_shares_follow_the_hash_rate() -> None:
    offers = [Offer("slow", 50, 1e6), Offer("fast", 50, 3e6)]
    assert Counter(share_out(40, offers, {})) == {"slow": 10, "fast": 30}


def test_farmers_held_already_count() -> None:
    offers = [Offer("a", 50, 1e6), Offer("b", 50, 1e6)]
    assert Counter(share_out(10, offers, {"a": 10})) == {"b": 10}


def test_unmeasured_pooler_takes_what_the_others_have_no_room_for() -> None:
    offers = [Offer("new", 50, 0), Offer("known", 4, 1e6)]
    assert Counter(share_out(6, offers, {})) == {"known": 4, "new": 2}


def leases(*holders: str, worked: frozenset[int] = frozenset()) -> list[FarmerLease]:
    return [
        FarmerLease(7, UUID(int=number), holder, 1, worked=number in worked) for number, holder in enumerate(holders)
    ]


def test_farmers_of_who_is_gone_go_to_who_has_least_to_do() -> None:
    offers = [Offer("b", 10, 1e6), Offer("c", 10, 1e6)]
    moved = hand_overs(leases("a", "a", "a", "b", "b"), {"a": HandOverReason.SILENT}, offers, ledger=9)
    assert Counter(one.pooler_id for one in moved) == {"c": 2, "b": 1} or Counter(one.pooler_id for one in moved) == {
        "c": 3
    }
    assert {one.farmer_id for one in moved} == {UUID(int=0), UUID(int=1), UUID(int=2)}
    assert {(one.generation, one.taken_from, one.reason, one.ledger) for one in moved} == {
        (2, "a", HandOverReason.SILENT, 9)
    }


def test_worked_farmers_stay_where_they_are() -> None:
    moved = hand_overs(
        leases("a", "a", worked=frozenset({0})), {"a": HandOverReason.DRAINED}, [Offer("b", 9, 1)], ledger=9
    )
    assert [one.farmer_id for one in moved] == [UUID(int=1)]


@pytest.mark.parametrize("offers", [[], [Offer("a", 9, 1.0)], [Offer("b", 0, 1.0)]])
def test_without_anybody_to_take_them_farmers_stay(offers: list[Offer]) -> None:
    assert hand_overs(leases("a", "a"), {"a": HandOverReason.SILENT}, offers, ledger=9) == []


def lease(number: int, *, generation: int = 1, planted: bool = True, worked: bool = False) -> FarmerLease:
    return FarmerLease(7, UUID(int=number), "a", generation, worked, planted)


@pytest.mark.parametrize(
    ("one", "lies"),
    [
        (lease(1), True),
        (lease(2), False),
        (lease(1, planted=False), False),
        (lease(1, worked=True), False),
        (lease(3), False),
        (lease(3, generation=2), True),
    ],
    ids=["lies", "not yet", "plant not final", "worked", "taken", "taken under an earlier lease"],
)
def test_farmer_lies_once_its_pooler_had_time_to_take_it(one: FarmerLease, *, lies: bool) -> None:
    told = {(UUID(int=1), 1): IDLE_LEDGERS, (UUID(int=2), 1): IDLE_LEDGERS - 1, (UUID(int=3), 2): IDLE_LEDGERS}
    assert left_lying([one], {(UUID(int=3), 1)}, told) == ([one] if lies else [])


def test_farmers_left_lying_go_to_others_and_their_pooler_gets_none() -> None:
    all_leases = leases("a", "a", "b", "b")
    offers = [Offer("a", 10, 9e9), Offer("b", 10, 1e6), Offer("c", 10, 1e6)]
    moved = hand_overs(all_leases, {"b": HandOverReason.SILENT}, offers, ledger=9, lying=all_leases[:1])
    assert {(one.farmer_id.int, one.taken_from, one.pooler_id, one.reason) for one in moved} == {
        (0, "a", "c", HandOverReason.IDLE),
        (2, "b", "c", HandOverReason.SILENT),
        (3, "b", "c", HandOverReason.SILENT),
    }
