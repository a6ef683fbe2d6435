"""What a rehearsal calls a go, and what it does not."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kale_chain.clock import Opening
from kale_chain.model import STROOPS_PER_KALE, Block, Ledger, Pail
from kale_chain.rewards import reward
from kale_chain.xdr.charges import Charges
from kale_chain.xdr.envelopes import FarmCall
from kale_console.rehearsal.expected import EXPECTED, OPENING_TOTAL
from kale_console.rehearsal.judging import Grade, judge
from kale_console.rehearsal.observed import Observed, Seen

ROOT = Path(__file__).resolve().parents[2]
FARMER = "GA"
INDEX = 7
STAKE = STROOPS_PER_KALE
OPENED = 1_000
PAIL = Pail(sequence=OPENED + 1, gap=50, stake=STAKE, zeros=6)
BLOCK = replace(
    Block.unseen(0).opened_at(0),
    min_zeros=4,
    max_zeros=8,
    min_gap=1,
    max_gap=60,
    min_stake=0,
    max_stake=STAKE,
    normalized_total=10**8,
)
REWARD = reward(BLOCK, INDEX, PAIL)


@dataclass(frozen=True)
class Landed:
    """As much of a transaction as a verdict asks for."""

    ledger: int
    fee_charged: int
    charges: Charges
    successful: bool = True
    return_value: Any = None
    operation_code: str | None = None
    result_code: str = "txSUCCESS"


def landed(kind: str, ledger: int, *, times: float = 1.0, written: int = 0, created: int = 0, paid: Any = None) -> Any:
    """A transaction that cost so many times what is expected."""
    expected = EXPECTED[kind]
    fixed = round(expected.non_refundable * times)
    rest = expected.total - 200 - expected.non_refundable
    charges = Charges(expected.declared, written or expected.written_bytes, created, fixed, rest, 0, 900_000)
    return Landed(ledger, fixed + rest + 200, charges, return_value=paid)


def observed(
    *, times: float = 1.0, written: int = 0, paid: int = REWARD, harvest_ledger: int = OPENED + 61
) -> Observed:
    """A block farmed by one farmer."""
    found = Observed((FARMER,), wanted=1, first_block=INDEX)
    for sequence in range(OPENED, OPENED + 60):
        found.clock.observe(Ledger(sequence, sequence * 5))
    found.calls = [
        Seen(FarmCall("plant", FARMER, INDEX), landed("plant", OPENED + 1, times=times, created=1), stake=STAKE),
        Seen(FarmCall("work", FARMER, INDEX), landed("work", OPENED + 50, written=written)),
        Seen(FarmCall("harvest", FARMER, INDEX), landed("harvest", harvest_ledger, paid=paid), pail=PAIL),
    ]
    found.opened = {INDEX: OPENED, INDEX + 1: OPENED + 60}
    found.predicted = {INDEX: Opening(OPENED, OPENED, OPENED + 1)}
    found.blocks = {INDEX: BLOCK}
    found.start_balances, found.end_balances = {FARMER: 10 * STAKE}, {FARMER: 10 * STAKE + REWARD}
    return found


def test_what_came_as_predicted_is_a_go_without_remarks() -> None:
    verdict = judge(observed())
    assert (verdict.go, verdict.reasons) == (True, [])
    assert {line.area for line in verdict.lines} == {"results", "resources", "fees", "times"}


@pytest.mark.parametrize(
    ("seen", "go", "said"),
    [
        (observed(times=1.3), True, "plant, for resources"),
        (observed(times=1.9), False, "plant, for resources"),
        (observed(written=1_980), True, "little room is left"),
        (observed(paid=REWARD - 1), False, "1 harvests differ"),
        (observed(harvest_ledger=OPENED + 64), True, "harvests after the next opening"),
    ],
)
def test_what_differs_is_told_and_stops_it_where_it_must(seen: Observed, go: bool, said: str) -> None:
    verdict = judge(seen)
    assert verdict.go is go
    assert any(said in reason for reason in verdict.reasons), verdict.reasons


def test_a_missing_harvest_or_kale_is_a_no_go() -> None:
    unharvested = observed()
    unharvested.calls.pop()
    assert not judge(unharvested).go
    moved = observed()
    moved.end_balances = {FARMER: 1}
    assert [line.name for line in judge(moved).lines if line.grade is Grade.BAD] == ["balances, KALE"]
    assert not judge(Observed((FARMER,), wanted=1)).go, "nothing seen proves nothing"


def test_expected_costs_are_those_of_the_page() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    told = {
        name: int(re.findall(rf"\| {name} \| ([0-9,]+)", page)[0].replace(",", ""))
        for name in EXPECTED
        if "out" not in name
    }
    assert told == {name: one.total for name, one in EXPECTED.items() if name in told}
    assert f"(the one that opens a block {OPENING_TOTAL:,})" in page
