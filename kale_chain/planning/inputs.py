"""What plans are made from."""

from dataclasses import dataclass
from fractions import Fraction

from kale_chain.model import Block
from kale_chain.planning.laws import LATENCY, TURNOVER, Law

LEDGER_CAPACITY = 100
"""Transactions of ours that one ledger surely takes, for want of anything measured."""

_PRIOR_PAILS = 2_000
_PRIOR_LOST = 1


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """When a block begins and ends, in ledger sequences.

    Attributes:
        opening_ledger: The ledger that opened the block or, before that, is expected to.
        last_safe_ledger: The last in which the block surely is not over: the one after it may open the next block.
        spread: By how many ledgers that may come later, for all that is known of the pace of ledgers.
    """

    opening_ledger: int
    last_safe_ledger: int
    spread: int = 0

    @property
    def first_turnover(self) -> int:
        """The first ledger that can open the next block."""
        return self.last_safe_ledger + 1


@dataclass(frozen=True, slots=True)
class LossHistory:
    """Pails planted lately and how many of them were never worked, whatever their stake."""

    planted: int = 0
    lost: int = 0

    @property
    def chance(self) -> Fraction:
        """The chance of losing a stake: a little above what was seen, and 1 in 2,000 before anything was."""
        return Fraction(min(self.lost, self.planted) + _PRIOR_LOST, self.planted + _PRIOR_PAILS)


@dataclass(frozen=True, slots=True)
class Fees:
    """What a farmer's transactions of one block cost at present, in stroops of XLM each."""

    plant: int = 0
    work: int = 0
    harvest: int = 0

    @property
    def block(self) -> int:
        """A plant, two works and a harvest."""
        return self.plant + 2 * self.work + self.harvest


@dataclass(frozen=True, slots=True)
class Chances:
    """What was learned of the network.

    Attributes:
        latency: Ledgers between the one a transaction is aimed at and the one that applies it.
        turnover: Ledgers between the first that can open the next block and the one that does.
        ledger_capacity: How many of our transactions one ledger takes.
    """

    latency: Law = LATENCY
    turnover: Law = TURNOVER
    ledger_capacity: int = LEDGER_CAPACITY

    def __post_init__(self) -> None:
        if self.ledger_capacity < 1:
            raise ValueError(f"a ledger takes 1 transaction or more, got {self.ledger_capacity}")


@dataclass(frozen=True, slots=True)
class Market:
    """What a block has to share, and what KALE is worth.

    Attributes:
        pot: Stroops of KALE that the block pays in all (`rewards.base_reward`).
        rivals: Score of all other farmers, in units of the block's widest range (last block's `normalized_total` less
            ours, over its `Scoring.widest`); 0 if unknown.
        floor_price: Stroops of XLM that a stroop of KALE is worth at the least; None: do not weigh fees against it.
    """

    pot: int
    rivals: Fraction = Fraction(0)
    floor_price: Fraction | None = None


@dataclass(frozen=True, slots=True)
class PlantView:
    """What plants are planned from.

    Attributes:
        index: The block to plant in.
        block: Its ranges: `Farm.block.opened_at(…)` before it opens.
        paused: Whether the farm refuses plants.
        clock: When it opens and ends.
        market: What it pays.
        hashes_per_second: Of all poolers that will work for these farmers.
        seconds: The block's expected length.
        fees: What it costs.
        losses: How many of our pails were lost so far.
        chances: What was learned of the network.
        lone: Whether our farmers made most of the block's ranges.
        harvest_after_blocks: Blocks to wait before the harvest, 1 or more.
        pail_life: Ledgers that a pail lives.
    """

    index: int
    block: Block
    clock: ClockEstimate
    market: Market
    hashes_per_second: int
    paused: bool = False
    seconds: int = 300
    fees: Fees = Fees()
    losses: LossHistory = LossHistory()
    chances: Chances = Chances()
    lone: bool = False
    harvest_after_blocks: int = 1
    pail_life: int = 720


@dataclass(frozen=True, slots=True)
class Candidate:
    """A farmer who may be planted.

    Attributes:
        farmer: The farmer's address.
        allowed_stroops: The most that may be staked: what the farmer's own setting allows of the free balance.
    """

    farmer: str
    allowed_stroops: int


@dataclass(frozen=True, slots=True)
class WorkView:
    """What works are planned from.

    Attributes:
        index: The block.
        block: Its ranges.
        clock: When it began and ends.
        ledger: The last closed ledger.
        market: What it pays.
        work_fee: Stroops of XLM that a work costs.
        chances: What was learned of the network.
        lone: Whether our farmers made most of the block's ranges.
    """

    index: int
    block: Block
    clock: ClockEstimate
    ledger: int
    market: Market
    work_fee: int = 0
    chances: Chances = Chances()
    lone: bool = False


@dataclass(frozen=True, slots=True)
class OpenPail:
    """A planted farmer of ours.

    Attributes:
        farmer: The farmer's address.
        index: The block planted in.
        planted_ledger: The ledger of the plant.
        stake_stroops: The stake.
        best_zeros: Zeros of the best find; None before the first.
        accepted_zeros: Zeros the pail holds; None before an accepted work.
        accepted_gap: Its gap.
    """

    farmer: str
    index: int
    planted_ledger: int
    stake_stroops: int
    best_zeros: int | None = None
    accepted_zeros: int | None = None
    accepted_gap: int | None = None
