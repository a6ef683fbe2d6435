"""Rows in memory, and transactions over them: all of a transaction happens, or nothing does."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from backend.domain.attempt import Attempt, AttemptState
from backend.domain.audit import Link
from backend.domain.blame import Cause, Owner
from backend.domain.failure import Failure
from backend.domain.farmer import FarmerKey, FarmerState
from backend.domain.harvest import HarvestState
from backend.domain.lease import Incarnation, Quarantine
from backend.domain.money import Cursor, Transfer
from backend.domain.payout import PayoutAddress, PayoutRules, Switch
from backend.domain.plant import Plant, PlantRequest
from backend.domain.presence import Attended, HandOver
from backend.domain.trust import Issued, Standing
from backend.domain.withdrawal import Withdrawal
from backend.domain.work import WorkReport, WorkState
from backend.errors import LeaseLostError

Row = TypeVar("Row")
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FarmerRow:
    """A row of farmers; `number` orders rows by their creation."""

    number: int
    key: FarmerKey
    request_id: str
    state: FarmerState
    stake_basis_points: int
    harvest_after_blocks: int
    created_at: datetime
    updated_at: datetime
    balance: int = 0
    earned: int = 0
    batch: UUID | None = None
    last_planted_block: int | None = None
    fixed_stake: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlantRow:
    """A row of plant_transactions."""

    number: int
    plant: Plant


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A row of work_results."""

    number: int
    work_id: UUID
    report_id: str | None
    block_index: int
    farmer_id: UUID
    address: str
    pooler_id: str
    state: WorkState
    work_hash: bytes | None = None
    nonce: int | None = None
    zeros: int | None = None
    gap: int | None = None
    transaction_hash: str | None = None
    ledger: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class HarvestRow:
    """A row of harvest_transactions."""

    number: int
    harvest_id: UUID
    block_index: int
    farmer_id: UUID
    address: str
    stake: int
    planted_ledger: int
    state: HarvestState = HarvestState.PENDING
    live_until: int | None = None
    reward: int | None = None
    ledger: int | None = None
    transaction_hash: str | None = None
    failure: Failure | None = None
    alarm_percent: int = 0


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A row of attempts."""

    number: int
    attempt: Attempt
    fence: int
    state: AttemptState = AttemptState.OPEN
    result_code: str | None = None
    result_ledger: int | None = None
    fee_charged: int | None = None
    result_hash: bytes | None = None
    ended_by: tuple[int, int] | None = None
    """Fence of the backend that ended it, and of the lease then: for the checks alone."""


@dataclass(frozen=True, slots=True)
class WithdrawalRow:
    """A row of withdrawals."""

    number: int
    withdrawal: Withdrawal
    limit_waived: bool = False


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of block_events."""

    block_index: int
    event_type: str
    farmer_id: UUID | None
    pooler_id: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The row of lease."""

    fence: int = 0
    epoch: int = 0
    holder: str = "nobody"
    incarnation: Incarnation | None = None


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """A row of quarantines."""

    quarantine: Quarantine
    ended_ledger: int | None = None


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A row of pooler_certificates."""

    issued: Issued
    good: bool = True
    """Neither used up nor revoked."""


class Table(Generic[Row]):
    """Rows by key, in the order of their insertion, and again by an attribute that queries ask for."""

    def __init__(self, undo: list[Callable[[], None]], group: Callable[[Row], Hashable]) -> None:
        self._undo = undo
        self._group = group
        self.rows: dict[Hashable, Row] = {}
        self._groups: dict[Hashable, dict[Hashable, Row]] = {}

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def newest(self) -> Iterator[Row]:
        """The rows, last inserted first."""
        return reversed(self.rows.values())

    def get(self, key: Hashable) -> Row | None:
        """The row, if there is one."""
        return self.rows.get(key)

    def put(self, key: Hashable, row: Row) -> None:
        """Inserts or replaces a row."""
        before = self.rows.get(key)
        self._undo.append(lambda: self._set(key, before))
        self._set(key, row)

    def having(self, group: Hashable) -> list[Row]:
        """The rows whose attribute has this value."""
        return list(self._groups.get(group, {}).values())

    def _set(self, key: Hashable, row: Row | None) -> None:
        before = self.rows.get(key)
        if before is not None:
            del self._groups[self._group(before)][key]
        if row is None:
            del self.rows[key]
        else:
            self.rows[key] = row
            self._groups.setdefault(self._group(row), {})[key] = row

    def copied(self, undo: list[Callable[[], None]]) -> Table[Row]:
        """The same rows, which never change themselves, in a table of their own."""
        copied = Table(undo, self._group)
        copied.rows = dict(self.rows)
        copied._groups = {group: dict(rows) for group, rows in self._groups.items()}
        return copied


@dataclass
class Tables:
    """A database: it outlives the stores over it, as a server outlives its clients."""

    incarnation: Incarnation = field(default_factory=lambda: Incarnation(1, 1))

    def __post_init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._numbers = 0
        self._in_transaction = False
        self.position = 0
        self.holder: object | None = None
        self.lease = LeaseRow()
        self.cursor = Cursor(None, None, 0)
        self.opened: list[UUID] = []
        self.ended: list[UUID] = []
        self.reopened: dict[UUID, HarvestState] = {}
        self.events: list[EventRow] = []
        self.quarantines: Table[QuarantineRow] = Table(
            self._undo, lambda row: "open" if row.ended_ledger is None else "ended"
        )
        self.links: list[Link] = []
        self.attributions: Table[tuple[Cause, Owner]] = Table(self._undo, lambda _: None)
        self.detected: Table[int] = Table(self._undo, lambda _: None)
        self.farmers: Table[FarmerRow] = Table(self._undo, lambda row: row.state)
        self.requests: Table[PlantRequest] = Table(self._undo, lambda _: None)
        self.answers: Table[list[tuple[UUID, int | None]]] = Table(self._undo, lambda _: None)
        self.asked: Table[tuple[str, ...]] = Table(self._undo, lambda _: None)
        self.plants: Table[PlantRow] = Table(self._undo, lambda row: row.plant.state)
        self.of_block: Table[tuple[UUID, ...]] = Table(self._undo, lambda _: None)
        self.planted: Table[UUID] = Table(self._undo, lambda _: None)
        self.works: Table[WorkRow] = Table(self._undo, lambda row: row.state)
        self.worked: Table[UUID] = Table(self._undo, lambda _: None)
        self.standings: Table[tuple[Standing, str, int]] = Table(self._undo, lambda _: None)
        self.certificates: Table[CertificateRow] = Table(self._undo, lambda row: row.issued.pooler_id)
        self.wrong: Table[tuple[WorkReport, int]] = Table(self._undo, lambda row: row[0].pooler_id)
        self.attended: Table[Attended] = Table(self._undo, lambda _: None)
        self.handed: Table[HandOver] = Table(self._undo, lambda row: (row.block_index, row.farmer_id))
        self.reports: Table[UUID] = Table(self._undo, lambda _: None)
        self.harvests: Table[HarvestRow] = Table(self._undo, lambda row: row.state)
        self.harvested: Table[UUID] = Table(self._undo, lambda _: None)
        self.withdrawals: Table[WithdrawalRow] = Table(self._undo, lambda row: row.withdrawal.state)
        self.payouts: Table[tuple[PayoutAddress, ...]] = Table(self._undo, lambda _: None)
        self.switches: list[Switch] = []
        self.cuts: list[tuple[int, int]] = []
        self.limits: PayoutRules | None = None
        self.attempts: Table[AttemptRow] = Table(self._undo, lambda row: row.state)
        self.sequences: Table[bytes] = Table(self._undo, lambda _: None)
        self.transfers: Table[Transfer] = Table(self._undo, lambda row: row.kind)
        self.transferred: Table[Transfer] = Table(self._undo, lambda _: None)
        self.closings: Table[int] = Table(self._undo, lambda _: None)
        self.accounts: Table[int] = Table(self._undo, lambda _: None)
        self.intents: Table[tuple[bytes, ...]] = Table(self._undo, lambda _: None)

    def next_number(self) -> int:
        """The next number of a row, over all tables."""
        self._numbers += 1
        return self._numbers

    def now(self) -> datetime:
        """A time that passes with the rows."""
        return _BEGINNING + timedelta(seconds=self.position)

    @contextmanager
    def transaction(self) -> Iterator[Tables]:
        """Everything or nothing; transactions do not nest, and nothing else runs within one."""
        assert not self._in_transaction
        lease, cursor, events, links = self.lease, self.cursor, len(self.events), len(self.links)
        switches, cuts, limits = self.switches, self.cuts, self.limits
        self._in_transaction = True
        try:
            yield self
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            del self.events[events:]
            del self.links[links:]
            self.lease, self.cursor = lease, cursor
            self.switches, self.cuts, self.limits = switches, cuts, limits
            raise
        finally:
            self._undo.clear()
            self.opened.clear()
            self.ended.clear()
            self.reopened.clear()
            self._in_transaction = False
        self.position += 1

    def check_fence(self, fence: int) -> None:
        """Raises LeaseLostError if the lease has another fence."""
        if fence != self.lease.fence or fence == 0:
            raise LeaseLostError(f"the lease is held by {self.lease.holder} with fence {self.lease.fence}")

    def disconnect(self, session: object) -> None:
        """Takes back what a client's connection held: the lease's lock."""
        if self.holder is session:
            self.holder = None

    def snapshot(self) -> Tables:
        """A copy as a backup would have it."""
        made = Tables(self.incarnation)
        made._numbers, made.position = self._numbers, self.position
        made.lease, made.cursor = self.lease, self.cursor
        made.switches, made.cuts, made.limits = self.switches, self.cuts, self.limits
        made.events, made.links = list(self.events), list(self.links)
        for name, value in vars(self).items():
            if isinstance(value, Table):
                setattr(made, name, value.copied(made._undo))
        return made

    def restored(self) -> Tables:
        """The database that a server started from this backup has: the next timeline."""
        made = self.snapshot()
        made.incarnation = Incarnation(self.incarnation.system_identifier, self.incarnation.timeline + 1)
        return made
