"""What really happened, read from the closed ledgers and from nothing the backend says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from devnet.records import LedgerRecord, TransactionRecord
from simulator.calls import CallReader, FarmCall
from simulator.chain import Chain
from simulator.errors import Violation

PailKey = tuple[str, int]


@dataclass
class TruePail:
    """A farmer's pail as the ledger has it.

    Attributes:
        planted: The ledger of its plant.
        worked: The ledger of its first accepted work.
        harvested: The ledger of its harvest.
        by_stranger: Whether someone else harvested it.
        lost: Why it can never be harvested.
    """

    address: str
    block_index: int
    stake: int
    planted: int
    worked: int | None = None
    harvested: int | None = None
    by_stranger: bool = False
    lost: str | None = None

    @property
    def key(self) -> PailKey:
        """Farmer and block."""
        return self.address, self.block_index

    @property
    def open(self) -> bool:
        """Whether it can still be harvested, now or later."""
        return self.harvested is None and self.lost is None


class Truth:
    """Reads every ledger as it closes.

    Attributes:
        pails: Every pail of the pool's farmers.
        open_pails: Those that are neither harvested nor lost.
        deposits: KALE given to each farmer, stroops.
        index: The farm's block index.
        opened: The ledger time at which that block opened.
        balances: Each farmer's KALE after every ledger that had transactions, by the ledger's sequence.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._calls = CallReader(chain.identity.farm_id)
        self._strangers: set[str] = set()
        self.pails: dict[PailKey, TruePail] = {}
        self.open_pails: dict[PailKey, TruePail] = {}
        self.deposits: dict[str, int] = {}
        self.balances: dict[int, dict[str, int]] = {}
        self.index, self.opened = chain.farm()

    def is_stranger(self, transaction_hash: str) -> None:
        """Remembers a transaction that is not the pool's."""
        self._strangers.add(transaction_hash)

    def read(self, ledger: LedgerRecord) -> None:
        """Takes in a closed ledger.

        Raises:
            Violation: the pool planted or harvested what it had planted or harvested before.
        """
        if not ledger.transactions:
            return
        before = self.index
        self.index, self.opened = self._chain.farm()
        for record in ledger.transactions:
            call = self._calls.read(record.envelope_xdr)
            if call is not None and call.farmer in self.deposits:
                self._take(call, record, ledger.sequence, before)
        self.balances[ledger.sequence] = {address: self._chain.kale(address) for address in self.deposits}

    def balances_at(self, ledger: int) -> dict[str, int]:
        """Each farmer's KALE as of a closed ledger."""
        known = next((sequence for sequence in reversed(self.balances) if sequence <= ledger), None)
        return {} if known is None else self.balances[known]

    def unworked(self, index: int) -> list[TruePail]:
        """The open pails of a block without work."""
        return [pail for pail in self.open_pails.values() if pail.block_index == index and pail.worked is None]

    def lose(self, pails: Iterable[TruePail], why: str) -> None:
        """Counts pails as lost."""
        for pail in pails:
            pail.lost = why
            self.open_pails.pop(pail.key, None)

    def _take(self, call: FarmCall, record: TransactionRecord, sequence: int, before: int) -> None:
        stranger = record.hash in self._strangers
        match call.function:
            case "plant":
                self._plant(call, record, sequence)
            case "work":
                pail = self.pails.get((call.farmer, before))
                if record.successful and pail is not None and pail.worked is None:
                    pail.worked = sequence
            case "harvest":
                self._harvest(call, record, sequence, stranger=stranger)

    def _plant(self, call: FarmCall, record: TransactionRecord, sequence: int) -> None:
        """A plant that fails for another block, as one does that meets a paused farm, is no second one for this."""
        index = self.index if record.successful or call.block_index is None else call.block_index
        known = self.pails.get((call.farmer, index))
        if known is not None:
            raise Violation("double plant", index, f"{call.farmer} was planted in ledger {known.planted} already")
        if record.successful:
            pail = TruePail(call.farmer, index, call.number, sequence)
            self.pails[pail.key] = self.open_pails[pail.key] = pail

    def _harvest(self, call: FarmCall, record: TransactionRecord, sequence: int, *, stranger: bool) -> None:
        pail = self.pails.get((call.farmer, call.number))
        if pail is None:
            return
        if record.successful:
            pail.harvested, pail.by_stranger = sequence, stranger
            self.open_pails.pop(pail.key, None)
        elif not stranger and pail.harvested is not None and not pail.by_stranger:
            raise Violation(
                "double harvest", call.number, f"{call.farmer}'s pail was harvested in ledger {pail.harvested} already"
            )
