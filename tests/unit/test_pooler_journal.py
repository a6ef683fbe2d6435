"""The journal: what survives a restart, and whose it is."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pooler.domain.assignment import Accepted, Assignment, Failure, Find, Reason
from pooler.domain.attempt import Attempt
from pooler.domain.nonce_range import RUNS
from pooler.domain.presence import TakenLease
from pooler.domain.report import Report
from pooler.domain.schedule import Stage
from pooler.errors import StateError
from pooler.state.journal import SqliteJournal

BIGGEST = 2**64 - 1


def open_journal(directory: Path, *, farm: str = "farm", pooler_id: str = "pooler") -> SqliteJournal:
    return SqliteJournal(directory, farm=farm, pooler_id=pooler_id)


def assignment(index: int, name: str = "a") -> Assignment:
    return Assignment(index, f"id-{name}", f"G{name}", 1_000, 5)


def attempt(index: int, name: str = "a", zeros: int = 4) -> Attempt:
    find = Find(zeros, BIGGEST, b"\x01" * 32)
    return Attempt(f"{index}{name}{zeros}", index, f"G{name}", find, Stage.INSURING, 2, "AAAA", 1_010)


def report(index: int, name: str = "a") -> Report:
    accepted = Accepted(6, 55, Find(6, BIGGEST, b"\x02" * 32), "ab" * 32, 1_055)
    return Report.of("pooler", assignment(index, name), accepted)


async def test_a_restart_finds_everything_again(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        await journal.requested(7)
        assert await journal.assigned(assignment(7))
        finds = [(7, "Ga", Find(zeros, BIGGEST - zeros, bytes([zeros]) * 32)) for zeros in (1, 3)]
        await journal.found(finds)
        await journal.opened([attempt(7)])
    with open_journal(tmp_path) as journal:
        kept = await journal.restore(7)
    assert kept.requested == [7]
    assert kept.assignments == [assignment(7)]
    assert kept.finds == finds
    assert kept.attempts == [attempt(7)]
    assert kept.submitted == [(7, "Ga", attempt(7).find, Stage.INSURING)]


async def test_an_ended_attempt_is_remembered_as_submitted_only(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        await journal.opened([attempt(7)])
        await journal.ended([attempt(7)])
        kept = await journal.restore(7)
    assert kept.attempts == []
    assert [find for _, _, find, _ in kept.submitted] == [attempt(7).find]


async def test_reports_stay_until_acknowledged_and_are_written_once(tmp_path: Path) -> None:
    failed = Report.of("pooler", assignment(7, "b"), Failure(Reason.TIMEOUT, "too late"))
    with open_journal(tmp_path) as journal:
        await journal.report([report(7), failed])
        changed = Report.of("pooler", assignment(7), Failure(Reason.TIMEOUT, "another story"))
        await journal.report([changed])
    with open_journal(tmp_path) as journal:
        assert await journal.unacknowledged(10) == [report(7), failed]
        await journal.acknowledged([report(7).report_id])
        assert await journal.unacknowledged(10) == [failed]
        assert await journal.unacknowledged_count() == 1


async def test_a_reported_farmer_is_not_taken_on_again(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        assert await journal.assigned(assignment(7))
        await journal.report([report(7)])
        await journal.acknowledged([report(7).report_id])
        assert not await journal.assigned(assignment(7))
        assert (await journal.restore(7)).assignments == []


async def test_old_blocks_are_forgotten_but_no_report_is(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        await journal.assigned(assignment(7))
        await journal.report([report(6), report(7, "b")])
        await journal.acknowledged([report(7, "b").report_id])
        await journal.requested(100)
        kept = await journal.restore(100)
        assert kept.assignments == []
        assert kept.requested == [100]
        assert await journal.unacknowledged(10) == [report(6)]


async def test_what_belongs_to_a_ledger_that_was_reset_is_forgotten(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        await journal.assigned(assignment(50))
        await journal.report([report(50, "b")])
        kept = await journal.restore(3)
        assert kept.assignments == []
        assert await journal.unacknowledged(10) == []


@pytest.mark.parametrize("other", [{"farm": "another"}, {"pooler_id": "another"}])
def test_anothers_directory_is_refused(tmp_path: Path, other: dict[str, str]) -> None:
    open_journal(tmp_path).close()
    with pytest.raises(StateError, match="STATE_DIRECTORY"):
        open_journal(tmp_path, **other)
    open_journal(tmp_path).close()


def test_two_poolers_cannot_share_a_directory(tmp_path: Path) -> None:
    with open_journal(tmp_path), pytest.raises(StateError, match="in use"):
        open_journal(tmp_path)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pooler.sqlite3").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(StateError, match="cannot use"):
        open_journal(tmp_path)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot use"):
        open_journal(tmp_path / "file" / "state")


async def test_every_run_has_another_number(tmp_path: Path) -> None:
    numbers = []
    for _ in range(3):
        with open_journal(tmp_path) as journal:
            numbers.append((await journal.restore(7)).run_number)
    assert [(number - numbers[0]) % RUNS for number in numbers] == [0, 1, 2]


async def test_farmer_that_was_taken_is_not_assigned_by_an_older_lease(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        assert await journal.assigned(assignment(7))
        await journal.taken([TakenLease(7, "id-a", 2)])
        await journal.taken([TakenLease(7, "id-a", 1)])
        assert not await journal.assigned(assignment(7))
        assert (await journal.restore(7)).assignments == []
        again = replace(assignment(7), generation=3)
        assert await journal.assigned(again)
        assert (await journal.restore(7)).assignments == [again]


async def test_journal_of_a_version_without_leases_is_read(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        await journal.assigned(assignment(7))
    with sqlite3.connect(tmp_path / "pooler.sqlite3") as database:
        database.execute("ALTER TABLE assignments DROP COLUMN generation")
        database.execute("DROP TABLE taken")
    database.close()
    with open_journal(tmp_path) as journal:
        assert (await journal.restore(7)).assignments == [assignment(7)]


async def test_what_was_learned_of_the_network_is_kept_but_not_for_ever(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        await journal.seen("latency", [0] * 700)
        await journal.seen("latency", [1, None])
        await journal.seen("turnover", [3])
    for _ in range(2):
        with open_journal(tmp_path) as journal:
            kept = await journal.restore(7)
        assert kept.delays == {"latency": [0] * 498 + [1, None], "turnover": [3]}
