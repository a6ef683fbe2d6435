"""Adjusting farmers: their settings changed by themselves or by an operator."""

from __future__ import annotations

from uuid import UUID

import structlog

from backend.domain.farmer import Farmer, FarmerChange
from backend.ports.stores import FarmerStore

_log = structlog.get_logger()


class Adjusting:
    """Changes settings, and logs who changed which; they count from the next block that is planted."""

    def __init__(self, farmers: FarmerStore) -> None:
        self._farmers = farmers

    async def change(self, farmer_id: UUID, change: FarmerChange) -> Farmer:
        """The farmer as stored. Raises what FarmerStore.update does."""
        farmer = await self._farmers.update(farmer_id, change)
        _log.info(
            "settings changed",
            farmer_id=str(farmer_id),
            state=farmer.state,
            stake_basis_points=farmer.stake_basis_points,
            fixed_stake_stroops=farmer.fixed_stake_stroops,
            harvest_after_blocks=farmer.harvest_after_blocks,
            labels=dict(farmer.labels),
        )
        return farmer
