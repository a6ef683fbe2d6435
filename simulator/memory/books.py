"""Booking in memory, by the domain's own transfers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from backend.domain.harvest import HarvestState
from backend.domain.money import (
    FARMER_KINDS,
    Account,
    AccountKind,
    BookedPail,
    Transfer,
    TransferKind,
    TransferReason,
    adjustment,
    ending_transfer,
    reopening_transfer,
    shortfalls,
    stake_transfer,
)
from backend.domain.payout_books import cut_transfer
from backend.domain.plant import PlantState
from simulator.memory.tables import HarvestRow, Tables

_ONCE = frozenset({TransferKind.STAKE, TransferKind.HARVEST, TransferKind.CUT})
_CLOSINGS = frozenset({TransferKind.LOSS, TransferKind.TAKEN, TransferKind.REOPENED})


def book(
    tables: Tables,
    *,
    opened: Sequence[UUID] = (),
    ended: Sequence[UUID] = (),
    reopened: Mapping[UUID, HarvestState] | None = None,
    others: Sequence[Transfer] = (),
) -> None:
    """Books the stakes of harvests just opened, what harvests just ended brought, and others; what is booked stays."""
    equal_at = tables.cursor.equal_at
    transfers = [
        *(stake_transfer(_pail(tables, harvest_id), equal_at=equal_at) for harvest_id in opened),
        *(ending_transfer(_pail(tables, harvest_id), equal_at=equal_at) for harvest_id in ended),
        *(cut_transfer(_pail(tables, harvest_id)) for harvest_id in ended),
        *(reopening_transfer(_pail(tables, harvest_id), was) for harvest_id, was in (reopened or {}).items()),
        *others,
    ]
    added = [transfer for transfer in transfers if transfer.legs and _insert(tables, transfer)]
    touched = {account for transfer in added for account in transfer.legs}
    balances = {account: balance(tables, account) for account in touched}
    for account, stroops in shortfalls(added, balances).items():
        number = str(len(tables.transfers.rows))
        filled = adjustment(account, stroops, TransferReason.SHORTFALL, ledger=None, number=number)
        assert _insert(tables, filled)
        added.append(filled)
    _post(tables, added)


def balance(tables: Tables, account: Account) -> int:
    """The balance of an account, in stroops."""
    return tables.accounts.get(account) or 0


def unbalanced(tables: Tables) -> Iterable[Account]:
    """Accounts whose balance is not the sum of their postings."""
    sums: dict[Account, int] = {}
    for transfer in tables.transfers:
        for account, stroops in transfer.legs.items():
            sums[account] = sums.get(account, 0) + stroops
    return [account for account, total in sums.items() if balance(tables, account) != total]


def _insert(tables: Tables, transfer: Transfer) -> bool:
    keys: list[tuple[object, ...]] = [(transfer.effect, transfer.transaction_hash)]
    if transfer.kind in _ONCE:
        keys.append((transfer.kind, transfer.farmer_id, transfer.block_index))
    if any(tables.transferred.get(key) for key in keys):
        return False
    for key in keys:
        tables.transferred.put(key, transfer)
    assert sum(transfer.legs.values()) == 0
    tables.transfers.put(tables.next_number(), transfer)
    if transfer.kind in _CLOSINGS:
        pail = (transfer.farmer_id, transfer.block_index)
        tables.closings.put(pail, 1 + (tables.closings.get(pail) or 0))
    return True


def _post(tables: Tables, transfers: Sequence[Transfer]) -> None:
    for transfer in transfers:
        for account, stroops in transfer.legs.items():
            tables.accounts.put(account, balance(tables, account) + stroops)
            _keep_farmer(tables, transfer, account, stroops)
    for account in {account for transfer in transfers for account in transfer.legs}:
        assert account[0] not in FARMER_KINDS or balance(tables, account) >= 0


def _keep_farmer(tables: Tables, transfer: Transfer, account: Account, stroops: int) -> None:
    if transfer.farmer_id is None or account[0] not in (AccountKind.AVAILABLE, AccountKind.MINT):
        return
    row = tables.farmers.get(transfer.farmer_id)
    assert row is not None
    if account[0] is AccountKind.AVAILABLE:
        tables.farmers.put(transfer.farmer_id, replace(row, balance=row.balance + stroops))
    else:
        tables.farmers.put(transfer.farmer_id, replace(row, earned=row.earned - stroops))


def _pail(tables: Tables, harvest_id: UUID) -> BookedPail:
    row = tables.harvests.get(harvest_id)
    assert row is not None
    return BookedPail(
        farmer_id=row.farmer_id,
        block_index=row.block_index,
        stake_stroops=row.stake,
        planted_ledger=row.planted_ledger,
        plant_hash=_plant_hash(tables, row),
        state=HarvestState(row.state),
        reward_stroops=row.reward,
        ended_ledger=row.ledger,
        harvest_hash=row.transaction_hash,
        failure=row.failure.reason if row.failure else None,
        cut_basis_points=next((cut for cut, since in reversed(tables.cuts) if since <= row.block_index), 0),
        closings=tables.closings.get((row.farmer_id, row.block_index)) or 0,
    )


def _plant_hash(tables: Tables, harvest: HarvestRow) -> str | None:
    plant_id = tables.planted.get((harvest.block_index, harvest.farmer_id))
    row = tables.plants.get(plant_id) if plant_id is not None else None
    confirmed = row is not None and row.plant.state is PlantState.CONFIRMED
    return row.plant.transaction_hash if row is not None and confirmed else None
