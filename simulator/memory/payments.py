"""Payments out of farmers' accounts in memory: which withdrawal each carried out, and what is promised."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

from backend.domain.farmer import FarmerState
from backend.domain.money import AccountKind, Transfer, movement_transfer
from backend.domain.payout_books import payout_transfers
from backend.domain.plant import Plant, PlantState
from backend.domain.settlement import BalanceMoved, ExitRewound, WithdrawalFailed, WithdrawalPaid
from backend.domain.withdrawal import LIVE, RESERVING, Withdrawal, WithdrawalKind, WithdrawalState, paid_by
from backend.errors import StoreConflictError
from simulator.memory.books import balance
from simulator.memory.tables import Tables


def withdrawals_of(tables: Tables, farmer_id: UUID, states: Collection[WithdrawalState]) -> list[Withdrawal]:
    """A farmer's withdrawals in these states, oldest first."""
    rows = [row for row in tables.withdrawals if row.withdrawal.farmer_id == farmer_id]
    return [row.withdrawal for row in sorted(rows, key=lambda row: row.number) if row.withdrawal.state in states]


def held_of(tables: Tables, farmer_id: UUID) -> int:
    """What of a farmer's available balance is promised."""
    stakes = (row.plant for row in tables.plants.having(PlantState.PENDING))
    return (
        sum(one.stroops for one in withdrawals_of(tables, farmer_id, RESERVING))
        + sum(plant.stake_stroops for plant in stakes if plant.farmer_id == farmer_id)
        + balance(tables, (AccountKind.DUE, farmer_id))
    )


def check_covered(tables: Tables, plants: Sequence[Plant]) -> None:
    """Refuses plants just stored that stake what is promised. Raises StoreConflictError."""
    for farmer_id in {plant.farmer_id for plant in plants if plant.state is PlantState.PENDING and plant.stake_stroops}:
        farmer = tables.farmers.get(farmer_id)
        assert farmer is not None
        set_aside = any(one.stroops for one in withdrawals_of(tables, farmer_id, RESERVING))
        promised = set_aside or balance(tables, (AccountKind.DUE, farmer_id)) > 0
        if promised and held_of(tables, farmer_id) > farmer.balance:
            raise StoreConflictError("the database refused a row by its rule plant_transactions_covered")


def is_leaving(tables: Tables, farmer_id: UUID) -> bool:
    """Whether a farmer's exit is under way or done."""
    states = LIVE | {WithdrawalState.PAID}
    return any(one.kind is WithdrawalKind.EXIT for one in withdrawals_of(tables, farmer_id, states))


def is_waiting_to_leave(tables: Tables, farmer_id: UUID) -> bool:
    """Whether a farmer's exit waits for its pails."""
    waiting = withdrawals_of(tables, farmer_id, {WithdrawalState.REQUESTED})
    return any(one.kind is WithdrawalKind.EXIT for one in waiting)


def mark_paid(tables: Tables, effect: WithdrawalPaid) -> None:
    """Moves a withdrawal to PAID; the farmer of an exit has departed."""
    row = tables.withdrawals.get(effect.withdrawal_id)
    if row is None or row.withdrawal.state not in LIVE:
        return
    paid = replace(
        row.withdrawal,
        state=WithdrawalState.PAID,
        ledger=effect.ledger,
        transaction_hash=effect.transaction_hash,
    )
    tables.withdrawals.put(effect.withdrawal_id, replace(row, withdrawal=paid))
    farmer = tables.farmers.get(paid.farmer_id)
    assert farmer is not None
    if paid.kind is WithdrawalKind.EXIT:
        tables.farmers.put(paid.farmer_id, replace(farmer, state=FarmerState.DEPARTED))


def fail(tables: Tables, effect: WithdrawalFailed) -> None:
    """Moves a withdrawal to FAILED."""
    row = tables.withdrawals.get(effect.withdrawal_id)
    if row is not None and row.withdrawal.state in RESERVING:
        failed = replace(row.withdrawal, state=WithdrawalState.FAILED, refusal=effect.refusal)
        tables.withdrawals.put(effect.withdrawal_id, replace(row, withdrawal=failed))


def rewind(tables: Tables, effect: ExitRewound) -> None:
    """Lets an exit begin again."""
    row = tables.withdrawals.get(effect.withdrawal_id)
    if row is not None and row.withdrawal.state is WithdrawalState.SENDING:
        again = replace(row.withdrawal, state=WithdrawalState.REQUESTED, stroops=0, cut_stroops=0)
        tables.withdrawals.put(effect.withdrawal_id, replace(row, withdrawal=again))


def movements(tables: Tables, moved: BalanceMoved) -> list[Transfer]:
    """What a payment to or from a farmer's account is booked as; a withdrawal it carried out becomes PAID."""
    withdrawal = _carried_out(tables, moved)
    if withdrawal is None:
        return [movement_transfer(moved)]
    mark_paid(tables, WithdrawalPaid(withdrawal.withdrawal_id, moved.ledger, moved.transaction_hash))
    return payout_transfers(moved, cut_stroops=withdrawal.cut_within(-moved.stroops))


def _carried_out(tables: Tables, moved: BalanceMoved) -> Withdrawal | None:
    if moved.stroops >= 0:
        return None
    paid = withdrawals_of(tables, moved.farmer_id, {WithdrawalState.PAID})
    known = next((one for one in paid if one.transaction_hash == moved.transaction_hash), None)
    return known or paid_by(withdrawals_of(tables, moved.farmer_id, LIVE), -moved.stroops, moved.counterparty)
