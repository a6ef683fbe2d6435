"""How much a farmer stakes in a block."""

from __future__ import annotations

from backend.domain.farmer import MAX_STAKE_BASIS_POINTS


def stake(balance_stroops: int, stake_basis_points: int) -> int:
    """floor(balance · basis points / 10,000), in stroops; a farmer without balance plants with stake 0."""
    return balance_stroops * stake_basis_points // MAX_STAKE_BASIS_POINTS
