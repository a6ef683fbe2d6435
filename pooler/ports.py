"""What the services need of the world. Adapters: chain (ledger), link (backend), search (engine), state (disk).

Methods that read the ledger raise `kale_chain.errors.RpcError`, which never says anything about the ledger's state;
methods that ask the backend raise `pooler.errors.BackendError`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from kale_chain.model import Block, Farm, Ledger, Pail
from pooler.domain.assignment import Assignment, Find
from pooler.domain.attempt import Attempt, WorkResult
from pooler.domain.presence import Notice, State, TakenLease
from pooler.domain.report import Acknowledgement, Report
from pooler.domain.schedule import Stage
from pooler.domain.snapshot import Circuit


@dataclass(frozen=True, slots=True)
class News:
    """Ledgers closed since the last news, each ledger in exactly one news.

    Attributes:
        last: The last of them.
        result: What they made of a transaction, by its hash; None if it is in none of them.
    """

    last: Ledger
    result: Callable[[str], WorkResult | None]


class LedgerFeed(Protocol):
    """The closed ledgers, one after the other."""

    @property
    def problem(self) -> str | None:
        """Why ledgers do not arrive now; None while they do."""

    async def latest(self) -> Ledger:
        """The last closed ledger."""

    def news(self, after: int) -> AsyncIterator[News]:
        """Everything closed after ledger `after`, for ever; waits out every error."""


class FarmView(Protocol):
    """The farm's storage."""

    async def farm_and_block(self, index: int) -> tuple[Farm, Block | None]:
        """The instance and `Block(index)` of one moment."""

    async def pails(self, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Pail]:
        """The existing Pails of (farmer, block)."""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """A work transaction to build: what for, from which channel account, valid in which ledgers (max exclusive).

    `ledgers_left` is how many ledgers after the next one still are safely in its block: with fewer, more is offered.
    """

    assignment: Assignment
    find: Find
    stage: Stage
    channel: int
    sequence: int
    max_ledger: int
    ledgers_left: int


class SendState(Enum):
    """What the network said to a transaction; only REFUSED tells more than "perhaps"."""

    TAKEN = "taken"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to sending: its state, and the network's code (such as "txBAD_SEQ") if it was refused."""

    state: SendState
    code: str = ""


class WorkChannels(Protocol):
    """The channel accounts that work goes through, each with at most one pending transaction."""

    @property
    def count(self) -> int:
        """How many exist on the ledger; their numbers are 0 to count − 1."""

    async def sequences(self, channels: Collection[int]) -> dict[int, int]:
        """The last used sequence number of each channel account."""

    async def refresh_fees(self) -> None:
        """Reads what the network asks for now; transactions built from then on offer that."""

    def build(self, order: WorkOrder) -> Attempt:
        """A signed transaction, paid by the fee account."""

    async def send(self, attempt: Attempt) -> Sent:
        """Hands it to the network."""


@dataclass(frozen=True, slots=True)
class PlantedEvent:
    """A farmer was planted; `number` counts the events of a request from 1."""

    number: int
    assignment: Assignment


@dataclass(frozen=True, slots=True)
class PlantFailedEvent:
    """A farmer could not be planted."""

    number: int
    farmer_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PlantsDone:
    """All plants of a request are final."""

    planted: int
    failed: int


PlantMessage = PlantedEvent | PlantFailedEvent | PlantsDone


class Backend(Protocol):
    """The backend, which plants and takes reports.

    Attributes:
        problem: Why it is not up, as last heard; None if it is.
        changed: Called when `problem` changes.
    """

    problem: str | None
    changed: Callable[[], None]

    @property
    def circuits(self) -> Sequence[Circuit]:
        """How the backend's addresses stand."""

    async def check(self) -> None:
        """Asks how it is."""

    def plant(self, block_index: int, *, farmers: int, resume_after: int) -> AsyncGenerator[PlantMessage, None]:
        """One stream of a block's plants; ends after `PlantsDone`, raises if it is cut before."""

    def report_work(self, reports: Sequence[Report]) -> AsyncIterator[Acknowledgement]:
        """Sends reports and yields their acknowledgements; raises if the stream is cut before the last."""

    def attend(self, states: AsyncIterator[State]) -> AsyncGenerator[Notice, None]:
        """Tells the backend of this pooler's states for as long as it is wanted; what it says in return."""

    async def report_block(self, block_index: int, *, opened_at: int, ledger: int) -> bool:
        """Tells of a detected block; False if it was told before."""


class Search(Protocol):
    """A running search."""

    @property
    def hashes(self) -> int:
        """Nonces tried."""

    def cancel(self) -> None:
        """Ends it; a repeat does nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A better find of a search, or with `ended` that the search is over; `spare` if it is one for a spare find."""

    block_index: int
    address: str
    find: Find | None
    ended: bool
    spare: bool = False


class HashEngine(Protocol):
    """The nonce search on this machine's cores; they always work for the search with the fewest zeros."""

    def search(
        self,
        assignment: Assignment,
        entropy: bytes,
        *,
        min_zeros: int,
        max_zeros: int,
        nonce_start: int,
        nonce_count: int,
        spare: bool = False,
    ) -> Search:
        """Starts a search of these nonces that ends at `max_zeros`; one for a `spare` find is told apart in `finds`.

        Every better find of at least `min_zeros` is told by `finds`. Until it has found something it counts as one with
        `min_zeros` − 1 zeros.
        """

    def finds(self) -> AsyncIterator[list[Found]]:
        """What searches find, in batches, until the engine is closed."""

    def rate(self) -> float:
        """Hashes a second of late."""

    def capacity(self) -> float:
        """Hashes a second of all cores together, as measured when they were busy."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a journal holds of unfinished blocks, and the delays seen of each kind, oldest first."""

    requested: list[int]
    assignments: list[Assignment]
    finds: list[tuple[int, str, Find]]
    submitted: list[tuple[int, str, Find, Stage]]
    attempts: list[Attempt]
    run_number: int
    delays: dict[str, list[int | None]]


class Journal(Protocol):
    """What survives a restart; every method returns once it is on disk."""

    async def restore(self, index: int) -> Kept:
        """What is unfinished, and the number of this run.

        Forgets what belongs to blocks after `index` + 1, which another ledger must have had.
        """

    async def requested(self, block_index: int) -> None:
        """Plants were asked for in a block."""

    async def assigned(self, assignment: Assignment) -> bool:
        """A farmer is this pooler's; False if a report on it is already written, or another pooler has it by now."""

    async def taken(self, leases: Sequence[TakenLease]) -> None:
        """Farmers are other poolers' now, by leases of these generations."""

    async def found(self, finds: Sequence[tuple[int, str, Find]]) -> None:
        """Better finds by block and farmer."""

    async def opened(self, attempts: Sequence[Attempt]) -> None:
        """Attempts about to be sent."""

    async def ended(self, attempts: Sequence[Attempt]) -> None:
        """Attempts whose end is known."""

    async def seen(self, kind: str, delays: Sequence[int | None]) -> None:
        """Delays of a kind, in ledgers; None for one that never came."""

    async def report(self, reports: Sequence[Report]) -> None:
        """Reports to be delivered; a report written before stays as it is."""

    async def unacknowledged(self, limit: int) -> list[Report]:
        """Reports to deliver, oldest first."""

    async def unacknowledged_count(self) -> int:
        """How many there are."""

    async def acknowledged(self, report_ids: Sequence[str]) -> None:
        """The backend has these."""
