"""How much to stake: all that is allowed, or nothing."""

from fractions import Fraction

from kale_chain.model import Block
from kale_chain.rewards import Scoring


def stake(block: Block, allowed: int, *, unit: Fraction, share: Fraction, loss: Fraction) -> int:
    """The stake, in stroops: the most that earns anything if it earns more than is lost on average, else 0.

    A stake adds its part to the score, of which the pool gets back what it does not take from its own farmers; it is
    lost with the pail. Both grow in proportion to the stake, so a smaller one is never better. Above `block.max_stake`
    nothing is earned.

    Args:
        block: The block's ranges.
        allowed: The most that the farmer allows, in stroops.
        unit: Stroops of reward per unit of score.
        share: The pool's own share of all scores, 0 to 1.
        loss: The chance of losing a stake, below 1.
    """
    most = min(allowed, block.max_stake)
    if most <= 0:
        return 0
    scoring = Scoring(block)
    earned = (scoring.stake(most) - scoring.stake(0)) * unit * (1 - share) * (1 - loss)
    return most if earned > loss * most else 0
