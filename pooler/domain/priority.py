"""Which search the engine feeds first: always the farmer with the fewest zeros.

The time to one more zero grows sixteenfold with every zero reached, so the next zero is cheapest where they are
fewest. The engine gives the next range of nonces to the search with the least hashes per weight.
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

STEP = 256
MAX_STEPS = 3

Key = TypeVar("Key", bound=Hashable)


def weights(zeros: Mapping[Key, int]) -> dict[Key, int]:
    """The weight of each search by its zeros so far: 1 for the most, 256 times as much for each zero less (capped).

    Args:
        zeros: Most zeros found by search; -1 where nothing was found yet.
    """
    most = max(zeros.values(), default=0)
    return {key: STEP ** min(MAX_STEPS, most - reached) for key, reached in zeros.items()}
