"""Searches for nonces, drawn from the distribution of what so many hashes find.

A hash has more than `z` zeros once in 16^(z+1) tries, whatever was tried before: the hashes to the next better find
are exponentially distributed, and a better find has each further zero once in 16.
"""

from collections.abc import Sequence
from heapq import heapify, heapreplace
from random import Random
from typing import Protocol

_NIBBLE = 16


class Search(Protocol):
    """The search for all farmers of a pool in one block."""

    finds: Sequence[list[int]]
    """For each farmer the zeros of every find, each more than the one before; the first has 0."""

    def advance(self, hashes: float) -> None:
        """Goes on until so many hashes were tried in all, since the beginning."""


class FewestFirst:
    """Every hash goes to the farmer with the fewest zeros.

    Args:
        random: Where luck comes from.
        farmers: How many there are.
        target: Nobody is searched for beyond it.
    """

    def __init__(self, random: Random, farmers: int, target: int) -> None:
        self.finds: Sequence[list[int]] = [[0] for _ in range(farmers)]
        self._random = random
        self._target = target
        self._queue = [(0, number) for number in range(farmers)]
        heapify(self._queue)
        self._done = 0.0
        self._step = self._hashes(0)

    def advance(self, hashes: float) -> None:
        """Goes on until so many hashes were tried in all."""
        while self._queue and self._queue[0][0] < self._target and self._done + self._step <= hashes:
            zeros, number = self._queue[0]
            self._done += self._step
            zeros = better(zeros, self._random)
            self.finds[number].append(zeros)
            heapreplace(self._queue, (zeros, number))
            self._step = self._hashes(self._queue[0][0])

    def _hashes(self, zeros: int) -> float:
        """Hashes to the next find; with enough zeros they are the next farmer's."""
        return self._random.expovariate(1) * float(_NIBBLE ** (zeros + 1))


class EqualSplit:
    """Every farmer has the same part of the hashes, to the end.

    Args:
        random: Where luck comes from.
        farmers: How many there are.
        target: Nobody is searched for beyond it.
    """

    def __init__(self, random: Random, farmers: int, target: int) -> None:
        self.finds: Sequence[list[int]] = [[0] for _ in range(farmers)]
        self._random = random
        self._target = target
        self._next = [self._hashes(0) for _ in range(farmers)]
        self._done = 0.0

    def advance(self, hashes: float) -> None:
        """Goes on until so many hashes were tried in all."""
        if hashes <= self._done:
            return
        self._done = hashes
        for number, finds in enumerate(self.finds):
            while finds[-1] < self._target and self._next[number] <= hashes / len(self.finds):
                finds.append(better(finds[-1], self._random))
                self._next[number] += self._hashes(finds[-1])

    def found_at(self, number: int, zeros: int, hashes: float) -> float | None:
        """Searches for one farmer until `zeros` are found; the hashes tried in all by then, None if more than these."""
        finds = self.finds[number]
        tried = self._next[number]
        while tried * len(self.finds) <= hashes:
            finds.append(better(finds[-1], self._random))
            if finds[-1] >= zeros:
                return tried * len(self.finds)
            tried += self._hashes(finds[-1])
        return None

    def _hashes(self, zeros: int) -> float:
        return self._random.expovariate(1) * float(_NIBBLE ** (zeros + 1))


def better(zeros: int, random: Random) -> int:
    """The zeros of a find that is better than one with `zeros`."""
    zeros += 1
    while random.randrange(_NIBBLE) == 0:
        zeros += 1
    return zeros
