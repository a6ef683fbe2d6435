"""The money ledger's own statements: cursor, reconciliation, checks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from backend.db.books import book, lock_cursor
from backend.db.database import Database, lock_farmers
from backend.db.fencing import hold_lease
from backend.domain.money import AccountKind, Cursor, Deposit, FarmerBooks, TransferReason, Violation, adjustment
from kale_chain.model import Memo

_CURSOR = text("SELECT ledger_sequence, unread_from, coalesce(equal_at, 0) AS equal_at FROM chain_cursor")
_SKIP = text("""
UPDATE chain_cursor
SET
    unread_from = coalesce(unread_from, ledger_sequence + 1, 0),
    ledger_sequence = :ledger
WHERE ledger_sequence IS NULL OR ledger_sequence < :ledger
""")
_RECONCILED = text("UPDATE chain_cursor SET unread_from = NULL, equal_at = :ledger")
_BOOKS = text("""
SELECT
    f.id, f.wallet_address,
    max(a.balance) FILTER (WHERE a.kind = 'available') AS available,
    max(a.balance) FILTER (WHERE a.kind = 'staked') AS staked
FROM farmers AS f
INNER JOIN money_accounts AS a ON a.farmer_id = f.id
GROUP BY f.id
ORDER BY f.id
""")
_OWNERS = text("SELECT wallet_address, id FROM farmers")
_DEPOSITS = text("""
SELECT
    t.id, t.farmer_id, p.amount, t.ledger_sequence, encode(t.transaction_hash, 'hex') AS transaction_hash,
    t.counterparty, t.memo
FROM money_transfers AS t
INNER JOIN money_postings AS p ON p.transfer_id = t.id AND p.amount > 0
WHERE t.farmer_id = :farmer_id AND t.kind = 'deposit' AND (CAST(:before AS bigint) IS NULL OR t.id < :before)
ORDER BY t.id DESC LIMIT :size
""")
_NOW = text("SELECT now()")
_CHECK = text("SELECT kind, key, detail FROM ledger_check(coalesce(:since, '-infinity'::timestamptz))")


class SqlMoneyStore:
    """See backend.ports.money.MoneyStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursor(self) -> Cursor:
        """How far the ledger was followed."""
        async with self._database.transaction() as connection:
            return Cursor(*(await connection.execute(_CURSOR)).one())

    async def owners(self) -> Mapping[str, UUID]:
        """Every farmer's id by address."""
        async with self._database.transaction() as connection:
            return {row.wallet_address: row.id for row in await connection.execute(_OWNERS)}

    async def skip(self, ledger: int) -> None:
        """Records that ledgers cannot be read; see the port."""
        async with self._database.transaction() as connection:
            await hold_lease(connection, self._database.fence)
            await connection.execute(_SKIP, {"ledger": ledger})

    async def reconcile(self, ledger: int, balances: Mapping[str, int]) -> int | None:
        """Sets the available balances equal to the accounts; see the port."""
        async with self._database.transaction() as connection:
            await hold_lease(connection, self._database.fence)
            await lock_farmers(connection, [row.id for row in await connection.execute(_BOOKS)])
            if (await lock_cursor(connection)).ledger != ledger:
                return None
            wrong = _wrong(await connection.execute(_BOOKS), balances)
            adjustments = [
                adjustment(
                    (AccountKind.AVAILABLE, row.id),
                    balances.get(row.wallet_address, 0) - int(row.available),
                    TransferReason.UNREAD_LEDGERS,
                    ledger=ledger,
                    number=str(ledger),
                )
                for row in wrong
            ]
            await book(connection, others=adjustments)
            await connection.execute(_RECONCILED, {"ledger": ledger})
        return len(wrong)

    async def differences(self, ledger: int, balances: Mapping[str, int]) -> Sequence[Violation] | None:
        """Farmers whose books differ from the accounts; see the port."""
        async with self._database.transaction() as connection:
            if (await lock_cursor(connection)).ledger != ledger:
                return None
            wrong = _wrong(await connection.execute(_BOOKS), balances)
        return [
            Violation(
                "ledger_differs",
                str(row.id),
                f"{row.available} available by the books, but {balances.get(row.wallet_address, 0)} on the account "
                f"{row.wallet_address} as of ledger {ledger}",
            )
            for row in wrong
        ]

    async def balances(self) -> Mapping[UUID, FarmerBooks]:
        """Every farmer's balances as booked."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_BOOKS)
            return {row.id: FarmerBooks(int(row.available), int(row.staked)) for row in rows}

    async def deposits(self, farmer_id: UUID, *, before: int | None, size: int) -> Sequence[Deposit]:
        """A farmer's deposits; see the port."""
        values = {"farmer_id": farmer_id, "before": before, "size": size}
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_DEPOSITS, values)).all()
        return [
            Deposit(
                number=row.id,
                farmer_id=row.farmer_id,
                stroops=int(row.amount),
                ledger=row.ledger_sequence,
                transaction_hash=row.transaction_hash,
                sender=row.counterparty,
                memo=Memo.parse(row.memo) if row.memo else None,
            )
            for row in rows
        ]

    async def check(self, *, since: datetime | None = None) -> tuple[datetime, Sequence[Violation]]:
        """Runs ledger_check; see the port."""
        async with self._database.transaction() as connection:
            began: datetime = (await connection.execute(_NOW)).scalar_one()
            rows = await connection.execute(_CHECK, {"since": since})
            return began, [Violation(*row) for row in rows]


def _wrong(books: Any, balances: Mapping[str, int]) -> list[Row[Any]]:
    return [row for row in books if int(row.available) != balances.get(row.wallet_address, 0)]
