"""Where a search begins, so that no two searches for a farmer hash the same nonces."""

import hashlib

START_BITS = 63
GRANULE_BITS = 32


def nonce_start(run: bytes, block_index: int, farmer: str) -> int:
    """The first nonce of one run's search: below 2^63 and a multiple of 2^32.

    Drawn from the hash of its arguments: another run of the pooler, or another pooler, starts elsewhere, and a search
    would have to pass 2^32 nonces to meet a start of another. Multiples of 2^32 let the kernels keep the upper half of
    the nonce fixed.

    Args:
        run: Bytes that differ for every start of a pooler.
        block_index: The block.
        farmer: The farmer's address.
    """
    digest = hashlib.sha256(b"%s\0%d\0%s" % (run, block_index, farmer.encode())).digest()
    return int.from_bytes(digest[:8]) >> (64 - START_BITS) >> GRANULE_BITS << GRANULE_BITS
