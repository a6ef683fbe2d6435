"""Predicted against actual: a line for each thing compared, and go or no-go."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kale_chain.model import STROOPS_PER_KALE
from kale_chain.rewards import reward
from kale_console.rehearsal.expected import EXPECTED, INCLUSION_STROOPS, OPENING_TOTAL
from kale_console.rehearsal.observed import Observed, Seen

_MUCH = 1.1
"""Fees this many times the predicted ones are worth a look."""
_TOO_MUCH = 1.5
"""And this many times stop the rehearsal from passing: what the pool expects of the network is wrong."""
_LEAST_ROOM = 0.05
"""The part of what is declared that should stay unused."""
_MOST_LEDGERS = 2
"""A plant after the opening, and a harvest after the next one."""
_PACE_SECONDS = (3.0, 8.0)
_KEPT_REASONS = 5


class Grade(StrEnum):
    """What a line means for the verdict."""

    GOOD = "good"
    LOOK = "look"
    """It passes, but somebody should know."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison.

    Attributes:
        area: resources, fees, results or times.
        name: What was compared.
        predicted: As text.
        actual: As text.
        grade: What it means.
        advice: What to do; empty where it is good.
    """

    area: str
    name: str
    predicted: str
    actual: str
    grade: Grade
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {name: str(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Verdict:
    """All lines; it is a go if none is bad."""

    lines: Sequence[Line]

    @property
    def go(self) -> bool:
        """Whether the pool may go live as it is."""
        return bool(self.lines) and all(line.grade != Grade.BAD for line in self.lines)

    @property
    def reasons(self) -> list[str]:
        """Why not, or what to look at."""
        kept = [line for line in self.lines if line.grade != Grade.GOOD]
        kept.sort(key=lambda line: line.grade != Grade.BAD)
        return [f"{line.area}, {line.name}: {line.actual} instead of {line.predicted}; {line.advice}" for line in kept]


def judge(observed: Observed) -> Verdict:
    """Everything that was seen, compared."""
    return Verdict([*_results(observed), *_resources(observed), *_fees(observed), *_times(observed)])


def _results(observed: Observed) -> Iterator[Line]:
    wanted = observed.wanted * len(observed.farmers)
    for function, word in (("plant", "planted"), ("work", "worked"), ("harvest", "harvested")):
        done = len(observed.pails(function))
        advice = "" if done == wanted else f"see what the backend's log says of them, and `kale-backend blame` ({word})"
        grade = Grade.GOOD if done == wanted else Grade.BAD
        yield Line("results", f"pails {word}", str(wanted), str(done), grade, advice)
    failed = observed.failed
    codes = ", ".join(sorted({one.transaction.operation_code or one.transaction.result_code for one in failed}))
    advice = "the ledger took the fee and did nothing: read the reasons in the log" if failed else ""
    grade = Grade.GOOD if not failed else Grade.LOOK
    yield Line("results", "calls that failed", "0", f"{len(failed)} {codes}".strip(), grade, advice)
    yield _rewards(observed)
    yield _balances(observed)


def _rewards(observed: Observed) -> Line:
    """What harvests paid against the reward computed from the block's record and the pail."""
    predicted = actual = wrong = 0
    for one in observed.of("harvest"):
        block, paid = observed.blocks.get(one.call.block_index), one.transaction.return_value
        if block is None or one.pail is None or not isinstance(paid, int):
            wrong += 1
            continue
        due = reward(block, one.call.block_index, one.pail)
        predicted, actual, wrong = predicted + due, actual + paid, wrong + (due != paid)
    grade = Grade.BAD if wrong else Grade.GOOD
    advice = f"{wrong} harvests differ: the farm's arithmetic is not what the planner thinks" if wrong else ""
    return Line("results", "rewards, KALE", _kale(predicted), _kale(actual), grade, advice)


def _balances(observed: Observed) -> Line:
    """Start, less stakes, and stakes and rewards of harvests, against what the farmers hold."""
    good = [one for one in observed.calls if one.transaction.successful]
    staked = sum(one.stake for one in good)
    back = sum(one.pail.stake for one in good if one.pail)
    rewards = sum(one.transaction.return_value or 0 for one in good if one.call.function == "harvest")
    due = sum(observed.start_balances.values()) - staked + back + rewards
    held = sum(observed.end_balances.values())
    grade = Grade.GOOD if due == held else Grade.BAD
    advice = "" if due == held else "somebody else moved KALE of these farmers, or a stake was lost"
    return Line("results", "balances, KALE", _kale(due), _kale(held), grade, advice)


def _resources(observed: Observed) -> Iterator[Line]:
    for kind, calls in _by_kind(observed):
        expected = EXPECTED[kind]
        charges = [one.transaction.charges for one in calls]
        known = [one for one in charges if one is not None]
        if not known:
            advice = "the RPC's meta carries no charges: use one that does for the rehearsal"
            yield Line("resources", kind, "charges", "none told", Grade.LOOK, advice)
            continue
        written = max(one.written_bytes for one in known)
        yield _room(f"{kind}, bytes written", expected.written_bytes, written, expected.declared.write_bytes)
        used = [one.instructions for one in known if one.instructions is not None]
        if used:
            declared = expected.declared.instructions
            yield _room(f"{kind}, instructions", declared, max(used), declared)


def _room(name: str, predicted: int, used: int, declared: int) -> Line:
    """What was used against what calls declare: beyond it they fail."""
    room = 1 - used / declared
    grade = Grade.GOOD if room >= _LEAST_ROOM else Grade.LOOK
    advice = "" if grade == Grade.GOOD else "little room is left: the next change of the contract may not fit"
    return Line("resources", name, f"{predicted:,} of {declared:,}", f"{used:,} ({room:.0%} left)", grade, advice)


def _fees(observed: Observed) -> Iterator[Line]:
    for kind, calls in _by_kind(observed):
        expected = EXPECTED[kind]
        usual = [one for one in calls if not one.opens]
        charges = [one.transaction.charges for one in usual]
        fixed = [one.non_refundable for one in charges if one is not None]
        if fixed:
            yield _cost(f"{kind}, for resources", expected.non_refundable, statistics.median(fixed))
        if usual:
            yield _cost(f"{kind}, in all", expected.total, statistics.median(_paid(usual)))
            yield _inclusion(kind, usual)
    opening = [one for one in observed.of("plant") if one.opens and one.call.block_index > 1]
    if opening:
        yield _cost("plant that opens a block", OPENING_TOTAL, statistics.median(_paid(opening)))


def _cost(name: str, predicted: int, actual: float) -> Line:
    times = actual / predicted
    grade = Grade.GOOD if times <= _MUCH else Grade.LOOK if times <= _TOO_MUCH else Grade.BAD
    advice = (
        "" if grade == Grade.GOOD else "the network charges more: see the cost table, FEE_CAP_STROOPS, the reserves"
    )
    return Line("fees", f"{name}, stroops", f"{predicted:,}", f"{actual:,.0f}", grade, advice)


def _inclusion(kind: str, calls: Sequence[Seen]) -> Line:
    """What was charged beyond resources: more than the least is surge, which passes."""
    charged = [
        one.transaction.fee_charged - one.transaction.charges.resource_fee for one in calls if one.transaction.charges
    ]
    most = max(charged, default=0)
    grade = Grade.GOOD if most <= INCLUSION_STROOPS else Grade.LOOK
    advice = "" if grade == Grade.GOOD else "others bid for the same ledgers; the caps on fees bound it"
    return Line("fees", f"{kind}, inclusion at most, stroops", f"{INCLUSION_STROOPS}", f"{most:,}", grade, advice)


def _times(observed: Observed) -> Iterator[Line]:
    pace = observed.clock.pace
    least, most = _PACE_SECONDS
    grade = Grade.GOOD if least <= pace.mean <= most else Grade.LOOK
    advice = "" if grade == Grade.GOOD else "ledgers close at another pace than usual: look again at another hour"
    yield Line("times", "seconds a ledger", f"{least:.0f} to {most:.0f}", f"{pace.mean:.2f}", grade, advice)
    for index in observed.indexes:
        predicted, opened = observed.predicted.get(index), observed.opened.get(index)
        if predicted is not None and opened is not None:
            well = predicted.earliest <= opened <= predicted.latest
            text = f"{predicted.earliest} to {predicted.latest}"
            advice = "" if well else "nobody planted in time, or ledgers changed their pace"
            yield Line("times", f"block {index} opens in ledger", text, str(opened), _look(well=well), advice)
    yield _late("plants after the opening, ledgers", _delays(observed, "plant", 0))
    yield _late("harvests after the next opening, ledgers", _delays(observed, "harvest", 1))


def _late(name: str, delays: Sequence[int]) -> Line:
    text = f"{min(delays)} to {max(delays)}" if delays else "none"
    well = bool(delays) and max(delays) <= _MOST_LEDGERS
    advice = "" if well else "the pool is slow to notice or to send: look at the machine, the RPC and the log"
    return Line("times", name, f"at most {_MOST_LEDGERS}", text, _look(well=well), advice)


def _look(*, well: bool) -> Grade:
    return Grade.GOOD if well else Grade.LOOK


def _delays(observed: Observed, function: str, later: int) -> list[int]:
    """Ledgers from the opening of the call's block, or of one `later`, to the call."""
    return [
        one.transaction.ledger - observed.opened[index]
        for one in observed.of(function)
        if (index := one.call.block_index + later) in observed.opened
    ]


def _by_kind(observed: Observed) -> Iterator[tuple[str, list[Seen]]]:
    calls = [one for function in ("plant", "work", "harvest") for one in observed.of(function)]
    for kind in EXPECTED:
        if found := [one for one in calls if one.kind == kind]:
            yield kind, found


def _paid(calls: Sequence[Seen]) -> list[int]:
    return [one.transaction.fee_charged for one in calls]


def _kale(stroops: int) -> str:
    return f"{stroops / STROOPS_PER_KALE:,.7f}"
