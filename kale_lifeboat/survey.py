"""Looking for pails: every living block of the farm, and in it the pails of the farmers asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from kale_chain.farm import FarmReader
from kale_chain.model import Farm, Pail
from kale_lifeboat.patience import Progress, patiently

DEFAULT_LOOKBACK_BLOCKS = 2_016
"""A week of blocks of five minutes: lives last a day, and longer only where somebody extended them."""
_PAILS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class FoundPail:
    """A pail on the ledger.

    Attributes:
        farmer: Its farmer's address.
        block_index: Its block.
        pail: The record.
        ends_with: The last ledger in which both pail and block live.
    """

    farmer: str
    block_index: int
    pail: Pail
    ends_with: int

    @property
    def key(self) -> tuple[str, int]:
        """Farmer and block, which name it."""
        return self.farmer, self.block_index


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes:
        farm: The farm when it was looked at.
        blocks: Living blocks in the range.
        pails: Pails of the farmers in them; those whose lives end first come first.
    """

    farm: Farm
    blocks: int
    pails: Sequence[FoundPail] = field(repr=False)

    @property
    def due(self) -> list[FoundPail]:
        """Those that can be harvested now."""
        return [found for found in self.pails if found.pail.worked and found.block_index < self.farm.index]

    @property
    def waiting(self) -> list[FoundPail]:
        """Those of the running block: they can be harvested once somebody opens the next."""
        return [found for found in self.pails if found.block_index >= self.farm.index]

    @property
    def unworked(self) -> list[FoundPail]:
        """Those whose block is over without work: nobody can harvest them."""
        return [found for found in self.pails if not found.pail.worked and found.block_index < self.farm.index]


async def survey(reader: FarmReader, farmers: Sequence[str], lookback: int, progress: Progress) -> Survey:
    """Looks at the farm's last `lookback` blocks.

    Raises:
        RpcError: No RPC answered for a long time.
    """
    farm = await patiently(reader.farm)
    first = max(0, farm.index - lookback + 1)
    _, blocks = await patiently(partial(reader.dated_blocks, range(first, farm.index + 1)))
    wanted = [(farmer, index) for index in sorted(blocks) for farmer in farmers]
    pails: list[FoundPail] = []
    progress.begin("looking for pails", len(wanted))
    for start in range(0, len(wanted), _PAILS_AT_ONCE):
        part = wanted[start : start + _PAILS_AT_ONCE]
        for (farmer, index), entry in (await patiently(partial(reader.pails, part))).items():
            pails.append(FoundPail(farmer, index, entry.pail, min(entry.live_until, blocks[index].live_until)))
        progress.advance(len(part))
    return Survey(farm, len(blocks), sorted(pails, key=lambda found: found.ends_with))
