"""The other farmers, and the blocks they make."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from math import exp
from pathlib import Path
from random import Random

from kale_chain.model import BLOCK_SECONDS, Block
from kale_chain.planning.laws import Law
from kale_chain.rewards import Scoring
from simulator.planner import scenarios
from simulator.planner.scenarios import BLOCK_LEDGERS, LEDGER_SECONDS, Scenario, draw

RECORDED_BLOCKS = Path(__file__).parents[2] / "tests" / "vectors" / "mainnet_blocks_2024_12.csv"

_AT_ONCE = (2, 9)
_SHARES = (0.25, 0.60, 0.85)
_WAITS = (180 // LEDGER_SECONDS, 240 // LEDGER_SECONDS)
_DAWDLE = 6


@dataclass(slots=True)
class Rivals:
    """What the other farmers did in a block: how many had each gap, zeros and stake.

    Attributes:
        gaps: Of accepted works, in ledgers.
        zeros: Of accepted works.
        stakes: Of worked pails, in stroops.
        unworked: Stakes of pails that were not worked, in stroops.
        fixed_score: Score of others yet, of whom only the sum is known.
    """

    gaps: Counter[int] = field(default_factory=Counter)
    zeros: Counter[int] = field(default_factory=Counter)
    stakes: Counter[int] = field(default_factory=Counter)
    unworked: Counter[int] = field(default_factory=Counter)
    fixed_score: int = 0

    def score(self, scoring: Scoring) -> int:
        """Their normalized sums together."""
        return (
            self.fixed_score
            + _sum(self.gaps, {gap: scoring.gap(gap) for gap in self.gaps})
            + _sum(self.zeros, {zeros: scoring.zeros(zeros) for zeros in self.zeros})
            + _sum(self.stakes, {stake: scoring.stake(stake) for stake in self.stakes})
        )

    @property
    def lost(self) -> int:
        """Stroops of stakes that nobody worked for."""
        return sum(stake * count for stake, count in self.unworked.items())


def _sum(counts: Counter[int], parts: Mapping[int, int]) -> int:
    return sum(count * parts[value] for value, count in counts.items())


@dataclass(frozen=True, slots=True)
class Setting:
    """A block as it will come, whatever our farmers do in it.

    Attributes:
        index: The block's index.
        first_turnover: The first ledger that can open the next block, counted from the one that opened this.
        turnover: The ledger that does.
        seconds: Ledger time from one ledger to the next.
        rivals: The other farmers' part.
        ranges: The block's ranges if they are given; None: as the block before made them.
    """

    index: int
    first_turnover: int
    turnover: int
    seconds: float
    rivals: Rivals
    ranges: Block | None = None


def settings(scenario: Scenario, seed: int, blocks: int) -> Iterator[Setting]:
    """The blocks of a scenario, from other farmers drawn at random."""
    random = Random(f"{scenario.name}/{seed}/rivals")  # noqa: S311 - a simulation
    habits = [_stake_of(number, random) for number in range(scenario.rivals)]
    for number in range(blocks):
        delay = draw(scenario.turnover, random)
        assert delay is not None
        turnover = BLOCK_LEDGERS + delay
        rivals = _drawn(habits, turnover, scenario.latency, random)
        yield Setting(scenario.first_index + number, BLOCK_LEDGERS, turnover, LEDGER_SECONDS, rivals)


def recorded_settings(blocks: int, *, skip: int = 0) -> Iterator[Setting]:
    """Blocks recorded from the public network, with the ranges and scores that they had.

    A block's length in ledgers follows from the largest gap in it, which the next block has as its `max_gap`. There
    are 679; fewer come if more are asked for.

    Args:
        blocks: How many.
        skip: How many to leave out before them.
    """
    with RECORDED_BLOCKS.open(encoding="utf-8") as lines:
        rows = [{name: int(text) for name, text in row.items() if name != "entropy"} for row in csv.DictReader(lines)]
    usable = (
        (row, following)
        for row, following in pairwise(rows)
        if following["block_index"] == row["block_index"] + 1 and row["max_gap"]
    )
    for row, following in islice(usable, skip, skip + blocks):
        seconds = following["timestamp"] - row["timestamp"]
        ledgers = following["max_gap"] + 1
        yield Setting(
            index=row["block_index"],
            first_turnover=min(ledgers, -(-BLOCK_SECONDS * ledgers // seconds)),
            turnover=ledgers,
            seconds=seconds / ledgers,
            rivals=Rivals(fixed_score=row["normalized_total"]),
            ranges=_block(row),
        )


def _block(row: Mapping[str, int]) -> Block:
    return replace(
        Block.unseen(row["timestamp"]),
        min_gap=row["min_gap"],
        max_gap=row["max_gap"],
        min_stake=row["min_stake"],
        max_stake=row["max_stake"],
        min_zeros=row["min_zeros"],
        max_zeros=row["max_zeros"],
        staked_total=row["staked_total"],
    )


def _stake_of(number: int, random: Random) -> int:
    """What a farmer stakes in every block, in stroops."""
    if number == 0:
        return scenarios.WHALE_STAKE
    ticket = random.random()
    if ticket < scenarios.STAKELESS_SHARE:
        return 0
    if ticket < scenarios.STAKELESS_SHARE + scenarios.LARGE_SHARE:
        return scenarios.LARGE_STAKE
    return int(scenarios.USUAL_STAKE * exp(random.gauss(0, scenarios.SPREAD_OF_STAKES)))


def _drawn(habits: list[int], turnover: int, latency: Law, random: Random) -> Rivals:
    rivals = Rivals()
    for stake in habits:
        planted = draw(scenarios.LATE_PLANTS, random)
        assert planted is not None
        worked = _worked(planted, turnover, latency, random)
        if worked is None:
            rivals.unworked[stake] += 1
            continue
        zeros = draw(scenarios.ZEROS, random)
        assert zeros is not None
        rivals.gaps[worked - planted] += 1
        rivals.zeros[zeros] += 1
        rivals.stakes[stake] += 1
    return rivals


def _worked(planted: int, turnover: int, latency: Law, random: Random) -> int | None:
    """The ledger that accepts a farmer's work; None if none does."""
    if random.random() < scenarios.IDLE_SHARE:
        return None
    ticket = random.random()
    if ticket < _SHARES[0]:
        aimed = planted + random.randrange(*_AT_ONCE)
    elif ticket < _SHARES[1]:
        aimed = _WAITS[0] + random.randrange(_DAWDLE)
    elif ticket < _SHARES[2]:
        aimed = _WAITS[1] + random.randrange(_DAWDLE)
    else:
        aimed = BLOCK_LEDGERS - 2
    return applied(aimed, turnover, latency, random)


def applied(aimed: int, turnover: int, latency: Law, random: Random) -> int | None:
    """The ledger that accepts a work aimed at `aimed`; None if the block was over or no ledger took it.

    What is lost is sent once more a ledger later. In the ledger that opens the next block half of the works come first.
    """
    ledger = landed(aimed, latency, random)
    if ledger is None or ledger > turnover or (ledger == turnover and random.random() < 0.5):  # noqa: PLR2004 - half
        return None
    return ledger


def landed(aimed: int, latency: Law, random: Random) -> int | None:
    """The ledger that applies a transaction aimed at `aimed`; what is lost is sent once more a ledger later."""
    for again in range(2):
        delay = draw(latency, random)
        if delay is not None:
            return aimed + again + delay
    return None
