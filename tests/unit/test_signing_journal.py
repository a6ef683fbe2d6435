"""The signer's journal: terms are kept for ever, and a day's payouts are counted, by every process that signs."""

import stat
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from backend.errors import SigningCapError, SigningJournalError
from backend.vault.journal import DAY_SECONDS, Payout, SigningJournal

FIRST = Payout(UUID(int=7), b"terms", "GFARMER", "GFARMER", 3, 60)


def other(stroops: int, *, sequence: int = 4) -> Payout:
    """Another withdrawal of the same farmer."""
    return replace(FIRST, withdrawal_id=uuid4(), sequence=sequence, stroops=stroops)


class Clock:
    """A clock that goes as a test has it go."""

    def __init__(self) -> None:
        self.now = 1_750_000_000.0

    def __call__(self) -> float:
        return self.now


def test_terms_outlive_the_process(tmp_path: Path) -> None:
    for _ in range(2):
        journal = SigningJournal(tmp_path / "signed", 0)
        assert journal.admit(FIRST)
        assert not journal.admit(replace(FIRST, terms=b"others"))
        journal.close()
    assert stat.S_IMODE((tmp_path / "signed").stat().st_mode) == 0o600


def test_more_than_a_day_may_see_is_not_admitted_until_the_day_is_over(tmp_path: Path) -> None:
    clock = Clock()
    journal = SigningJournal(tmp_path / "signed", 100, clock)
    assert journal.admit(FIRST)
    late = other(41)
    with pytest.raises(SigningCapError, match=r"at most 100 stroops .* and 60 were"):
        journal.admit(late)
    journal.close()
    journal = SigningJournal(tmp_path / "signed", 100, clock)  # a restart forgets nothing
    with pytest.raises(SigningCapError):
        journal.admit(late)
    assert journal.admit(replace(late, stroops=40))
    clock.now += DAY_SECONDS - 1
    with pytest.raises(SigningCapError):
        journal.admit(other(1, sequence=5))
    clock.now += 1
    assert journal.admit(other(100, sequence=6))


def test_refused_by_the_cap_binds_no_terms() -> None:
    journal = SigningJournal(None, 50)
    with pytest.raises(SigningCapError):
        journal.admit(FIRST)
    assert journal.admit(replace(FIRST, terms=b"others", stroops=50))


def test_tries_that_exclude_each_other_count_once_and_others_each() -> None:
    journal = SigningJournal(None, 100)
    for _ in range(3):
        assert journal.admit(FIRST)
    assert journal.admit(replace(FIRST, sequence=4, stroops=40))
    with pytest.raises(SigningCapError):  # the same withdrawal, but both could be applied
        journal.admit(replace(FIRST, sequence=5))
    with pytest.raises(SigningCapError):  # the larger of two that exclude each other counts
        journal.admit(replace(other(61, sequence=3)))
    with pytest.raises(SigningCapError):  # the same number of another account's is another's
        journal.admit(replace(other(60, sequence=3), farmer="GOTHER"))


def test_clock_that_is_set_back_gives_nothing_free() -> None:
    clock = Clock()
    journal = SigningJournal(None, 100, clock)
    assert journal.admit(FIRST)
    clock.now -= 10 * DAY_SECONDS
    with pytest.raises(SigningCapError):
        journal.admit(other(41))


def test_two_signers_share_a_file(tmp_path: Path) -> None:
    one, two = (SigningJournal(tmp_path / "signed", 100) for _ in range(2))
    assert one.admit(FIRST)
    assert not two.admit(replace(FIRST, terms=b"others"))
    with pytest.raises(SigningCapError):
        two.admit(other(41))


def test_file_that_is_none_of_its_own_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "signed"
    file.write_bytes(b"something else" * 100)
    with pytest.raises(SigningJournalError, match="SIGNER_JOURNAL_FILE"):
        SigningJournal(file, 0)
    with pytest.raises(SigningJournalError, match="SIGNER_JOURNAL_FILE"):
        SigningJournal(tmp_path / "missing" / "signed", 0)
    assert file.read_bytes().startswith(b"something else")
