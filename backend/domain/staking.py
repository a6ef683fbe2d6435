"""How much a farmer stakes in a block."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from backend.domain.farmer import MAX_STAKE_BASIS_POINTS


class StakePolicy(StrEnum):
    """Which stakes are planted."""

    WORTHWHILE = "worthwhile"
    """At most what the farmer asks and what earns anything, or nothing where it earns less than is at risk."""
    ASKED = "asked"
    """What the farmer asks, whatever it earns."""


@dataclass(frozen=True, slots=True)
class Economy:
    """What the pool's owner has decided about money.

    Attributes:
        policy: Which stakes are planted.
        floor_price: XLM that a KALE is worth at the least; None: fees are not weighed against rewards.
    """

    policy: StakePolicy = StakePolicy.WORTHWHILE
    floor_price: Fraction | None = None


def stake(balance_stroops: int, stake_basis_points: int, fixed_stroops: int | None = None) -> int:
    """What a farmer's settings ask of a balance, in stroops; a farmer without balance plants with stake 0.

    Args:
        balance_stroops: What may be staked.
        stake_basis_points: The part of it that is: floor(balance · basis points / 10,000).
        fixed_stroops: This much instead, or the whole balance where that is less; None: the part.
    """
    if fixed_stroops is not None:
        return min(fixed_stroops, balance_stroops)
    return balance_stroops * stake_basis_points // MAX_STAKE_BASIS_POINTS
