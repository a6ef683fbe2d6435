"""The money ledger's own statements in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from backend.domain.attempt import AttemptKind, AttemptState
from backend.domain.harvest import HarvestState
from backend.domain.money import (
    AccountKind,
    Cursor,
    Deposit,
    FarmerBooks,
    Transfer,
    TransferKind,
    TransferReason,
    Violation,
    adjustment,
)
from simulator.memory.books import balance, book, unbalanced
from simulator.memory.session import Session
from simulator.memory.tables import AttemptRow, FarmerRow, Tables


class MemoryMoneyStore:
    """See backend.ports.money.MoneyStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def cursor(self) -> Cursor:
        """How far the ledger was followed."""
        async with self._session.transaction() as tables:
            return tables.cursor

    async def owners(self) -> Mapping[str, UUID]:
        """Every farmer's id by address."""
        async with self._session.transaction() as tables:
            return {row.key.address: row.key.farmer_id for row in tables.farmers}

    async def skip(self, ledger: int) -> None:
        """Records that ledgers cannot be read; see the port."""
        async with self._session.transaction() as tables:
            self._session.hold_lease(tables)
            before = tables.cursor
            if before.ledger is not None and before.ledger >= ledger:
                return
            unread = 0 if before.ledger is None else before.ledger + 1
            known = unread if before.unread_from is None else before.unread_from
            tables.cursor = replace(before, ledger=ledger, unread_from=known)

    async def reconcile(self, ledger: int, balances: Mapping[str, int]) -> int | None:
        """Sets the available balances equal to the accounts; see the port."""
        async with self._session.transaction() as tables:
            self._session.hold_lease(tables)
            if tables.cursor.ledger != ledger:
                return None
            wrong = _wrong(tables, balances)
            book(
                tables,
                others=[
                    adjustment(
                        (AccountKind.AVAILABLE, row.key.farmer_id),
                        balances.get(row.key.address, 0) - row.balance,
                        TransferReason.UNREAD_LEDGERS,
                        ledger=ledger,
                        number=str(ledger),
                    )
                    for row in wrong
                ],
            )
            tables.cursor = Cursor(ledger, None, ledger)
            return len(wrong)

    async def differences(self, ledger: int, balances: Mapping[str, int]) -> Sequence[Violation] | None:
        """Farmers whose books differ from the accounts; see the port."""
        async with self._session.transaction() as tables:
            if tables.cursor.ledger != ledger:
                return None
            return [
                Violation(
                    "ledger_differs",
                    str(row.key.farmer_id),
                    f"{row.balance} available by the books, but {balances.get(row.key.address, 0)} on the account "
                    f"{row.key.address} as of ledger {ledger}",
                )
                for row in _wrong(tables, balances)
            ]

    async def balances(self) -> Mapping[UUID, FarmerBooks]:
        """Every farmer's balances as booked."""
        async with self._session.transaction() as tables:
            return {
                row.key.farmer_id: FarmerBooks(row.balance, balance(tables, (AccountKind.STAKED, row.key.farmer_id)))
                for row in tables.farmers
            }

    async def deposits(self, farmer_id: UUID, *, before: int | None, size: int) -> Sequence[Deposit]:
        """A farmer's deposits; see the port."""
        async with self._session.transaction() as tables:
            numbered = [(number, row) for number, row in tables.transfers.rows.items() if isinstance(number, int)]
            found = [
                _deposit(number, row)
                for number, row in reversed(numbered)
                if row.kind is TransferKind.DEPOSIT
                and row.farmer_id == farmer_id
                and (before is None or number < before)
            ]
            return found[:size]

    async def check(self, *, since: datetime | None = None) -> tuple[datetime, Sequence[Violation]]:  # noqa: ARG002
        """Looks at everything, whatever `since` says."""
        async with self._session.transaction() as tables:
            return tables.now(), [*_wrong_balances(tables), *_wrong_stakes(tables), *_without_effect(tables)]


def _deposit(number: int, transfer: Transfer) -> Deposit:
    assert transfer.farmer_id is not None
    assert transfer.ledger is not None
    assert transfer.transaction_hash is not None
    return Deposit(
        number=number,
        farmer_id=transfer.farmer_id,
        stroops=max(transfer.legs.values()),
        ledger=transfer.ledger,
        transaction_hash=transfer.transaction_hash,
        sender=transfer.counterparty.address,
        memo=transfer.counterparty.memo,
    )


def _wrong(tables: Tables, balances: Mapping[str, int]) -> list[FarmerRow]:
    return [row for row in tables.farmers if row.balance != balances.get(row.key.address, 0)]


def _wrong_balances(tables: Tables) -> list[Violation]:
    return [
        Violation("balance_wrong", f"{kind} {farmer_id}", "the balance is not the sum of the postings")
        for kind, farmer_id in unbalanced(tables)
    ]


def _wrong_stakes(tables: Tables) -> list[Violation]:
    staked: dict[UUID, int] = {}
    for row in tables.harvests.having(HarvestState.PENDING):
        staked[row.farmer_id] = staked.get(row.farmer_id, 0) + row.stake
    booked = {row.key.farmer_id: balance(tables, (AccountKind.STAKED, row.key.farmer_id)) for row in tables.farmers}
    return [
        Violation("staked_wrong", str(farmer), f"the account staked has {have}, the pails hold {staked.get(farmer, 0)}")
        for farmer, have in booked.items()
        if have != staked.get(farmer, 0)
    ]


def _without_effect(tables: Tables) -> list[Violation]:
    return [
        Violation("attempt_without_effect", row.attempt.hash.hex(), f"a {row.attempt.kind} succeeded without effect")
        for row in tables.attempts.having(AttemptState.SUCCEEDED)
        if not _has_effect(tables, row)
    ]


def _has_effect(tables: Tables, row: AttemptRow) -> bool:
    intent = row.attempt.intent_id
    if row.attempt.kind is AttemptKind.HARVEST:
        harvest = tables.harvests.get(intent)
        return harvest is not None and harvest.state is HarvestState.CONFIRMED
    if row.attempt.kind is AttemptKind.PLANT:
        plant = tables.plants.get(intent)
        return plant is not None and tables.harvested.get((plant.plant.block_index, plant.plant.farmer_id)) is not None
    return True
