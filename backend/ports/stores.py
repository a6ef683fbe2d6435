"""The stores: rows of the database as the services see them; every method is one committed database transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from backend.domain.attempt import Attempt, AttemptKind, Bump
from backend.domain.audit import ChainHead, Link
from backend.domain.farmer import Farmer, FarmerChange, FarmerKey, FarmerState, NewFarmer
from backend.domain.harvest import KnownHarvest, OpenPail
from backend.domain.life import PailLife
from backend.domain.money import Passage
from backend.domain.plant import Plant, PlantEvent, PlantRequest
from backend.domain.settlement import Effect, Settlement
from backend.domain.spending import Spending
from backend.domain.work import WorkReport
from backend.ports.chain import PailKey
from backend.ports.lease import LeaseStore, QuarantineStore
from backend.ports.money import MoneyStore
from backend.ports.poolers import PoolerStore
from backend.ports.trust import TrustStore
from backend.ports.withdrawals import WithdrawalStore
from kale_chain.planning.inputs import LossHistory


class FarmerStore(Protocol):
    """Farmers and their settings."""

    async def create(self, farmer: NewFarmer) -> Farmer:
        """Stores a farmer in state ONBOARDING; a request_id seen before returns that farmer and stores nothing."""

    async def get(self, farmer_id: UUID) -> Farmer:
        """One farmer. Raises UnknownFarmerError."""

    async def page(self, *, after: UUID | None, state: FarmerState | None, size: int) -> list[Farmer]:
        """At most `size` farmers by (created_at, id), those after the farmer `after`."""

    async def update(self, farmer_id: UUID, change: FarmerChange) -> Farmer:
        """Locks the row, checks the change (domain.farmer.check_change) and stores it. Raises UnknownFarmerError."""

    async def addresses(self) -> Mapping[str, UUID]:
        """Addresses of all farmers whose accounts exist (every state but ONBOARDING)."""

    async def awaiting(self, limit: int) -> list[FarmerKey]:
        """Farmers in state ONBOARDING that are in no batch, oldest first."""

    async def open_batch(self, batch_id: UUID, farmer_ids: Sequence[UUID], attempt: Attempt) -> None:
        """Puts farmers into an onboarding batch and stores its attempt."""

    async def activate(self, farmer_ids: Sequence[UUID]) -> None:
        """Makes ONBOARDING farmers ACTIVE whose accounts were found on the ledger."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An active farmer to be planted, with what a plant needs."""

    key: FarmerKey
    stake_basis_points: int
    fixed_stake_stroops: int | None = None
    """Staked instead of a part of the balance."""
    booked_stroops: int = 0
    """KALE on the account by the books, which may be a ledger behind."""
    held_stroops: int = 0
    """What of it is set aside for withdrawals, promised to pending plants, or the pool's cut."""

    def stakeable(self, on_ledger_stroops: int) -> int:
        """The balance that a stake may be taken of, given what the ledger shows."""
        if not self.held_stroops:
            return on_ledger_stroops
        return max(0, min(on_ledger_stroops, self.booked_stroops) - self.held_stroops)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events of a plant request above a number, and how the request stands."""

    events: Sequence[PlantEvent]
    complete: bool
    """Every plant of the request is final and numbered."""
    planted: int
    failed: int
    last_number: int


@dataclass(frozen=True, slots=True)
class UnsentPlant:
    """A pending plant without an open attempt: its last transaction expired, or it was never built."""

    plant: Plant
    key: FarmerKey
    attempts: int
    """How many transactions it has had."""
    last_code: str | None
    """result_code of the last of them."""


class PlantStore(Protocol):
    """Plant requests and plants.

    A request's plants are fixed when it is created; each gets the next number of the request (from 1, without gaps)
    when it becomes final, in the database transaction that makes it so.
    """

    async def request(self, request_id: str) -> PlantRequest | None:
        """A stored request."""

    async def candidates(self, block_index: int, limit: int | None) -> list[Candidate]:
        """ACTIVE farmers without a plant in this block and without an open attempt, longest unplanted first.

        Never planted comes before all; then by last_planted_block, created_at, id.
        """

    async def plants_of(self, block_index: int, pooler_id: str) -> list[Plant]:
        """This pooler's plants in a block that are not FAILED and went to no other pooler since, oldest first."""

    async def begin(
        self,
        request: PlantRequest,
        *,
        earlier: Sequence[UUID],
        plants: Sequence[Plant],
        attempts: Sequence[Attempt],
    ) -> None:
        """Stores a request, its new plants (PENDING, or FAILED from the start) and their attempts.

        The request's are those of `plants` that are its pooler's (others are planted for poolers that have not asked
        yet), and `earlier`, ids of its pooler's plants in this block; those already final are numbered at once. Records
        plant_requested. Raises StoreConflictError, having stored nothing, if the request, or a plant of one of these
        farmers in this block, exists.
        """

    async def retry(self, attempts: Sequence[Attempt]) -> None:
        """Stores new attempts (kind PLANT) of pending plants."""

    async def events(self, request_id: str, after: int) -> EventPage:
        """The request's events numbered above `after`."""

    async def unsent(self) -> list[UnsentPlant]:
        """Pending plants without an open attempt."""

    async def adopt(self, plants: Sequence[Plant], live_until: Mapping[PailKey, int]) -> int:
        """Stores CONFIRMED plants found on the ledger of which no row knew, with pending harvests.

        Where a plant row of that farmer and block exists only a missing harvest is added. `live_until` holds the last
        ledgers in which pails live, as far as they are known. Returns how many harvests were added.

        Raises:
            LeaseLostError: a newer backend has the lease.
        """


@dataclass(frozen=True, slots=True)
class UnverifiedWork:
    """An unverified report, to be settled from the pail."""

    work_id: UUID
    address: str
    block_index: int
    work_hash: bytes


@dataclass(frozen=True, slots=True)
class UnworkedPail:
    """A pail for which the backend itself has no open or successful work."""

    farmer_id: UUID
    address: str
    block_index: int
    stake_stroops: int


@dataclass(frozen=True, slots=True)
class BackstopWork:
    """Work by the backend itself: the row (pooler_id 'backend', PENDING) and its transaction."""

    work_id: UUID
    farmer_id: UUID
    block_index: int
    work_hash: bytes
    nonce: int
    zeros: int
    attempt: Attempt


class WorkStore(Protocol):
    """Work results."""

    async def planted_address(self, block_index: int, farmer_id: UUID) -> str | None:
        """The farmer's address if the pool has a CONFIRMED plant of it in the block, else None.

        Raises UnknownFarmerError.
        """

    async def record(self, report: WorkReport) -> bool:
        """Stores a checked report in report.state and records work_complete; False if it is a duplicate.

        That is, its report_id is known, or a result of this block, farmer and pooler is stored that it does not
        supersede (domain.work.supersedes). One that supersedes another replaces it in the same row.
        """

    async def unverified(self) -> list[UnverifiedWork]:
        """Reports still in state UNVERIFIED."""

    async def unworked(self, block_index: int) -> list[UnworkedPail]:
        """Unharvested pails of the block without an open or succeeded attempt of kind WORK, the highest stake first.

        Pails found on the ledger count as much as those whose plants are confirmed.
        """

    async def begin(self, works: Sequence[BackstopWork]) -> None:
        """Stores works and their attempts.

        Where a row of an earlier backstop of the same farmer and block exists, work_id is its id (`backstop_ids`) and
        the row stays or becomes PENDING with the new hash and nonce.
        """

    async def backstop_ids(self, block_index: int) -> Mapping[UUID, UUID]:
        """Ids of the backend's own work rows of a block, by farmer id."""


class HarvestStore(Protocol):
    """Harvests; pending from the moment their plants are confirmed."""

    async def open_pails(self) -> list[OpenPail]:
        """Pending harvests without an open attempt."""

    async def begin(self, attempts: Sequence[Attempt]) -> None:
        """Stores attempts (kind HARVEST) of pending harvests."""

    async def set_lives(self, live_until: Mapping[UUID, int]) -> None:
        """Stores the last ledger in which pails live, by harvest id; records life_extended where one had ended sooner.

        Harvests that are no longer pending are passed over.
        """

    async def unharvested(self) -> list[PailLife]:
        """Every pending harvest, shortest life first, those of unknown life last."""

    async def set_alarms(self, percents: Mapping[UUID, int]) -> None:
        """Stores the alarms of pending harvests, by harvest id; records life_alarm where one is higher than before.

        One event for each block and percent, with the number of pails and their stakes.
        """

    async def known(self, blocks: Sequence[int]) -> Mapping[PailKey, KnownHarvest]:
        """Every harvest of these blocks, whatever its state."""

    async def losses(self, since_block: int) -> LossHistory:
        """How many pails of this block and later ones have come to an end, and how many of them were lost."""


class AttemptStore(Protocol):
    """Attempts and their ends."""

    async def open(self) -> list[Attempt]:
        """Every open attempt."""

    async def store(self, attempt: Attempt) -> None:
        """Stores an attempt that belongs to no row (kinds CHANNELS and EXTENSION)."""

    async def bump(self, bumps: Sequence[Bump]) -> None:
        """Stores fee bumps of open attempts, all or nothing.

        Raises StoreConflictError where the attempt has ended, or the bump does not follow the last one with more fee.
        """

    async def spending(self, since_ledger: int) -> Spending:
        """What attempts stored after a ledger have cost, what open ones may yet cost, and what harvests will."""

    async def fees(self) -> Mapping[AttemptKind, int]:
        """The usual XLM, in stroops, of a plant, a work and a harvest of late.

        That is the lower median of what the last `MEASURED_FEES` of a kind that succeeded were charged; a kind of which
        none did is missing. Works are the backend's own: poolers pay for theirs themselves.
        """

    async def settle(self, settlements: Sequence[Settlement], passage: Passage | None = None) -> None:
        """Ends attempts, applies and books effects, and moves the cursor over `passage`, all or nothing.

        An attempt already ended is passed over together with its effects, and so is an effect whose row has moved on or
        that is booked, so a repeat changes nothing.
        PlantConfirmed creates the pending harvest unless there is one, sets the farmer's last_planted_block, numbers
        the plant in its requests, books the stake and records planted. PlantFailed numbers it and records plant_failed.
        HarvestConfirmed books stake and reward and records harvested. HarvestClosed books the loss and records
        harvest_lost or harvest_taken. HarvestReopened makes a lost or failed harvest pending again, books its stake
        back and records harvest_reopened. PailPlanted and PailHarvested do the same to the rows of that farmer and
        block, and adopt them where there are none. BalanceMoved books a deposit or an outflow; ends book their fees.
        A farmer's books that would fall below zero are filled from `unobserved`, with an alarm.

        Raises:
            LeaseLostError: a newer backend has the lease.
        """

    async def apply(self, effects: Sequence[Effect]) -> None:
        """Applies effects that no attempt brought about.

        One whose row has left PENDING (or UNVERIFIED) is passed over.

        Raises:
            LeaseLostError: a newer backend has the lease.
        """


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """Sums for the status."""

    active_farmers: int
    planted: int
    """Confirmed plants of the block asked for."""
    unworked: int
    """Those of them without a successful or unverified work result."""
    open_pails: int
    open_attempts: int


class EventStore(Protocol):
    """The audit trail, and sums over the rows."""

    async def record_block(self, block_index: int, pooler_id: str, *, opened_at: int, ledger: int) -> bool:
        """Records that a pooler detected a block; False if it had before."""

    async def counts(self, block_index: int) -> PoolCounts:
        """Sums for the status."""

    async def seal(self) -> ChainHead:
        """Adds every committed event to the audit chain that is not in it yet; returns the chain's head."""

    def links(self) -> AsyncIterator[Link]:
        """The audit chain from its first link on."""

    async def unsealed(self) -> int:
        """Events that are neither in the chain nor waiting for it: they were removed from both."""


class Stores(Protocol):
    """All stores over one database."""

    farmers: FarmerStore
    plants: PlantStore
    works: WorkStore
    harvests: HarvestStore
    attempts: AttemptStore
    events: EventStore
    money: MoneyStore
    lease: LeaseStore
    quarantines: QuarantineStore
    poolers: PoolerStore
    withdrawals: WithdrawalStore
    trust: TrustStore

    async def ping(self) -> None:
        """Raises DatabaseUnavailableError if the database does not answer."""

    async def close(self) -> None:
        """Closes every connection."""
