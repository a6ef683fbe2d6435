"""Withdrawals, payout addresses, the switch and the pool's cut in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.farmer import FarmerState
from backend.domain.harvest import HarvestState
from backend.domain.money import AccountKind, TransferKind
from backend.domain.payout import RUNNING, PayoutAddress, PayoutRules, Reach, Switch
from backend.domain.plant import PlantState
from backend.domain.settlement import WithdrawalPaid
from backend.domain.withdrawal import (
    LIVE,
    RESERVING,
    NewWithdrawal,
    OpenWithdrawal,
    Refusal,
    Withdrawal,
    WithdrawalKind,
    WithdrawalState,
)
from backend.errors import (
    FarmerDepartedError,
    FarmerLeavingError,
    InsufficientBalanceError,
    RequestReusedError,
    StoreConflictError,
    UnknownFarmerError,
    UnknownWithdrawalError,
    WithdrawalsPausedError,
)
from simulator.memory.attempts import attempts_of, insert_attempts
from simulator.memory.books import balance
from simulator.memory.payments import held_of, is_leaving, mark_paid, withdrawals_of
from simulator.memory.session import Session
from simulator.memory.tables import FarmerRow, Tables, WithdrawalRow

_UNSENT = LIVE - {WithdrawalState.SENDING}
_ENDED = frozenset({WithdrawalState.REFUSED, WithdrawalState.FAILED})


class MemoryWithdrawalStore:
    """See backend.ports.withdrawals.WithdrawalStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def request(self, new: NewWithdrawal, reach: Reach) -> Withdrawal:
        """Stores a withdrawal and sets its amount aside; see the port."""
        async with self._session.transaction() as tables:
            farmer = _farmer(tables, new.farmer_id)
            known = tables.withdrawals.get(new.withdrawal_id)
            if known is not None:
                return _same(known.withdrawal, new)
            if new.kind is not WithdrawalKind.CUT and is_leaving(tables, new.farmer_id):
                departed = farmer.state is FarmerState.DEPARTED
                raise (FarmerDepartedError if departed else FarmerLeavingError)(new.farmer_id)
            _put(tables, _requested(farmer, new))
            if not _recognise(tables, new):
                _begin(tables, farmer, new, reach)
            return _get(tables, new.withdrawal_id).withdrawal

    async def get(self, farmer_id: UUID, withdrawal_id: UUID) -> Withdrawal:
        """One withdrawal of a farmer."""
        async with self._session.transaction() as tables:
            row = tables.withdrawals.get(withdrawal_id)
            if row is None or row.withdrawal.farmer_id != farmer_id:
                raise UnknownWithdrawalError(withdrawal_id)
            return row.withdrawal

    async def page(
        self, farmer_id: UUID | None, *, after: UUID | None, states: Sequence[WithdrawalState], size: int
    ) -> list[Withdrawal]:
        """At most `size` withdrawals, the last one requested first."""
        async with self._session.transaction() as tables:
            rows = sorted(tables.withdrawals, key=lambda row: row.number, reverse=True)
            below = None if after is None else _get(tables, after).number
            return [
                row.withdrawal
                for row in rows
                if farmer_id in (None, row.withdrawal.farmer_id)
                and (not states or row.withdrawal.state in states)
                and (below is None or row.number < below)
            ][:size]

    async def live(self) -> list[OpenWithdrawal]:
        """Everything that something may still follow, oldest first."""
        async with self._session.transaction() as tables:
            rows = sorted((row for state in LIVE for row in tables.withdrawals.having(state)), key=lambda r: r.number)
            return [_open(tables, row.withdrawal) for row in rows]

    async def reserve(self, withdrawal_id: UUID, *, takes_cut: bool, reach: Reach) -> bool:
        """Sets aside for an exit all that its farmer has; see the port."""
        async with self._session.transaction() as tables:
            row = tables.withdrawals.get(withdrawal_id)
            if row is None or row.withdrawal.state is not WithdrawalState.REQUESTED:
                return False
            opened = _open(tables, row.withdrawal)
            farmer = _farmer(tables, row.withdrawal.farmer_id)
            due = opened.due_stroops
            if opened.pails or opened.others or (due and not takes_cut) or farmer.balance < due:
                return False
            left = reach.left(*_used(tables, farmer.key.farmer_id, reach))
            if left is not None and farmer.balance - due > left and not row.limit_waived:
                return False
            _reserve(tables, withdrawal_id, farmer.balance - due, due)
            return True

    async def approve(self, withdrawal_id: UUID, *, keeps_cut: bool) -> None:
        """Moves RESERVED to APPROVED."""
        async with self._session.transaction() as tables:
            row = _get(tables, withdrawal_id)
            if row.withdrawal.state is WithdrawalState.RESERVED:
                cut = row.withdrawal.cut_stroops if keeps_cut else 0
                _change(tables, row, state=WithdrawalState.APPROVED, cut_stroops=cut)

    async def refuse(self, withdrawal_id: UUID, refusal: Refusal) -> bool:
        """Moves what was never sent to REFUSED."""
        async with self._session.transaction() as tables:
            row = tables.withdrawals.get(withdrawal_id)
            if row is None or row.withdrawal.state not in _UNSENT:
                return False
            _change(tables, row, state=WithdrawalState.REFUSED, refusal=refusal)
            return True

    async def begin(self, withdrawal_id: UUID, attempt: Attempt) -> None:
        """Moves APPROVED to SENDING if it is not there yet, and stores its transaction."""
        async with self._session.transaction() as tables:
            row = _get(tables, withdrawal_id)
            if row.withdrawal.state not in (WithdrawalState.APPROVED, WithdrawalState.SENDING):
                raise StoreConflictError(f"withdrawal {withdrawal_id} is not to be sent any more")
            _change(tables, row, state=WithdrawalState.SENDING)
            if tables.switches and tables.switches[-1].paused:
                raise WithdrawalsPausedError(tables.switches[-1].reason)
            insert_attempts(tables, [attempt], fence=self._session.fence)

    async def waive_limit(self, withdrawal_id: UUID) -> bool:
        """Lets an exit go beyond the day's limits."""
        async with self._session.transaction() as tables:
            row = tables.withdrawals.get(withdrawal_id)
            if row is None or (row.withdrawal.kind, row.withdrawal.state) != (
                WithdrawalKind.EXIT,
                WithdrawalState.REQUESTED,
            ):
                return False
            tables.withdrawals.put(withdrawal_id, replace(row, limit_waived=True))
            return True

    async def owing(self, threshold_stroops: int) -> Sequence[tuple[UUID, int]]:
        """Farmers who owe at least so much of the pool's cut and have no live withdrawal, with what they owe."""
        async with self._session.transaction() as tables:
            due = [(row.key.farmer_id, balance(tables, (AccountKind.DUE, row.key.farmer_id))) for row in tables.farmers]
            return [
                (farmer_id, owed)
                for farmer_id, owed in sorted(due)
                if owed > 0 and owed >= threshold_stroops and not withdrawals_of(tables, farmer_id, LIVE)
            ]

    async def switch(self) -> Switch:
        """Whether withdrawals are paused."""
        async with self._session.transaction() as tables:
            return tables.switches[-1] if tables.switches else RUNNING

    async def turn(self, switch: Switch) -> None:
        """Pauses or resumes withdrawals."""
        async with self._session.transaction() as tables:
            tables.switches = [*tables.switches, switch]

    async def payout(self, farmer_id: UUID) -> Sequence[PayoutAddress]:
        """Where a farmer wants to be paid, as it was set, oldest first."""
        async with self._session.transaction() as tables:
            _farmer(tables, farmer_id)
            return tables.payouts.get(farmer_id) or ()

    async def set_payout(self, farmer_id: UUID, address: PayoutAddress) -> None:
        """Adds a payout address."""
        async with self._session.transaction() as tables:
            _farmer(tables, farmer_id)
            tables.payouts.put(farmer_id, (*(tables.payouts.get(farmer_id) or ()), address))

    async def note_limits(self, rules: PayoutRules) -> bool:
        """Records the limits of payments in the audit trail; False where the last ones recorded are the same."""
        async with self._session.transaction() as tables:
            changed = tables.limits != rules
            tables.limits = rules
            return changed

    async def set_cut(self, basis_points: int, from_block: int) -> bool:
        """Sets the pool's cut from a block on; False where it is so already."""
        async with self._session.transaction() as tables:
            if (tables.cuts[-1][0] if tables.cuts else 0) == basis_points:
                return False
            tables.cuts = [*tables.cuts, (basis_points, from_block)]
            return True


def _farmer(tables: Tables, farmer_id: UUID) -> FarmerRow:
    row = tables.farmers.get(farmer_id)
    if row is None:
        raise UnknownFarmerError(farmer_id)
    return row


def _get(tables: Tables, withdrawal_id: UUID) -> WithdrawalRow:
    row = tables.withdrawals.get(withdrawal_id)
    assert row is not None
    return row


def _put(tables: Tables, withdrawal: Withdrawal) -> None:
    tables.withdrawals.put(withdrawal.withdrawal_id, WithdrawalRow(tables.next_number(), withdrawal))


def _change(tables: Tables, row: WithdrawalRow, **changes: object) -> None:
    changed = replace(row.withdrawal, **changes)  # type: ignore[arg-type]
    tables.withdrawals.put(row.withdrawal.withdrawal_id, replace(row, withdrawal=changed))


def _reserve(tables: Tables, withdrawal_id: UUID, stroops: int, cut: int) -> None:
    row = _get(tables, withdrawal_id)
    _change(tables, row, state=WithdrawalState.RESERVED, stroops=stroops, cut_stroops=cut)


def _same(stored: Withdrawal, new: NewWithdrawal) -> Withdrawal:
    same_amount = new.kind is not WithdrawalKind.PAYMENT or stored.stroops == new.stroops
    if not (stored.kind is new.kind and stored.destination == new.destination and same_amount):
        raise RequestReusedError(new.idempotency_key, f"a {stored.kind} of {stored.stroops} stroops")
    return stored


def _requested(farmer: FarmerRow, new: NewWithdrawal) -> Withdrawal:
    return Withdrawal(
        withdrawal_id=new.withdrawal_id,
        farmer_id=new.farmer_id,
        address=farmer.key.address,
        kind=new.kind,
        idempotency_key=new.idempotency_key,
        destination=new.destination,
        stroops=new.stroops,
        cut_stroops=0,
        state=WithdrawalState.REQUESTED,
        created_ledger=new.ledger,
        requested_time=new.requested_time,
    )


def _recognise(tables: Tables, new: NewWithdrawal) -> bool:
    for transfer in tables.transfers.having(TransferKind.OUTFLOW):
        if transfer.farmer_id == new.farmer_id and transfer.counterparty.memo == new.own_memo:
            assert transfer.ledger is not None
            assert transfer.transaction_hash is not None
            mark_paid(tables, WithdrawalPaid(new.withdrawal_id, transfer.ledger, transfer.transaction_hash))
            return True
    return False


def _begin(tables: Tables, farmer: FarmerRow, new: NewWithdrawal, reach: Reach) -> None:
    if new.kind is WithdrawalKind.EXIT:
        if farmer.state is FarmerState.ACTIVE:
            tables.farmers.put(new.farmer_id, replace(farmer, state=FarmerState.INACTIVE))
        return
    spendable = farmer.balance - held_of(tables, new.farmer_id)
    if new.stroops > spendable:
        raise InsufficientBalanceError(new.stroops, spendable)
    if new.kind is WithdrawalKind.PAYMENT:
        reach.check(new.stroops, *_used(tables, new.farmer_id, reach))
    due = balance(tables, (AccountKind.DUE, new.farmer_id))
    promised = sum(one.cut_stroops for one in withdrawals_of(tables, new.farmer_id, RESERVING))
    _reserve(tables, new.withdrawal_id, new.stroops, due - promised if new.takes_cut else 0)


def _used(tables: Tables, farmer_id: UUID, reach: Reach) -> tuple[int, int]:
    counted = [
        row.withdrawal
        for row in tables.withdrawals
        if row.withdrawal.requested_time > reach.since_time
        and row.withdrawal.state not in _ENDED | {WithdrawalState.REQUESTED}
    ]
    return (
        sum(one.stroops for one in counted if one.farmer_id == farmer_id),
        sum(one.stroops for one in counted),
    )


def _open(tables: Tables, withdrawal: Withdrawal) -> OpenWithdrawal:
    farmer_id = withdrawal.farmer_id
    blocks = [row.block_index for row in tables.harvests.having(HarvestState.PENDING) if row.farmer_id == farmer_id]
    blocks += [
        row.plant.block_index for row in tables.plants.having(PlantState.PENDING) if row.plant.farmer_id == farmer_id
    ]
    tried = attempts_of(tables, AttemptKind.WITHDRAWAL, withdrawal.withdrawal_id)
    return OpenWithdrawal(
        withdrawal=withdrawal,
        key=_farmer(tables, farmer_id).key,
        in_flight=any(row.state is AttemptState.OPEN for row in tried),
        due_stroops=balance(tables, (AccountKind.DUE, farmer_id)),
        pails=len(blocks),
        last_block=max(blocks, default=None),
        others=len(withdrawals_of(tables, farmer_id, LIVE)) - 1,
    )
