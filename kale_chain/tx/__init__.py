"""Building and signing transactions. Everything here is pure: no network, no clock.

A transaction is bounded by ledgers alone, so that no machine's clock decides when it ends.
"""

from kale_chain.tx.calls import EXTENSION, HARVEST, PLANT, PLANT_WITHOUT_STAKE, WORK, FarmCalls, plant_operation
from kale_chain.tx.classic import MAX_SPONSORED, ClassicCalls
from kale_chain.tx.envelope import MIN_FEE, Bounds, Transaction, bump_again, fee_bump
from kale_chain.tx.signer import Signer

__all__ = [
    "EXTENSION",
    "HARVEST",
    "MAX_SPONSORED",
    "MIN_FEE",
    "PLANT",
    "PLANT_WITHOUT_STAKE",
    "WORK",
    "Bounds",
    "ClassicCalls",
    "FarmCalls",
    "Signer",
    "Transaction",
    "bump_again",
    "fee_bump",
    "plant_operation",
]
