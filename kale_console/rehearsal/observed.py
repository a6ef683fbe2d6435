"""What a rehearsal saw on the ledger. Amounts are stroops."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kale_chain.clock import BlockClock, Opening
from kale_chain.model import Block, Pail
from kale_chain.rpc import LedgerTransaction
from kale_chain.xdr.envelopes import FarmCall


@dataclass(frozen=True, slots=True)
class Seen:
    """A call for one of the farmers, in a closed ledger.

    Attributes:
        call: Which.
        transaction: As the ledger has it.
        stake: What a plant stakes.
        pail: What a harvest emptied.
    """

    call: FarmCall
    transaction: LedgerTransaction
    stake: int = 0
    pail: Pail | None = None

    @property
    def kind(self) -> str:
        """The function; a plant without a stake is a kind of its own, as it declares less."""
        return "plant without stake" if self.call.function == "plant" and not self.stake else self.call.function

    @property
    def opens(self) -> bool:
        """Whether it is the plant that opened its block: it made the block beside the pail, and paid for both lives."""
        charges = self.transaction.charges
        return self.call.function == "plant" and charges is not None and charges.created > 1

    @property
    def key(self) -> tuple[str, int]:
        """Farmer and block."""
        return self.call.farmer, self.call.block_index


@dataclass
class Observed:
    """Everything that the verdict needs.

    Attributes:
        farmers: The farmers' addresses.
        wanted: How many blocks are to be farmed.
        first_block: The first of them; 0 while that is not known.
        calls: Calls for the farmers, in order.
        predicted: By block, when it was to open, some ledgers before it did.
        opened: By block, the ledger that opened it.
        blocks: The records of blocks that are over.
        start_balances: KALE by farmer, before the first plant.
        end_balances: KALE by farmer, after the last harvest.
        clock: The pace of ledgers.
    """

    farmers: Sequence[str]
    wanted: int
    first_block: int = 0
    calls: list[Seen] = field(default_factory=list)
    predicted: dict[int, Opening] = field(default_factory=dict)
    opened: dict[int, int] = field(default_factory=dict)
    blocks: dict[int, Block] = field(default_factory=dict)
    start_balances: dict[str, int] = field(default_factory=dict)
    end_balances: dict[str, int] = field(default_factory=dict)
    clock: BlockClock = field(default_factory=BlockClock)

    @property
    def indexes(self) -> range:
        """The blocks that count."""
        return range(self.first_block, self.first_block + self.wanted)

    def of(self, function: str) -> list[Seen]:
        """The calls of a function in the blocks that count that took effect."""
        return [
            one
            for one in self.calls
            if one.call.function == function and one.transaction.successful and one.call.block_index in self.indexes
        ]

    @property
    def failed(self) -> list[Seen]:
        """Calls that a ledger took and that had no effect."""
        return [one for one in self.calls if not one.transaction.successful]

    def pails(self, function: str) -> set[tuple[str, int]]:
        """Farmer and block of each such call."""
        return {one.key for one in self.of(function)}

    @property
    def complete(self) -> bool:
        """Whether every farmer was harvested in every block that counts."""
        return bool(self.first_block) and len(self.pails("harvest")) == self.wanted * len(self.farmers)
