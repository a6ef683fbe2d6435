"""What is simulated: sizes of farms, and the laws of their network and of the other farmers."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from kale_chain.model import STROOPS_PER_KALE
from kale_chain.planning.laws import LATENCY, Law

LEDGER_SECONDS = 5
BLOCK_LEDGERS = 60
"""The first ledger that can open the next block, counted from the one that opened this."""

USUAL_TURNOVER = Law(counts=(50, 25, 15, 10))
SLOW_TURNOVER = Law(counts=(0, 5, 15, 25, 40, 15))

LATE_PLANTS = Law(counts=(35, 35, 15, 7, 5, 3))
"""Ledgers by which other farmers plant after the opening."""

ZEROS = Law(counts=(0, 0, 0, 0, 0, 5, 25, 25, 35, 10))
"""Zeros that other farmers hand in."""

WHALE_STAKE = 1_300 * STROOPS_PER_KALE
LARGE_STAKE = 200 * STROOPS_PER_KALE
LARGE_SHARE = 0.02
STAKELESS_SHARE = 0.60
USUAL_STAKE = 5 * STROOPS_PER_KALE
SPREAD_OF_STAKES = 1.0
"""Of the logarithm of stakes, and of our farmers' first balances."""

IDLE_SHARE = 0.03
"""Of other farmers' pails that are never worked."""

START_BALANCE = 50 * STROOPS_PER_KALE
"""Median of what our farmers begin with; what they earn stays with them."""

LEDGER_CAPACITY = 170
"""Transactions of ours that a ledger takes."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One farm.

    Attributes:
        name: For tables.
        rivals: Other farmers.
        farmers: Ours.
        hashes_per_second: Of our poolers together.
        turnover: Ledgers between the first that can open the next block and the one that does.
        latency: Ledgers between the one a transaction is aimed at and the one that applies it.
        ledger_capacity: How many of our transactions a ledger takes.
        first_index: The index of the first block.
    """

    name: str
    rivals: int
    farmers: int
    hashes_per_second: int
    turnover: Law = USUAL_TURNOVER
    latency: Law = LATENCY
    ledger_capacity: int = LEDGER_CAPACITY
    first_index: int = 11_023


SCENARIOS: Sequence[Scenario] = (
    Scenario("100/10/5", 100, 10, 5_000_000),
    Scenario("300/20/50", 300, 20, 50_000_000),
    Scenario("300/20/50 slow", 300, 20, 50_000_000, SLOW_TURNOVER),
    Scenario("1000/50/50", 1_000, 50, 50_000_000),
    Scenario("1000/200/500", 1_000, 200, 500_000_000),
    Scenario("3000/500/2000", 3_000, 500, 2_000_000_000),
)
"""Named other farmers / our farmers / millions of hashes a second."""

RECORDED = Scenario("recorded", 0, 20, 50_000_000)
"""The sizes of ours on the blocks that were recorded from the public network."""


def draw(law: Law, random: Random) -> int | None:
    """A delay in ledgers as the law has it; None for a transaction that is lost."""
    ticket = random.randrange(law.total)
    for delay, count in enumerate(law.counts):
        if ticket < count:
            return delay
        ticket -= count
    return None
