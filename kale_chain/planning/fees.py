"""What to bid for a place in the next ledger."""

from collections.abc import Sequence

LEAST_FEE_STROOPS = 100
"""The least that the network takes for an operation."""


def inclusion_fee(ledgers_left: int, percentiles: Sequence[int], worth: int) -> int:
    """The bid for inclusion, in stroops of XLM: a step up the ladder for every ledger less that is left.

    In the last ledger the highest of what others pay lately is bid, with enough of them left the lowest; never more
    than the work is worth, and never less than the network's least.

    Args:
        ledgers_left: Ledgers after the next one that can still apply the transaction; 0 if the next is the last.
        percentiles: What others bid, ascending; empty if unknown.
        worth: Stroops of XLM that are lost if it does not come in time.
    """
    if not percentiles:
        return LEAST_FEE_STROOPS
    ladder = sorted(percentiles)
    step = max(0, len(ladder) - 1 - max(0, ledgers_left))
    return max(LEAST_FEE_STROOPS, min(ladder[step], worth))
