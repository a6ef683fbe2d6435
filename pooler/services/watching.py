"""Watching the farm: what its current block is, never confused by an error or a node that lags."""

from dataclasses import dataclass

import structlog

from kale_chain.model import Block, Farm, Ledger
from pooler.ports import FarmView

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """The farm as seen once.

    Attributes:
        farm: The instance.
        block: The current block; None where it does not exist yet (a fresh farm).
    """

    farm: Farm
    block: Block | None


class Watching:
    """Reads the farm; its index only grows, whatever node answers."""

    def __init__(self, farm: FarmView) -> None:
        self._farm = farm
        self._open: int | None = None
        self.sight: Sight | None = None
        self.ledger = Ledger(0, 0)

    async def look(self) -> Sight | None:
        """The farm now; None if a node that lags behind an earlier answer was asked.

        Raises:
            RpcError: Nothing can be concluded from it.
        """
        expected = 0 if self.sight is None else self.sight.farm.index
        farm, block = await self._farm.farm_and_block(expected)
        if farm.index != expected:
            farm, block = await self._farm.farm_and_block(farm.index)
        if self._lags(farm, block):
            log.debug("a node lags", block_index=farm.index, ledger_sequence=farm.ledger)
            return None
        if block is not None:
            self._open = farm.index
        self.sight = Sight(farm, block)
        return self.sight

    def _lags(self, farm: Farm, block: Block | None) -> bool:
        if self.sight is None:
            return False
        before = self.sight.farm
        return farm.index < before.index or farm.ledger < before.ledger or (block is None and self._open == farm.index)
