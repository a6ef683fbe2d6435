"""When to do what in a block, in seconds of ledger time.

A block lasts 300 s or a little longer; later work pays more, work after its end pays nothing and loses the stake
(the farm contract's rules). Hence a first, insuring work while there is time to repeat it, and the final one with
four ledgers of 5 s to spare.
"""

from dataclasses import dataclass
from enum import IntEnum

from kale_chain.model import BLOCK_SECONDS, Block, Farm

INSURE_BEFORE_END = BLOCK_SECONDS - 220
FINAL_BEFORE_END = BLOCK_SECONDS - 280
YOUNG_RANGE = 2
MAX_ZEROS = 64


class Stage(IntEnum):
    """Where a block stands; it only grows."""

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
    def of(cls, farm: Farm, block: Block) -> "BlockPlan":
        """The plan of the farm's current block. Its end counts from the instance's record, as the contract's does."""
        return cls(farm.index, farm.block.ends_at, block.entropy, target_zeros(block))

    def stage(self, ledger_time: int) -> Stage:
        """The stage of this block, while it is the farm's current one, once a ledger has closed at `ledger_time`."""
        left = self.ends_at - ledger_time
        if left > INSURE_BEFORE_END:
            return Stage.SEARCHING
        return Stage.INSURING if left > FINAL_BEFORE_END else Stage.FINAL


def target_zeros(block: Block) -> int:
    """Zeros beyond which a hash earns no more in `block`.

    Rewards clamp zeros to the block's range. A range under two zeros wide was made by few farmers (mostly ourselves),
    and the next block's range is being made now: then there is no target but the deadline.
    """
    young = block.max_zeros == 0 or block.max_zeros - block.min_zeros < YOUNG_RANGE
    return MAX_ZEROS if young else block.max_zeros


def plant_target(farm: Farm, *, open_block: bool, ledger_time: int) -> int | None:
    """The block that a plant applied after `ledger_time` would be in; None if planting is refused or comes too late.

    Args:
        farm: The farm's instance.
        open_block: Whether `Block(farm.index)` exists; it does not on a fresh farm.
        ledger_time: Close time of the last closed ledger, in seconds.
    """
    if farm.paused:
        return None
    index = farm.planted_index(ledger_time, block_exists=open_block)
    late = 0 < farm.block.ends_at - ledger_time <= INSURE_BEFORE_END
    return None if late and open_block and index == farm.index else index
