"""What a pooler must know of a block, and when it asks for plants. Times are seconds of ledger time."""

from dataclasses import dataclass
from enum import IntEnum

from kale_chain.clock import Pace
from kale_chain.model import BLOCK_SECONDS, Block, Farm, Ledger
from kale_chain.planning.works import WorkPlan

LATEST_PLANT_SECONDS = 220
"""Age of a block from which on nobody is planted in it: work needs what is left."""
ASKED_AHEAD = 2
"""Ledgers before the one that is expected to open the next block, from which on its plants are asked for."""


class Stage(IntEnum):
    """Where a farmer's work stands in its block."""

    SEARCHING = 0
    INSURING = 1
    FINAL = 2
    OVER = 3


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What a pooler must know of an open block.

    Attributes:
        index: The block's index.
        ends_at: Ledger time in seconds from which a plant opens the next block.
        entropy: 32 bytes in every work hash of the block.
        target_zeros: Zeros at which more earns nothing.
    """

    index: int
    ends_at: int
    entropy: bytes
    target_zeros: int

    @classmethod
    def of(cls, farm: Farm, block: Block, target_zeros: int) -> "BlockPlan":
        """The plan of the farm's current block. Its end counts from the instance's record, as the contract's does."""
        return cls(farm.index, farm.block.ends_at, block.entropy, target_zeros)


def stage(plan: WorkPlan, closed: int) -> Stage:
    """What to do for a pail once ledger `closed` has closed, since what is sent now is meant for the next ledger."""
    if closed + 1 >= plan.final_not_before:
        return Stage.FINAL
    if plan.insurance is not None and closed + 1 >= plan.insurance.ledger:
        return Stage.INSURING
    return Stage.SEARCHING


def plant_target(farm: Farm, *, open_block: bool, ledger: Ledger, pace: Pace) -> int | None:
    """The block to ask plants for now; None if planting is refused or comes too late.

    The next block is asked for a little before it can open, so that everything is ready when it does: in its first
    ledger a plant earns most, and where nobody else plants, ours must open it.

    Args:
        farm: The farm's instance.
        open_block: Whether `Block(farm.index)` exists; it does not on a fresh farm.
        ledger: The last closed ledger.
        pace: How fast ledgers close.
    """
    if farm.paused:
        return None
    index = farm.planted_index(ledger.close_time, block_exists=open_block)
    if index != farm.index or not open_block:
        return index
    if pace.opening(ledger, farm.block.ends_at).expected <= ledger.sequence + ASKED_AHEAD:
        return farm.index + 1
    late = farm.block.ends_at - ledger.close_time <= BLOCK_SECONDS - LATEST_PLANT_SECONDS
    return None if late else index
