"""Follows a farm, read-only, and says of each block what was earned and what could have been."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import structlog

from kale_chain.clock import BlockClock
from kale_chain.errors import RpcError
from kale_chain.model import STROOPS_PER_KALE, Block, Farm, Ledger, Pail, PailEntry
from kale_chain.planning.inputs import Market
from kale_chain.rewards import Scoring, base_reward
from kale_console.income import Finished, Left, Parts
from kale_console.policy import Means, PaperBlock

_log = structlog.get_logger()


class Reader(Protocol):
    """Reads the farm; `kale_chain.farm.FarmReader` does. Every method raises `RpcError` without an answer."""

    async def farm_and_block(self, index: int | None) -> tuple[Farm, Block | None]:
        """The farm and a block of one moment."""

    async def block(self, index: int) -> Block | None:
        """A block."""

    async def pails(self, pails: Sequence[tuple[str, int]]) -> dict[tuple[str, int], PailEntry]:
        """Those pails that exist."""

    async def balances(self, addresses: Sequence[str]) -> dict[str, int]:
        """KALE in stroops by address."""


@dataclass(frozen=True, slots=True)
class Terms:
    """For whom, and with what, the planner is to farm on paper.

    Attributes:
        farmers: The pool's farmers.
        imagined: Farmers to imagine instead, if none are given.
        stake_basis_points: Part of each farmer's balance that may be staked, in hundredths of a percent.
        imagined_stake: Stroops that each imagined farmer may stake.
        hashes_per_second: Of all machines.
    """

    farmers: tuple[str, ...]
    imagined: int
    stake_basis_points: int
    imagined_stake: int
    hashes_per_second: int


@dataclass(frozen=True, slots=True)
class BlockReport:
    """A block's incomes in stroops of KALE, and what was left on the table against the best."""

    index: int
    ledgers: int
    planted: int
    worked: int
    earned: int
    policy: int
    best: int
    left: Left

    @property
    def share(self) -> float:
        """The policy's part of the best possible; 1 where nothing could be earned."""
        return self.policy / self.best if self.best > 0 else 1.0

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "block_index": self.index,
            "ledgers": self.ledgers,
            "planted": self.planted,
            "worked": self.worked,
            "earned_stroops": self.earned,
            "policy_stroops": self.policy,
            "best_stroops": self.best,
            "policy_share": round(self.share, 4),
            "left_stroops": {
                "gap": self.left.gap,
                "zeros": self.left.zeros,
                "stake": self.left.stake,
                "unworked": self.left.unworked,
            },
        }


class Shadow:
    """Watches a farm ledger by ledger.

    Args:
        reader: Reads it.
        terms: For whom to farm on paper.
    """

    def __init__(self, reader: Reader, terms: Terms) -> None:
        self._reader = reader
        self._terms = terms
        self._clock = BlockClock()
        self._index: int | None = None
        self._paper: PaperBlock | None = None
        self._pails: dict[str, Pail] = {}

    @property
    def waiting(self) -> bool:
        """Whether the block at hand was not seen from its beginning, so that nothing is said of it."""
        return self._paper is None

    async def look(self, ledger: Ledger) -> BlockReport | None:
        """Looks at the farm once `ledger` has closed; the report of the block that ended, if one did.

        Raises:
            RpcError: The farm could not be read; look again at the next ledger.
        """
        self._clock.observe(ledger)
        farm, block = await self._reader.farm_and_block(self._index)
        report = None
        if farm.index != self._index or block is None:
            block = await self._reader.block(farm.index)
            if self._index is not None and farm.index != self._index:
                report = await self._ended(farm, ledger)
                await self._opened(farm, block, ledger)
            self._index = farm.index
        if self._paper is not None:
            self._pails |= await self._ours(farm.index)
            self._paper.closed(farm, ledger, self._clock.pace)
        return report

    async def _ended(self, farm: Farm, ledger: Ledger) -> BlockReport | None:
        paper, self._paper = self._paper, None
        if paper is None or farm.index != paper.index + 1:
            return None
        block = await self._reader.block(paper.index)
        if block is None:
            return None
        self._pails |= await self._ours(paper.index)
        turned = self._ledger_of(farm.block.timestamp, ledger)
        finished = Finished(paper.index, block, self._pails)
        best = paper.best(turned, farm.block.timestamp)
        return BlockReport(
            index=paper.index,
            ledgers=turned - paper.opened,
            planted=len(self._pails),
            worked=sum(pail.worked for pail in self._pails.values()),
            earned=finished.earned,
            policy=finished.income(paper.pails(turned).values()),
            best=finished.income(best.values()),
            left=finished.left(best),
        )

    async def _opened(self, farm: Farm, block: Block | None, ledger: Ledger) -> None:
        if block is None:
            return
        rivals, lone = Fraction(0), False
        before = await self._reader.block(farm.index - 1) if farm.index else None
        if before is not None:
            scoring = Scoring(before)
            ours = sum(Parts.of(scoring, pail).score for pail in self._pails.values())
            rivals = Fraction(max(before.normalized_total - ours, 0), scoring.widest)
            lone = 2 * ours > before.normalized_total
        self._pails = await self._ours(farm.index)
        self._paper = PaperBlock(
            index=farm.index,
            block=block,
            opened=self._ledger_of(block.timestamp, ledger),
            means=Means(await self._allowed(), self._terms.hashes_per_second),
            market=Market(base_reward(farm.index), rivals),
            lone=lone,
        )
        self._paper.plant(self._clock.pace)

    async def _allowed(self) -> dict[str, int]:
        """What each farmer may stake; what is in the pail by now was part of the balance."""
        terms = self._terms
        if not terms.farmers:
            return {f"imagined {number}": terms.imagined_stake for number in range(terms.imagined)}
        balances = await self._reader.balances(terms.farmers)
        staked = {farmer: pail.stake for farmer, pail in self._pails.items()}
        held = {farmer: balances.get(farmer, 0) + staked.get(farmer, 0) for farmer in terms.farmers}
        return {
            farmer: max(stroops * terms.stake_basis_points // 10_000, staked.get(farmer, 0))
            for farmer, stroops in held.items()
        }

    async def _ours(self, index: int) -> dict[str, Pail]:
        found: Mapping[tuple[str, int], PailEntry] = {}
        if self._terms.farmers:
            found = await self._reader.pails([(farmer, index) for farmer in self._terms.farmers])
        return {farmer: entry.pail for (farmer, _), entry in found.items()}

    def _ledger_of(self, time: int, last: Ledger) -> int:
        """The ledger that closed at `time`, lately: the last one, or as many before as the time between takes."""
        return last.sequence - round((last.close_time - time) / self._clock.pace.mean)


async def reports(shadow: Shadow, ledgers: AsyncIterator[Ledger]) -> AsyncIterator[BlockReport]:
    """A report of each block that was seen whole, for ever; faults of the RPC only delay it."""
    async for ledger in ledgers:
        try:
            report = await shadow.look(ledger)
        except RpcError as error:
            _log.warning("the farm cannot be read; trying again", problem=str(error))
            continue
        if report is not None:
            yield report


def kale(stroops: int) -> str:
    """An amount for people."""
    return f"{stroops / STROOPS_PER_KALE:,.2f}"
