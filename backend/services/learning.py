"""What plans of plants are made from besides the farm: what was lost, what is charged, and how fast poolers search.

All of it is read anew for every plan, from rows, so that a restart forgets nothing.
"""

from __future__ import annotations

import asyncio

from backend.domain.attempt import AttemptKind
from backend.ports.stores import AttemptStore, HarvestStore
from backend.services.attending import Attending
from kale_chain.planning.inputs import Fees, LossHistory

UNMEASURED_HASHES_PER_SECOND = 10_000_000
"""What poolers are believed to search with before any has said so: one core's worth."""
UNMEASURED_FEES = Fees(plant=19_000, work=14_000, harvest=12_000)
"""Stroops of XLM each call costs on the main network without surge, for kinds that were never charged."""
_REMEMBERED_BLOCKS = 288
"""A day of blocks, whose lost pails tell how likely a stake is lost."""


class Learning:
    """What was learned so far; safe defaults where nothing was."""

    def __init__(self, harvests: HarvestStore, attempts: AttemptStore, attending: Attending) -> None:
        self._harvests = harvests
        self._attempts = attempts
        self._attending = attending

    @property
    def hashes_per_second(self) -> int:
        """What the poolers search with that attend, or did last."""
        return self._attending.hashes_per_second or UNMEASURED_HASHES_PER_SECOND

    async def history(self, block_index: int) -> tuple[LossHistory, Fees]:
        """What became of the pails of the day before a block, and what transactions cost of late."""
        losses, charged = await asyncio.gather(
            self._harvests.losses(max(0, block_index - _REMEMBERED_BLOCKS)), self._attempts.fees()
        )
        fees = Fees(
            plant=charged.get(AttemptKind.PLANT, UNMEASURED_FEES.plant),
            work=charged.get(AttemptKind.WORK, UNMEASURED_FEES.work),
            harvest=charged.get(AttemptKind.HARVEST, UNMEASURED_FEES.harvest),
        )
        return losses, fees
