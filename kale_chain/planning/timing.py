"""In which ledger to work: first as early as a stake's safety asks for, at last as late as the chances allow."""

from fractions import Fraction

from kale_chain.planning.inputs import Chances
from kale_chain.planning.laws import Landings, works_in
from kale_chain.rewards import Scoring

RISK = Fraction(1, 10**7)
"""The chance that a pail is not insured in time."""

LEDGERS_A_TRY = 4
"""A transaction may be applied in three ledgers; a ledger later it is known to be lost and can be built anew."""

_MOST_TRIES = 8


def tries_needed(chances: Chances) -> int:
    """Transactions, one after another, of which one is applied but for `RISK`; at most 8."""
    latency = chances.latency
    lost = Fraction(max(latency.lost, 1), latency.total + (latency.lost == 0))
    tries, risk = 1, lost
    while risk > RISK and tries < _MOST_TRIES:
        tries, risk = tries + 1, risk * lost
    return tries


def insured_by(last_safe: int, chances: Chances) -> int:
    """The last ledger to aim a first work at: later, it is not as good as certain to be applied in its block.

    Args:
        last_safe: The last ledger in which the block surely is not over.
        chances: How often transactions are lost.
    """
    return last_safe - tries_needed(chances) * LEDGERS_A_TRY


class Timing:
    """Weighs ledgers for a block's last works.

    Args:
        scoring: The block's.
        last_safe: The last ledger in which the block surely is not over.
        chances: How long transactions take, and how long after `last_safe` the next block opens.
    """

    def __init__(self, scoring: Scoring, last_safe: int, chances: Chances) -> None:
        self._scoring = scoring
        self._last_safe = last_safe
        self._turnover = chances.turnover
        self._landings = Landings.of(chances.latency)
        self._sure = last_safe + 1 - len(self._landings.weights)
        self.deadline = last_safe + chances.turnover.longest

    def final(self, planted: int, rest: int, fallback: int, first: int) -> int:
        """The ledger to aim the last work at: where it scores most on average, the earliest of equals.

        Args:
            planted: The ledger of the plant.
            rest: Parts of stake and zeros, in units of score.
            fallback: What remains if it comes too late: the score of the work before, or less the stake's worth.
            first: No ledger before this one; it is the answer if there is none left.
        """
        # Before `_sure` even the longest delay ends in time: earlier only makes the gap smaller.
        ledgers = range(max(first, self._sure), self.deadline + 1)
        return max(ledgers, key=lambda ledger: (self.worth(ledger, planted, rest, fallback), -ledger), default=first)

    def worth(self, ledger: int, planted: int, rest: int, fallback: int) -> int:
        """Average score of a work aimed at `ledger`, times a number that is the same for all ledgers."""
        certain = 2 * self._turnover.total
        worth = self._landings.lost * certain * fallback
        for delay, weight in self._landings:
            applied = ledger + delay
            taken = works_in(self._turnover, applied - self._last_safe - 1)
            score = self._scoring.gap(applied - planted) + rest
            worth += weight * (taken * score + (certain - taken) * fallback)
        return worth

    def chance_of_missing(self, ledger: int) -> Fraction:
        """The chance that a work aimed at `ledger` is not in its block."""
        certain = 2 * self._turnover.total
        whole = (self._landings.lost + sum(weight for _, weight in self._landings)) * certain
        taken = sum(
            weight * works_in(self._turnover, ledger + delay - self._last_safe - 1) for delay, weight in self._landings
        )
        return 1 - Fraction(taken, whole)
