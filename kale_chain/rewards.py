"""What a block pays, in the contract's exact integer arithmetic. Source of every formula: the farm contract."""

from functools import lru_cache

from kale_chain.errors import FarmError, FarmErrorCode
from kale_chain.model import STROOPS_PER_KALE, Block, Pail

FIRST_REWARD_STROOPS = 501 * 5 * STROOPS_PER_KALE
DECAY_START_INDEX = 30_558
DECAY_BLOCKS = 8_640
_ONE = 10**12
_DECAY = 95 * 10**10


@lru_cache(maxsize=64)
def _decayed(steps: int) -> int:
    ratio = _ONE
    for _ in range(steps):
        ratio = ratio * _DECAY // _ONE
    return FIRST_REWARD_STROOPS * ratio // _ONE


def base_reward(index: int) -> int:
    """Stroops minted for block `index`: 2,505 KALE, times 0.95 for every full 8,640 blocks after block 30558.

    The ratio is rounded down to 12 decimals at every step, as the contract does.
    """
    return _decayed(max(0, index - DECAY_START_INDEX) // DECAY_BLOCKS)


class Scoring:
    """Scores in one block: gap, stake and zeros, each scaled from the block's own range to the widest of the three.

    Args:
        block: The block worked in (not the farm's instance record).

    Attributes:
        widest: The widest of the three ranges, at least 1; a part is at most this.

    Raises:
        FarmError: `BLOCK_INVALID` where a maximum lies below its minimum.
    """

    def __init__(self, block: Block) -> None:
        self._gaps = (block.min_gap, block.max_gap)
        self._stakes = (block.min_stake, block.max_stake)
        self._zeros = (block.min_zeros, block.max_zeros)
        spans = [high - low for low, high in (self._gaps, self._stakes, self._zeros)]
        if min(spans) < 0:
            raise FarmError(FarmErrorCode.BLOCK_INVALID)
        self.widest = max(1, *spans)

    def gap(self, ledgers: int) -> int:
        """The part of a gap."""
        return self._part(ledgers, *self._gaps)

    def stake(self, stroops: int) -> int:
        """The part of a stake."""
        return self._part(stroops, *self._stakes)

    def zeros(self, zeros: int) -> int:
        """The part of so many leading zero nibbles."""
        return self._part(zeros, *self._zeros)

    def score(self, gap: int, stake: int, zeros: int) -> int:
        """The normalized sum of a pail: its three parts together."""
        return self.gap(gap) + self.stake(stake) + self.zeros(zeros)

    def _part(self, value: int, low: int, high: int) -> int:
        return max(1, (min(max(value, low), high) - low) * self.widest // max(1, high - low))


def normalized_sum(block: Block, gap: int, stake: int, zeros: int) -> int:
    """A pail's score in `block`: `Scoring.score`.

    Args:
        block: The block worked in (not the farm's instance record).
        gap: Ledgers from plant to work.
        stake: Stroops.
        zeros: Leading zero nibbles.

    Raises:
        FarmError: `BLOCK_INVALID` where a maximum lies below its minimum.
    """
    return Scoring(block).score(gap, stake, zeros)


def reward(block: Block, index: int, pail: Pail) -> int:
    """Stroops a harvest of `pail` pays beside its stake.

    The pail's share of the block's scores, of the block's base reward and the stakes nobody worked for.

    Raises:
        FarmError: `WORK_MISSING` if the pail was never worked, `BLOCK_INVALID` as `normalized_sum`.
    """
    if pail.gap is None or pail.zeros is None:
        raise FarmError(FarmErrorCode.WORK_MISSING)
    score = normalized_sum(block, pail.gap, pail.stake, pail.zeros)
    return score * (base_reward(index) + block.staked_total) // max(1, block.normalized_total)
