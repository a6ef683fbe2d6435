"""Agreement: an end needs enough endpoints that hold the same ledger and not the transaction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.agreement import TOLERATED_LAG, Verdict, Vote, lagging, quorum, verdict

VOTES = st.lists(
    st.builds(Vote, endpoint=st.just("http://127.0.0.1:1"), ledger_hash=st.sampled_from("ab"), shown=st.booleans()),
    max_size=7,
)


@pytest.mark.parametrize(("configured", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_quorum_is_a_majority_and_at_least_two(configured: int, needed: int) -> None:
    assert quorum(configured) == needed


@given(VOTES, st.integers(0, 5))
def test_end_is_agreed_only_without_contradiction_and_by_enough(votes: list[Vote], silent: int) -> None:
    configured = max(1, len(votes) + silent)
    result = verdict(votes, configured)
    contradicted = any(vote.shown for vote in votes) or len({vote.ledger_hash for vote in votes}) > 1
    assert (result is Verdict.DISPUTED) == contradicted
    if result is Verdict.AGREED:
        assert len(votes) >= min(2, configured)
        assert 2 * len(votes) > configured


@given(VOTES, st.integers(1, 7))
def test_more_votes_never_mend_a_dispute(votes: list[Vote], configured: int) -> None:
    if verdict(votes, configured) is Verdict.DISPUTED:
        assert verdict([*votes, Vote("http://127.0.0.1:2", "a", shown=False)], configured) is Verdict.DISPUTED


def test_endpoint_more_than_three_ledgers_behind_lags() -> None:
    assert [lagging(100 - behind, 100) for behind in (0, TOLERATED_LAG, TOLERATED_LAG + 1)] == [False, False, True]
