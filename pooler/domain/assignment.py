"""One farmer's work in one block: what was found, what the contract accepted, what to submit next."""

from dataclasses import dataclass, field
from enum import Enum

from kale_chain.model import Pail
from kale_chain.planning.works import Insurance
from pooler.domain.schedule import Stage


class Reason(Enum):
    """Why no work of ours was accepted; the names are the protocol's."""

    TIMEOUT = "TIMEOUT"
    CONTRACT_REFUSED = "CONTRACT_REFUSED"
    NETWORK_REFUSED = "NETWORK_REFUSED"
    FEE_ACCOUNT_LOW = "FEE_ACCOUNT_LOW"
    HASH_INVALID = "HASH_INVALID"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A farmer whose plant a ledger applied, to be worked for.

    Attributes:
        block_index: The block planted in.
        farmer_id: The farmer's id at the backend.
        address: The farmer's address (G…).
        planted_ledger: The ledger of the plant; the gap counts from it.
        stake_stroops: The stake, in stroops.
        generation: That of the lease: 1 for the pooler it was planted for, one more each time it goes to another.
    """

    block_index: int
    farmer_id: str
    address: str
    planted_ledger: int
    stake_stroops: int
    generation: int = 1


@dataclass(frozen=True, slots=True, order=True)
class Find:
    """A hash and its nonce; more zeros are greater."""

    zeros: int
    nonce: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """Work that the farmer's Pail holds.

    Attributes:
        zeros: Its leading zero nibbles.
        gap: Ledgers from plant to work.
        find: The hash and nonce if it is ours, else None.
        transaction_hash: The transaction, 64 hexadecimal digits; empty if unknown.
        ledger_sequence: The ledger that applied it; 0 if unknown.
    """

    zeros: int
    gap: int
    find: Find | None
    transaction_hash: str = ""
    ledger_sequence: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why no work of ours was accepted.

    Attributes:
        reason: For programs.
        message: For people; one sentence.
        final: Whether another try cannot succeed in this block.
    """

    reason: Reason
    message: str
    final: bool = False


OUT_OF_TIME = Failure(Reason.TIMEOUT, "the block ended before any work was accepted")


@dataclass(slots=True)
class FarmerWork:
    """What is known of one assignment; moves forward only.

    Attributes:
        assignment: The farmer and block.
        finds: Every find, each with more zeros than the one before.
        submitted: The finds that were handed to the network.
        accepted: What the Pail holds, as last seen.
        failure: The last thing that went wrong.
        stages: The stages in which work was submitted.
        repeats: Transactions beyond the first of each stage.
        released: Whether another pooler has the farmer now: nothing more is submitted.
    """

    assignment: Assignment
    finds: list[Find] = field(default_factory=list)
    submitted: set[Find] = field(default_factory=set)
    accepted: Accepted | None = None
    failure: Failure | None = None
    stages: set[Stage] = field(default_factory=set)
    repeats: int = 0
    released: bool = False

    @property
    def best(self) -> Find | None:
        """The find with most zeros."""
        return self.finds[-1] if self.finds else None

    def found(self, find: Find) -> bool:
        """Takes a find; False if it is no better than the best."""
        if self.best is not None and find.zeros <= self.best.zeros:
            return False
        self.finds.append(find)
        return True

    def needs_spare(self, insurance: Insurance) -> bool:
        """Whether no find is fit to insure with, so that it would take the best one and leave nothing for the end."""
        return self.accepted is None and bool(self.finds) and self._insuring(insurance) is None

    def take_spare(self, find: Find | None) -> None:
        """Takes a find to insure with, whose zeros no other has; one with more than all is the best from now on."""
        if find is not None and find.zeros not in {known.zeros for known in self.finds}:
            self.finds = sorted([*self.finds, find])

    def choose(self, stage: Stage, *, max_repeats: int, insurance: Insurance | None = None) -> Find | None:
        """What to submit in `stage`, or None: nothing to gain, nothing found, or no transaction left to spend.

        The insuring work leaves the best find for the final one, since the contract takes a repeat only with more
        zeros. If there is no other, the best insures.

        Args:
            stage: Where the work stands.
            max_repeats: Transactions beyond the first of each stage.
            insurance: What is planned for the insuring work; None where none is.
        """
        if self.released or (self.failure is not None and self.failure.final):
            return None
        if stage in self.stages and self.repeats >= max_repeats:
            return None
        if stage is Stage.INSURING and insurance is not None:
            return self._insuring(insurance) or self.best if self.accepted is None else None
        if stage is Stage.FINAL and self.best is not None:
            better = self.accepted is None or self.best.zeros > self.accepted.zeros
            return self.best if better else None
        return None

    def _insuring(self, insurance: Insurance) -> Find | None:
        fit = [find for find in self.finds if insurance.least_zeros <= find.zeros <= insurance.most_zeros]
        return max(fit, default=None)

    def sent(self, find: Find, stage: Stage) -> None:
        """A transaction with `find` was built for `stage`."""
        self.repeats += stage in self.stages
        self.stages.add(stage)
        self.submitted.add(find)

    def applied(self, accepted: Accepted) -> None:
        """A ledger accepted work of ours; a later work with more zeros stands above it."""
        if self.accepted is None or accepted.zeros >= self.accepted.zeros:
            self.accepted = accepted

    def read(self, pail: Pail) -> None:
        """Takes what the farmer's Pail says: work of ours whose result was missed, or a stranger's."""
        if pail.zeros is None or pail.gap is None:
            return
        if self.accepted is not None and pail.zeros <= self.accepted.zeros:
            return
        ours = next((find for find in self.submitted if find.zeros == pail.zeros), None)
        self.accepted = Accepted(pail.zeros, pail.gap, ours)

    def settled(self, stage: Stage) -> Accepted | Failure | None:
        """How this ended, once it has, given that no transaction of it is open and the Pail was read; else None.

        A released farmer has ended where work of ours was accepted, and else is not ours to tell of.
        """
        if self.released:
            return self.accepted if self.accepted is not None and self.accepted.find is not None else None
        if self.failure is not None and self.failure.final and self.accepted is None:
            return self.failure
        if stage < Stage.FINAL:
            return None
        best = -1 if self.best is None else self.best.zeros
        complete = self.accepted is not None and self.accepted.zeros >= best
        if stage is not Stage.OVER and not complete:
            return None
        return self._outcome()

    def _outcome(self) -> Accepted | Failure:
        if self.accepted is None:
            return self.failure or OUT_OF_TIME
        if self.accepted.find is not None:
            return self.accepted
        return Failure(
            Reason.CONTRACT_REFUSED,
            f"the Pail holds {self.accepted.zeros} zeros that this pooler did not submit",
        )
