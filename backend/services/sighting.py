"""One look at pails and their blocks on the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from backend.domain.harvest import OpenPail
from backend.domain.plant import FarmView
from backend.ports.chain import ChainReader, PailKey
from kale_chain.model import BlockEntry, PailEntry


@dataclass(frozen=True, slots=True)
class Sight:
    """Pails and blocks as the ledger showed them; what is missing is not there."""

    ledger: int
    """The closed ledger of the pails."""
    pails: Mapping[PailKey, PailEntry]
    blocks: Mapping[int, BlockEntry]

    def pail(self, pail: OpenPail) -> PailEntry | None:
        """The pail on the ledger, if it is there."""
        return self.pails.get(key_of(pail))

    def block(self, pail: OpenPail) -> BlockEntry | None:
        """Its block, if that is there."""
        return self.blocks.get(pail.block_index)


async def look(reader: ChainReader, pails: Collection[OpenPail], view: FarmView) -> Sight | None:
    """Looks at pails and their blocks; None if none were given.

    An answer older than the farm's is none either: it could show a pail as it was before its work.
    """
    if not pails:
        return None
    blocks_ledger, blocks = await reader.blocks(sorted({pail.block_index for pail in pails}))
    ledger, entries = await reader.pails([key_of(pail) for pail in pails])
    if min(ledger, blocks_ledger) < view.farm.ledger:
        return None
    return Sight(ledger, entries, blocks)


def key_of(pail: OpenPail) -> PailKey:
    """The key of a pail on the ledger."""
    return pail.address, pail.block_index
