"""A work transaction on its way, and how it can end."""

from dataclasses import dataclass

from pooler.domain.assignment import Failure, Find
from pooler.domain.schedule import Stage

# A work may be applied in this many ledgers after it is built; then it can be built anew.
LEDGERS_TO_APPLY = 3


@dataclass(frozen=True, slots=True)
class Attempt:
    """A signed work transaction; the same bytes are sent at every ledger until it ends.

    Attributes:
        transaction_hash: The hash the ledger will know it by, 64 hexadecimal digits.
        block_index: The block worked in.
        address: The farmer worked for.
        find: What it hands in.
        stage: What it is for.
        channel: The number of the channel account that is its source.
        envelope: The signed envelope, base64.
        max_ledger: The first ledger that cannot apply it.
    """

    transaction_hash: str
    block_index: int
    address: str
    find: Find
    stage: Stage
    channel: int
    envelope: str
    max_ledger: int

    def delay(self, applied: int) -> int:
        """Ledgers between the first that could apply it and `applied`, which did."""
        return applied - (self.max_ledger - LEDGERS_TO_APPLY)

    def expired(self, closed: int) -> bool:
        """Whether no ledger can apply it any more, once `closed` has closed and every ledger to it was read."""
        return closed >= self.max_ledger - 1


@dataclass(frozen=True, slots=True)
class WorkResult:
    """What a ledger made of an attempt.

    Attributes:
        ledger_sequence: The ledger that applied it.
        gap: The gap the contract returned; None if the contract refused.
        failure: Why it was refused; None if it was accepted.
    """

    ledger_sequence: int
    gap: int | None
    failure: Failure | None
