"""How a restored database is recognised."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from backend.domain.audit import ChainHead
from backend.domain.lease import Head, Incarnation, restored
from backend.errors import HeadFileError
from backend.vault import HeadFile

LIFE = Incarnation(7_000_000_000_000_000_001, 1)
LINK = bytes(31) + b"1"
HEAD = Head(LIFE, position=5_000, event=40, fence=3, chain=ChainHead(9, LINK))


def test_database_no_backend_has_used_is_not_restored() -> None:
    assert restored(None, None, replace(HEAD, fence=0)) is None


@pytest.mark.parametrize(
    "found", [HEAD, replace(HEAD, position=5_001), replace(HEAD, event=41), replace(HEAD, position=6_000, fence=4)]
)
def test_database_that_went_on_is_not_restored(found: Head) -> None:
    assert restored(HEAD, LIFE, found, linked=LINK) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (replace(HEAD, position=4_999), "log ends at byte 4999, but had reached 5000"),
        (replace(HEAD, event=39), "audit trail ends at event 39, but had reached 40"),
        (replace(HEAD, chain=ChainHead(8, LINK)), "audit chain ends at link 8, but had reached 9"),
        (replace(HEAD, fence=2), "fence 2, but had reached 3"),
        (replace(HEAD, incarnation=replace(LIFE, timeline=2), position=9_000), "on timeline 2, and was"),
        (replace(HEAD, incarnation=replace(LIFE, system_identifier=8), position=9_000), "it is system 8 on timeline 1"),
    ],
)
def test_database_behind_the_record_or_of_another_life_is_restored(found: Head, reason: str) -> None:
    assert reason in (restored(HEAD, LIFE, found, linked=LINK) or "")


def test_used_database_without_a_record_counts_as_restored() -> None:
    assert "no record of its head" in (restored(None, LIFE, HEAD) or "")


def test_lease_of_another_incarnation_counts_as_restored() -> None:
    assert "was system 5 on timeline 1" in (restored(HEAD, Incarnation(5, 1), HEAD) or "")


def test_another_history_counts_as_restored() -> None:
    assert "has another link 9 than it had" in (restored(HEAD, LIFE, HEAD, linked=bytes(32)) or "")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_record_is_read_back_as_written(tmp_path: Path) -> None:
    record = HeadFile(tmp_path / "sealing.key.head")
    assert await record.read() is None
    await record.write(replace(HEAD, fence=2))
    await record.write(HEAD)
    assert await record.read() == HEAD
    assert await asyncio.to_thread(names, tmp_path) == ["sealing.key.head"]


async def test_record_that_cannot_be_used_is_told_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "head"
    path.write_text('{"fence": 1}')
    with pytest.raises(HeadFileError, match=r"HEAD_FILE: .*head is malformed; restore it, or remove it"):
        await HeadFile(path).read()
    with pytest.raises(HeadFileError, match="cannot be read"):
        await HeadFile(tmp_path).read()
    with pytest.raises(HeadFileError, match="cannot be written"):
        await HeadFile(tmp_path / "nowhere" / "head").write(HEAD)
