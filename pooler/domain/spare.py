"""A second find where a search has reported only one: something to insure with, so that the best can come last."""

from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import MAX_NONCE
from pooler.domain.assignment import Assignment, Find
from pooler.domain.schedule import BlockPlan

# About one in 16 hashes has a zero, one in 256 two: enough to insure with, and a millisecond of work.
TRIES = 128


def spare_find(plan: BlockPlan, assignment: Assignment, best: Find) -> Find | None:
    """The find with most zeros, but fewer than `best`, among the nonces beside it; None if there is none."""
    first = min(best.nonce + 1, MAX_NONCE - TRIES)
    hashed = (
        (nonce, work_hash(plan.index, nonce, plan.entropy, assignment.address)) for nonce in range(first, first + TRIES)
    )
    finds = (Find(count_zeros(digest), nonce, digest) for nonce, digest in hashed)
    return max((find for find in finds if find.zeros < best.zeros), default=None)
