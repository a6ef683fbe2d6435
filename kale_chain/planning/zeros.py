"""Leading zero nibbles: how many are worth searching for, for whom, and how many a budget of hashes brings.

A hash has `z` zeros or more once in 16^z tries, whatever was tried before.
"""

from collections.abc import Iterable
from fractions import Fraction

from kale_chain.model import Block
from kale_chain.planning.inputs import OpenPail

MAX_ZEROS = 64
YOUNG_RANGE = 2


def target_zeros(block: Block, *, lone: bool = False) -> int:
    """Zeros beyond which a hash earns no more in `block`.

    Rewards clamp zeros to the block's range. A range under two zeros wide was made by few farmers, and on a lone farm
    by our own; the next block's range is being made now, so there is no target then but the deadline.

    Args:
        block: The block's ranges.
        lone: Whether our farmers made most of that range.
    """
    young = block.max_zeros == 0 or block.max_zeros - block.min_zeros < YOUNG_RANGE
    return MAX_ZEROS if young or lone else min(block.max_zeros, MAX_ZEROS)


def search_order(pails: Iterable[OpenPail], target: int) -> list[OpenPail]:
    """Those still worth searching for, the one with the fewest zeros first.

    One more zero earns everyone the same, and costs sixteen times as many hashes for each zero already found. Equals
    are ordered by stake, the higher first, then by address.
    """
    wanted = (pail for pail in pails if pail.best_zeros is None or pail.best_zeros < target)
    return sorted(wanted, key=lambda pail: (_found(pail), -pail.stake_stroops, pail.farmer))


def _found(pail: OpenPail) -> int:
    return -1 if pail.best_zeros is None else pail.best_zeros


def expected_zeros(hashes: int, farmers: int, target: int) -> Fraction:
    """Zeros a farmer ends up with on average, if so many hashes go to the one with the fewest at every moment.

    To bring a farmer above `z` zeros takes 16^(z+1) hashes on average; 1 in 16 of those who get there is above it by
    more. This counts whole levels for all and lets the rest of the budget lift a part of them.

    Args:
        hashes: Tried in all.
        farmers: Who share them, 1 or more.
        target: Nobody is searched for beyond it.
    """
    left = Fraction(hashes, farmers)
    for zeros in range(target):
        cost = Fraction(15 * 16 ** (zeros + 1), 16)
        if left < cost:
            return zeros + left / cost
        left -= cost
    return Fraction(target)
