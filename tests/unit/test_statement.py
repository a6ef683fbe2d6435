"""Statements: their form, their signature, their sums, and what the chain says against them."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.statement import (
    Statement,
    StatementEntry,
    closing_of,
    read_document,
)
from backend.domain.verification import Movement, Present, Verdict, verify
from backend.errors import KeyFileError, StatementError
from backend.vault.statement_key import StatementKey, signed_by

BEGINS = datetime(2026, 11, 1, tzinfo=UTC)
KEY = StatementKey(b"\x07" * 32)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def entry(kind: str, transaction: str | None = None, ledger: int | None = None, **more: object) -> StatementEntry:
    values: dict[str, object] = {"booked_at": BEGINS, "kind": kind, "transaction": transaction, "ledger": ledger}
    return StatementEntry(**(values | more))  # type: ignore[arg-type]


DEPOSIT = entry("deposit", A, 10, amounts={"available": 100, "external": -100}, counterparty="G", memo="text:hi")
PLANT = entry("stake", B, 11, block=5, amounts={"available": -40, "staked": 40}, fee=7)
HARVEST = entry("harvest", C, 12, block=5, amounts={"available": 45, "staked": -40, "mint": -5}, fee=8)
MOVEMENTS = {
    A: Movement(10, 1, successful=True, fee=100, before=3, after=103),
    B: Movement(11, 1, successful=True, fee=7, before=103, after=63, planted={5: 40}),
    C: Movement(12, 1, successful=True, fee=8, before=63, after=108, emptied={5: 40}),
}


def statement(*entries: StatementEntry) -> Statement:
    opening = {"available": 3, "staked": 0}
    return Statement(
        network="a network",
        farm="a farm",
        asset="KALE:G",
        farmer_id=UUID(int=7),
        address="GA",
        begins=BEGINS,
        ends=BEGINS + timedelta(days=1),
        opening=opening,
        closing=closing_of(opening, entries),
        entries=entries,
    )


WHOLE = statement(DEPOSIT, PLANT, HARVEST)


def test_document_is_read_back_and_its_signature_holds() -> None:
    document = WHOLE.signed(KEY)
    assert document == WHOLE.signed(KEY)
    found = read_document(document)
    assert found.statement == replace(WHOLE, entries=list(WHOLE.entries))
    assert found.public_key == KEY.public_key
    assert signed_by(found.public_key, found.signature, found.message)
    assert found.message == b"kale-pool-statement/1\n" + WHOLE.canonical()


def test_changed_document_is_not_signed() -> None:
    document = WHOLE.signed(KEY)
    for old, new in ((b'"available":"100"', b'"available":"101"'), (b'"ledger":11', b'"ledger":12'), (b"GA", b"GB")):
        changed = document.replace(old, new)
        assert changed != document
        found = read_document(changed)
        assert not signed_by(found.public_key, found.signature, found.message)
    other = read_document(WHOLE.signed(StatementKey(b"\x08" * 32)))
    assert not signed_by(KEY.public_key, other.signature, other.message)


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"\xff", b'{"statement": {"format": "other/1"}, "signature": {"algorithm": "Ed25519"}}'],
)
def test_other_document_is_refused(document: bytes) -> None:
    with pytest.raises(StatementError):
        read_document(document)


def test_table_has_the_balances_around_the_entries_and_no_formula() -> None:
    memo = "text:=1+1"
    hostile = replace(DEPOSIT, memo="=cmd|' /C calc'!A0")
    rows = list(csv.DictReader(io.StringIO(statement(replace(DEPOSIT, memo=memo), hostile, PLANT).csv())))
    assert [row["kind"] for row in rows] == ["opening", "deposit", "deposit", "stake", "closing"]
    assert [row["available"] for row in rows] == ["3", "100", "100", "-40", "163"]
    assert [row["staked"] for row in rows] == ["0", "0", "0", "40", "40"]
    assert [row["memo"] for row in rows[1:3]] == [memo, "'=cmd|' /C calc'!A0"]
    assert rows[3]["fee_xlm"] == "7"


AMOUNTS = st.dictionaries(st.sampled_from(["available", "staked", "mint", "fees"]), st.integers(-(10**30), 10**30))


@given(st.lists(AMOUNTS, max_size=20))
def test_opening_and_entries_make_the_closing_balance_to_the_stroop(amounts: list[dict[str, int]]) -> None:
    whole = statement(*(entry("deposit", amounts=each) for each in amounts))
    for name in ("available", "staked"):
        assert whole.opening[name] + sum(each.get(name, 0) for each in amounts) == whole.closing[name]
    assert read_document(whole.signed(KEY)).statement.closing == whole.closing


def test_statement_that_the_chain_confirms_is_proven() -> None:
    verdict = verify(WHOLE, MOVEMENTS, Present(108, 12, BEGINS))
    assert (verdict.proven, verdict.differences, verdict.unproven) == (3, [], [])


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (statement(replace(DEPOSIT, amounts={"available": 99, "external": -99}), PLANT, HARVEST), "changed by 100"),
        (statement(DEPOSIT, replace(PLANT, block=6), HARVEST), "block 6: planted with a stake of None"),
        (statement(DEPOSIT, replace(PLANT, ledger=99), HARVEST), "it is in ledger 11, the statement says 99"),
        (statement(DEPOSIT, replace(PLANT, fee=1), HARVEST), "its fee was 7, the statement says 1"),
        (
            statement(DEPOSIT, PLANT, replace(HARVEST, amounts={"available": 45, "staked": -39, "mint": -6})),
            "the statement says 6 were rewards",
        ),
        (replace(WHOLE, closing={"available": 107, "staked": 0}), "opening and entries make 108"),
        (replace(WHOLE, opening={"available": 0, "staked": 0}), "the opening balance is 0, but ledger 10 began with 3"),
        (statement(DEPOSIT, HARVEST), "ledger 12 began with 63: a movement is missing"),
        (statement(PLANT, HARVEST), "the opening balance is 3, but ledger 11 began with 103"),
        (statement(DEPOSIT, entry("stake", B, 11, block=5, amounts={"available": 1})), "sum to 1, not to zero"),
    ],
)
def test_what_the_chain_says_otherwise_is_told(changed: Statement, text: str) -> None:
    named = {one.transaction for one in changed.entries}
    verdict = verify(changed, {name: movement for name, movement in MOVEMENTS.items() if name in named})
    assert any(text in difference for difference in verdict.differences), verdict.differences


def test_entry_without_a_transaction_is_listed_and_not_held_against_the_pool() -> None:
    loss = entry("loss", None, 20, block=5, reason="never_worked", amounts={"staked": -40, "loss": 40})
    verdict = verify(statement(DEPOSIT, PLANT, loss), {A: MOVEMENTS[A], B: MOVEMENTS[B]}, Present(63, 11, BEGINS))
    assert (verdict.proven, verdict.differences) == (2, [])
    assert verdict.unproven == ["loss of block 5 booked at 2026-11-01 00:00:00: no transaction did it"]


def test_transaction_that_the_rpc_no_longer_holds_is_no_difference() -> None:
    verdict = verify(WHOLE, MOVEMENTS | {A: None}, Present(108, 12, BEGINS))
    assert (verdict.proven, verdict.differences) == (2, [])
    assert "does not hold" in verdict.unproven[0]


@pytest.mark.parametrize(
    ("present", "differs", "open_end"),
    [
        (Present(63, 11, BEGINS), False, False),
        (Present(108, 12, BEGINS + timedelta(hours=1)), True, False),
        (Present(62, 11, BEGINS), True, False),
        (Present(108, 12, None), False, True),
        (Present(108, 12, BEGINS + timedelta(days=1)), False, True),
        (None, False, True),
    ],
)
def test_hidden_end_shows_in_the_account(present: Present | None, differs: bool, open_end: bool) -> None:
    verdict = verify(statement(DEPOSIT, PLANT), {A: MOVEMENTS[A], B: MOVEMENTS[B]}, present)
    assert (bool(verdict.differences), bool(verdict.unproven)) == (differs, open_end), verdict


def test_account_that_left_with_nothing_leaves_nothing_open() -> None:
    exit_ = entry("withdrawal", B, 11, amounts={"available": -103, "external": 103})
    movements = {A: MOVEMENTS[A], B: Movement(11, 1, successful=True, fee=7, before=103, after=0)}
    assert verify(statement(DEPOSIT, exit_), movements, None) == Verdict(2, [], [])


def test_failed_transaction_is_a_difference() -> None:
    verdict = verify(WHOLE, MOVEMENTS | {B: Movement(11, 1, successful=False, fee=7)})
    assert any("it failed" in text for text in verdict.differences)


def test_several_harvests_in_one_ledger_join_in_their_order() -> None:
    first = entry("harvest", A, 12, block=1, amounts={"available": 10, "staked": -10})
    second = entry("harvest", B, 12, block=2, amounts={"available": 5, "staked": -5})
    movements = {
        B: Movement(12, 9, successful=True, fee=1, before=13, after=18, emptied={2: 5}),
        A: Movement(12, 2, successful=True, fee=1, before=3, after=13, emptied={1: 10}),
    }
    assert verify(statement(second, first), movements).differences == []


def test_plant_of_nothing_is_proven_too() -> None:
    nothing = entry("stake", B, 11, block=5, amounts={})
    movements = {B: Movement(11, 1, successful=True, fee=7, planted={5: 0})}
    assert verify(statement(nothing), movements).proven == 1


def test_key_file_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "key.statement"
    first = StatementKey.open(path)
    assert StatementKey.open(path).public_key == first.public_key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().hex() not in repr(first) + str(vars(first))
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        StatementKey.open(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(KeyFileError, match="does not hold 32 bytes"):
        StatementKey.open(path)
    with pytest.raises(KeyFileError, match="cannot write"):
        StatementKey.open(tmp_path / "none" / "key")
    assert json.loads(WHOLE.signed(first))["signature"]["public_key"] == first.public_key.hex()
