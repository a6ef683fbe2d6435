"""One sweep: extend what could end too soon, harvest all that is due, and tell what became of every pail."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import structlog

from kale_chain.answers import LedgerTransaction
from kale_chain.farm import FarmReader
from kale_chain.model import MAX_EXTENDED, FarmIdentity, Resources
from kale_chain.tx import EXTENSION, HARVEST, FarmCalls
from kale_lifeboat.patience import Progress, patiently
from kale_lifeboat.sending import Build, Sender
from kale_lifeboat.survey import FoundPail, survey

_log = structlog.get_logger(__name__)

EXTENSION_LEDGERS = 17_280
"""How long an extended life lasts from then on: a day of five-second ledgers."""
_EXTEND_BELOW_LEDGERS = 12_960
"""Lives longer than three quarters of that are left alone, so that a repeat extends nothing anew."""
_TRIES = 4
_LEDGERS_PER_WAVE = 4
"""What one wave of transactions usually takes, with a reserve."""
_MARGIN_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Refused:
    """A pail that could not be harvested, and why."""

    farmer: str
    block_index: int
    stake_stroops: int
    ends_with_ledger: int
    reason: str


@dataclass
class Report:
    """What a sweep found and did; amounts in stroops.

    Attributes:
        ledger: The last closed ledger when it looked.
        blocks: Living blocks it looked into.
        pails: Pails it found.
        harvested: Pails it brought in.
        harvested_by_others: Pails that somebody else brought in meanwhile.
        reward_stroops: KALE minted by its harvests as rewards.
        stake_stroops: KALE minted by its harvests as stakes.
        waiting: Pails of the running block: run it again once the next block is open.
        extended: Pails whose lives it extended.
        unworked: Pails whose block ended without work: their stakes are lost.
        refused: Pails that could not be brought in.
        fee_stroops: XLM spent on fees.
    """

    ledger: int = 0
    blocks: int = 0
    pails: int = 0
    harvested: int = 0
    harvested_by_others: int = 0
    reward_stroops: int = 0
    stake_stroops: int = 0
    waiting: int = 0
    extended: int = 0
    unworked: int = 0
    refused: list[Refused] = field(default_factory=list)
    fee_stroops: int = 0

    @property
    def complete(self) -> bool:
        """Whether every pail that could be harvested was."""
        return not self.refused

    def as_json(self) -> dict[str, Any]:
        """For a JSON value."""
        return asdict(self) | {"complete": self.complete}


class Sweep:
    """Brings in the pails of farmers on one farm; a repeat finds what is left."""

    def __init__(self, reader: FarmReader, identity: FarmIdentity, sender: Sender, progress: Progress) -> None:
        self._reader = reader
        self._calls = FarmCalls(identity)
        self._identity = identity
        self._sender = sender
        self._progress = progress
        self._report = Report()

    async def run(self, farmers: Sequence[str], lookback: int) -> Report:
        """Sweeps the last `lookback` blocks.

        Raises:
            RpcError: No RPC answered for a long time; a repeat goes on.
            FarmMissingError: The farm has been archived.
        """
        found = await survey(self._reader, farmers, lookback, self._progress)
        report = self._report = Report(
            ledger=found.farm.ledger,
            blocks=found.blocks,
            pails=len(found.pails),
            waiting=len(found.waiting),
            unworked=len(found.unworked),
        )
        self._calls.follow(found.farm)
        self._calls.fee_floor = await patiently(partial(self._reader.fee_floor, found.farm))
        late = self._late(found.due, found.farm.ledger)
        short = [pail for pail in found.waiting if pail.ends_with - found.farm.ledger < _EXTEND_BELOW_LEDGERS]
        await self._extend([*late, *short])
        refused = await self._harvest(found.due)
        await self._extend(pail for pail, _ in refused if pail.ends_with - report.ledger < _EXTEND_BELOW_LEDGERS)
        report.refused = [
            Refused(pail.farmer, pail.block_index, pail.pail.stake, pail.ends_with, reason) for pail, reason in refused
        ]
        return report

    def _late(self, due: Sequence[FoundPail], ledger: int) -> list[FoundPail]:
        """Those of the pails, in the order of their harvests, whose lives may end before their turn."""
        width = self._sender.width
        turns = ((pail, ledger + _LEDGERS_PER_WAVE * (2 + place // width)) for place, pail in enumerate(due))
        return [pail for pail, turn in turns if pail.ends_with < turn and turn > ledger + 2 * _LEDGERS_PER_WAVE]

    async def _harvest(self, due: Sequence[FoundPail]) -> list[tuple[FoundPail, str]]:
        """Harvests all; those that could not be had, with the reason."""
        self._progress.begin("harvesting", len(due))
        pending = [(pail, 0) for pail in due]
        refused: list[tuple[FoundPail, str]] = []
        while pending:
            wave, pending = pending[: self._sender.width], pending[self._sender.width :]
            results = await self._sender.carry([self._harvest_call(pail, tries) for pail, tries in wave])
            ended = list(zip(wave, results, strict=True))
            left = await self._still_there([pail for (pail, _), result in ended if not _succeeded(result)])
            for (pail, tries), result in ended:
                self._count(pail, result)
                if pail.key not in left:
                    self._report.harvested_by_others += not _succeeded(result)
                    self._progress.advance(1)
                elif tries + 1 < _TRIES:
                    pending.append((pail, tries + 1))
                else:
                    refused.append((pail, self._reason(result)))
                    self._progress.advance(1)
        return refused

    async def _still_there(self, pails: Sequence[FoundPail]) -> set[tuple[str, int]]:
        return set(await patiently(partial(self._reader.pails, [pail.key for pail in pails])))

    def _count(self, pail: FoundPail, result: LedgerTransaction | None) -> None:
        if result is None:
            return
        self._report.fee_stroops += result.fee_charged
        if result.successful:
            self._report.harvested += 1
            self._report.stake_stroops += pail.pail.stake
            if isinstance(result.return_value, int):
                self._report.reward_stroops += result.return_value
        else:
            _log.warning("a harvest failed", block_index=pail.block_index, reason=self._reason(result))

    async def _extend(self, pails: Iterable[FoundPail]) -> None:
        """Lets pails and their blocks live a day more; what fails is left to the next sweep."""
        batches = _batches(pails)
        if not batches:
            return
        self._progress.begin("extending lives", len(batches))
        for start in range(0, len(batches), self._sender.width):
            wave = batches[start : start + self._sender.width]
            results = await self._sender.carry([self._extension_call(batch) for batch in wave])
            for batch, result in zip(wave, results, strict=True):
                self._report.fee_stroops += result.fee_charged if result else 0
                self._report.extended += len(batch) if _succeeded(result) else 0
            self._progress.advance(len(wave))

    def _harvest_call(self, pail: FoundPail, tries: int) -> Build:
        return lambda source, sequence, bounds: self._calls.harvest(
            source=source,
            farmer=pail.farmer,
            block_index=pail.block_index,
            sequence=sequence,
            bounds=bounds,
            resources=_resources(HARVEST, tries),
        )

    def _extension_call(self, batch: Sequence[FoundPail]) -> Build:
        return lambda source, sequence, bounds: self._calls.extension(
            source=source,
            block_index=batch[0].block_index,
            farmers=[pail.farmer for pail in batch],
            ledgers=EXTENSION_LEDGERS,
            sequence=sequence,
            bounds=bounds,
            # A life extended by a whole day costs more where it was an hour: what is not used comes back.
            resources=_resources(EXTENSION, 1),
        )

    def _reason(self, result: LedgerTransaction | None) -> str:
        if result is None:
            return "no ledger took the transaction: the network is crowded or out of reach"
        error = result.contract_error(self._identity)
        return str(error) if error else f"{result.result_code} {result.operation_code or ''}".strip()


def _succeeded(result: LedgerTransaction | None) -> bool:
    return result is not None and result.successful


def _resources(usual: Resources, tries: int) -> Resources:
    return usual.with_margin(_MARGIN_PERCENT * tries) if tries else usual


def _batches(pails: Iterable[FoundPail]) -> list[list[FoundPail]]:
    """As many pails of one block as a transaction takes."""
    ordered = sorted(pails, key=lambda pail: pail.block_index)
    batches: list[list[FoundPail]] = []
    for _, group in groupby(ordered, key=lambda pail: pail.block_index):
        block = list(group)
        batches += [block[start : start + MAX_EXTENDED] for start in range(0, len(block), MAX_EXTENDED)]
    return batches
