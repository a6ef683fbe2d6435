"""What a block paid the pool, what it would have paid for other pails, and what the difference is made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from kale_chain.model import Block, Pail
from kale_chain.rewards import Scoring, base_reward, reward


@dataclass(frozen=True, slots=True)
class Parts:
    """A score in the parts it is made of."""

    gap: int = 0
    zeros: int = 0
    stake: int = 0

    @classmethod
    def of(cls, scoring: Scoring, pail: Pail) -> Self:
        """The parts of a pail's score; none of one that was never worked."""
        if pail.gap is None or pail.zeros is None:
            return cls()
        return cls(scoring.gap(pail.gap), scoring.zeros(pail.zeros), scoring.stake(pail.stake))

    @property
    def score(self) -> int:
        """All together."""
        return self.gap + self.zeros + self.stake


@dataclass(frozen=True, slots=True)
class Left:
    """Stroops of KALE left on the table, by what they were left for."""

    gap: int
    zeros: int
    stake: int
    unworked: int
    """For pails that were not planted, or never worked."""


class Finished:
    """A block that is over.

    Args:
        index: The block's index.
        block: Its final record.
        pails: Our farmers' pails in it, as they were last seen.
    """

    def __init__(self, index: int, block: Block, pails: Mapping[str, Pail]) -> None:
        self._index = index
        self._block = block
        self._pails = pails
        self._scoring = Scoring(block)
        ours = sum(Parts.of(self._scoring, pail).score for pail in pails.values())
        # A work that replaced an earlier one may have counted for more than its score: a flaw of the contract, which is
        # left out of account here.
        self._rivals = max(block.normalized_total - ours, 0)
        lost = sum(pail.stake for pail in pails.values() if not pail.worked)
        self._pot = base_reward(index) + max(block.staked_total - lost, 0)

    @property
    def earned(self) -> int:
        """Stroops that harvests of our pails pay beside their stakes, less the stakes that were lost."""
        worked = [pail for pail in self._pails.values() if pail.worked]
        lost = sum(pail.stake for pail in self._pails.values() if not pail.worked)
        return sum(reward(self._block, self._index, pail) for pail in worked) - lost

    def income(self, pails: Iterable[Pail]) -> int:
        """Stroops that other pails of ours would have earned, everybody else doing what they did."""
        ours = list(pails)
        lost = sum(pail.stake for pail in ours if not pail.worked)
        score = sum(Parts.of(self._scoring, pail).score for pail in ours)
        return int(Fraction(score * (self._pot + lost), max(self._rivals + score, 1))) - lost

    def left(self, best: Mapping[str, Pail]) -> Left:
        """What the pool has left on the table against these pails, by the parts of the scores that differ.

        The parts add up to the difference of the incomes.
        """
        gaps = {"gap": 0, "zeros": 0, "stake": 0, "unworked": 0}
        for farmer, pail in best.items():
            could, did = Parts.of(self._scoring, pail), Parts.of(self._scoring, self._pails.get(farmer, _NOTHING))
            if not did.score:
                gaps["unworked"] += could.score
                continue
            for name in ("gap", "zeros", "stake"):
                gaps[name] += getattr(could, name) - getattr(did, name)
        missing = self.income(best.values()) - self.income(self._pails.values())
        unit = Fraction(missing, total) if (total := sum(gaps.values())) else Fraction(0)
        return Left(**{name: int(gap * unit) for name, gap in gaps.items()})


_NOTHING = Pail(sequence=0, gap=None, stake=0, zeros=None)
