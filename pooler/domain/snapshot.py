"""What a pooler is doing, at one moment."""

from dataclasses import dataclass

from kale_chain.breaker import CircuitState
from kale_chain.model import Ledger


@dataclass(frozen=True, slots=True)
class Part:
    """One part the pooler depends on: its name, and why it is not up (None if it is)."""

    name: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Circuit:
    """How a backend's address stands: `host:port`, whether calls go there, and whether it is the one in use."""

    address: str
    state: CircuitState
    in_use: bool


@dataclass(frozen=True, slots=True)
class FarmerSnapshot:
    """One farmer's search: zeros found (None before the first find), zeros accepted (None before), nonces tried."""

    farmer_id: str
    best_zeros: int | None
    accepted_zeros: int | None
    hashes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a pooler is doing.

    Attributes:
        pooler_id: The pooler's name.
        parts: What it depends on.
        circuits: How the backend's addresses stand.
        ledger: The last closed ledger.
        block_index: The farm's index; 0 before it was read.
        block_opened_at: When that block opened, seconds of ledger time; 0 before the first.
        farm_paused: Whether the farm refuses plants.
        phase: "waiting", "planting", "searching" or "submitting".
        farmers: The farmers of the current block that are worked for.
        running_searches: Searches that run.
        hashes_per_second: Over the last seconds.
        machine_load: 1 when every usable core is busy.
        unacknowledged_reports: Reports that the backend has not acknowledged.
        fee_balance_stroops: XLM on the fee account; 0 before it was read.
        uptime_seconds: Since the process started.
    """

    pooler_id: str
    parts: tuple[Part, ...]
    circuits: tuple[Circuit, ...]
    ledger: Ledger
    block_index: int
    block_opened_at: int
    farm_paused: bool
    phase: str
    farmers: tuple[FarmerSnapshot, ...]
    running_searches: int
    hashes_per_second: float
    machine_load: float
    unacknowledged_reports: int
    fee_balance_stroops: int
    uptime_seconds: int

    @property
    def healthy(self) -> bool:
        """Whether everything it depends on is up."""
        return all(part.problem is None for part in self.parts)
