"""Where searches lie in the nonces, so that no two of them for a farmer in a block hash the same ones.

A nonce has 64 bits. From the top: one that is 0, 12 for the generation of the farmer's lease, 11 for the pooler's run,
and 40 for the search itself: 2^40 nonces are more than 3.6 GH/s can try in a block's 300 s. The backend gives every
lease of a farmer and block another generation, so that poolers are apart; a pooler counts its starts, so that it does
not begin again what it did before a restart. Other farmers and blocks have other hashes for the same nonces.
"""

GENERATION_BITS = 12
RUN_BITS = 11
SEARCH_BITS = 40
RUNS = 1 << RUN_BITS
RANGE_LENGTH = 1 << SEARCH_BITS


def nonce_start(generation: int, run: int) -> int:
    """The first of the `RANGE_LENGTH` nonces of a search: a multiple of 2^40, below 2^63.

    Multiples of 2^32 let the kernels keep the upper half of the nonce fixed for long.

    Args:
        generation: The generation of the farmer's lease, from 1.
        run: The number of the pooler's run.
    """
    high = generation % (1 << GENERATION_BITS) << RUN_BITS | run % RUNS
    return high << SEARCH_BITS
