"""In which ledger to work: first as early as a stake's safety asks for, at last as late as the chances allow."""

from fractions import Fraction

from kale_chain.model import Block
from kale_chain.planning.inputs import Chances
from kale_chain.planning.laws import Landings, works_in
from kale_chain.rewards import Scoring

YOUNG_RANGE = 2
"""Ledgers between the smallest and the largest gap from which on a range was made by more than a few farmers."""

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

    A gap above `block.max_gap` earns no more in this block. But it makes the next block's range, in which those who
    work earlier then score less: a ledger beyond counts as much as one before, except on a young farm, whose range
    tells nothing of the others yet.

    Args:
        block: Its ranges.
        last_safe: The last ledger in which the block surely is not over.
        chances: How long transactions take, and how long after `last_safe` the next block opens.
    """

    def __init__(self, block: Block, last_safe: int, chances: Chances) -> None:
        self._scoring = Scoring(block)
        self._max_gap = block.max_gap
        young = block.max_gap - block.min_gap < YOUNG_RANGE
        self._beyond = 0 if young else self._scoring.widest // block.max_gap
        self._last_safe = last_safe
        self._turnover = chances.turnover
        self._landings = Landings.of(chances.latency)
        self._known: dict[int, list[tuple[int, int, int, int]]] = {}
        self.deadline = last_safe + chances.turnover.longest
        # Before the first of these even the longest delay ends in time: earlier only makes the gap smaller.
        sure = last_safe + 1 - len(self._landings.weights)
        self._outcomes = {ledger: self._outcome(ledger) for ledger in range(sure, self.deadline + 1)}

    def final(self, planted: int, rest: int, fallback: int, first: int) -> int:
        """The ledger to aim the last work at: where it scores most on average, the earliest of equals.

        Args:
            planted: The ledger of the plant.
            rest: Parts of stake and zeros, in units of score.
            fallback: What remains if it comes too late: the score of the work before, or less the stake's worth.
            first: No ledger before this one; it is the answer if there is none left.
        """
        best, most = first, None
        for ledger, gaps, taken, missed in self._prospects(planted):
            worth = gaps + taken * rest + missed * fallback
            if ledger >= first and (most is None or worth > most):
                best, most = ledger, worth
        return best

    def chance_of_missing(self, ledger: int) -> Fraction:
        """The chance that a work aimed at `ledger` is not in its block."""
        taken, missed = self._outcome(ledger)
        return Fraction(missed, missed + sum(weight for _, weight in taken))

    def _outcome(self, ledger: int) -> tuple[list[tuple[int, int]], int]:
        """Weights of the ledgers that can take a work aimed at `ledger`, and the weight of none taking it."""
        certain = 2 * self._turnover.total
        taken, missed = [], self._landings.lost * certain
        for delay, weight in self._landings:
            chance = works_in(self._turnover, ledger + delay - self._last_safe - 1)
            taken.append((ledger + delay, weight * chance))
            missed += weight * (certain - chance)
        return taken, missed

    def _prospects(self, planted: int) -> list[tuple[int, int, int, int]]:
        """Each ledger to choose from, with the weighted sum of its gap parts, and the weights of taken and missed."""
        known = self._known.get(planted)
        if known is None:
            known = [
                (
                    ledger,
                    sum(weight * self._gap(late - planted) for late, weight in taken),
                    sum(weight for _, weight in taken),
                    missed,
                )
                for ledger, (taken, missed) in self._outcomes.items()
            ]
            self._known[planted] = known
        return known

    def _gap(self, gap: int) -> int:
        return self._scoring.gap(gap) + max(0, gap - self._max_gap) * self._beyond
