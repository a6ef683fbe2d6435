"""What the pool expects of the network: the figures that its transactions were built with.

`docs/operations.md` has the same costs; a test holds the two together.
"""

from dataclasses import dataclass

from kale_chain.model import Resources
from kale_chain.tx import HARVEST, MIN_FEE, PLANT, PLANT_WITHOUT_STAKE, WORK


@dataclass(frozen=True, slots=True)
class Expected:
    """One kind of call.

    Attributes:
        declared: What such calls may use.
        written_bytes: Bytes that it writes.
        non_refundable: Stroops for what is declared.
        total: Stroops in all, without surge.
    """

    declared: Resources
    written_bytes: int
    non_refundable: int
    total: int


INCLUSION_STROOPS = 2 * MIN_FEE
"""A fee bump of one operation counts as two."""

OPENING_TOTAL = 26_807
"""Stroops of the plant that opens a block: the block's rent is its to pay."""

PLANT_CALL = Expected(PLANT, 1_560, 20_323, 24_132)
EXPECTED = {
    "plant": PLANT_CALL,
    "plant without stake": Expected(PLANT_WITHOUT_STAKE, 1_400, 14_675, 17_507),
    "work": Expected(WORK, 1_408, 14_345, 14_588),
    "harvest": Expected(HARVEST, 160, 12_477, 13_752),
}
"""By kind, on a network with the main network's fee settings."""
