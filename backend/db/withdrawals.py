"""Withdrawals: what is set aside when they are requested, and the steps before their transactions."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.attempts import insert_attempts
from backend.db.database import Database
from backend.db.payments import WITHDRAWAL, mark_paid, withdrawal_of
from backend.domain.attempt import Attempt
from backend.domain.farmer import FarmerKey, FarmerState
from backend.domain.payout import Reach
from backend.domain.settlement import WithdrawalPaid
from backend.domain.withdrawal import (
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
)

_GET = text(f"{WITHDRAWAL} WHERE w.id = :id AND w.farmer_id = :farmer_id")
_PAGE = text(f"""{WITHDRAWAL}
WHERE (CAST(:farmer_id AS uuid) IS NULL OR w.farmer_id = :farmer_id)
AND (cardinality(CAST(:states AS text[])) = 0 OR w.status = ANY(CAST(:states AS text[])))
AND (
    CAST(:after AS uuid) IS NULL
    OR (w.created_at, w.id) < (SELECT a.created_at, a.id FROM withdrawals AS a WHERE a.id = :after)
)
ORDER BY w.created_at DESC, w.id DESC LIMIT :size
""")  # noqa: S608 - the query is put together from constants
_LIVE = text("""
SELECT
    w.id, w.farmer_id, f.wallet_address, w.kind, w.idempotency_key, w.destination, w.memo, w.amount, w.cut_amount,
    w.status, w.created_ledger, w.requested_time, w.error_reason, w.error_message, w.ledger_sequence,
    w.transaction_hash, f.public_key, f.sealed_seed, f.key_version,
    EXISTS (
        SELECT FROM attempts AS a WHERE a.kind = 'withdrawal' AND a.intent_id = w.id AND a.status = 'open'
    ) AS in_flight,
    d.balance AS due, u.pails, u.last_block,
    (
        SELECT count(*) FROM withdrawals AS o
        WHERE o.farmer_id = w.farmer_id AND o.id <> w.id
        AND o.status IN ('requested', 'reserved', 'approved', 'sending')
    ) AS others
FROM withdrawals AS w
INNER JOIN farmers AS f ON f.id = w.farmer_id
INNER JOIN money_accounts AS d ON d.farmer_id = w.farmer_id AND d.kind = 'due'
CROSS JOIN LATERAL (
    SELECT count(*) AS pails, max(p.block_index) AS last_block
    FROM (
        SELECT h.block_index FROM harvest_transactions AS h WHERE h.farmer_id = w.farmer_id AND h.status = 'pending'
        UNION ALL
        SELECT t.block_index FROM plant_transactions AS t WHERE t.farmer_id = w.farmer_id AND t.status = 'pending'
    ) AS p
) AS u
WHERE w.status IN ('requested', 'reserved', 'approved', 'sending')
ORDER BY w.created_at, w.id
""")
_FARMER = text("SELECT id, status, balance, held_of(id) AS held FROM farmers WHERE id = :id FOR NO KEY UPDATE")
_EXITS = text("""
SELECT count(*) FROM withdrawals
WHERE farmer_id = :farmer_id AND kind = 'exit' AND status NOT IN ('refused', 'failed')
""")
# One request at a time adds up what has left in a day.
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('kale-pool withdrawals'))")
_USED = text("""
SELECT
    coalesce(sum(amount), 0) AS by_all,
    coalesce(sum(amount) FILTER (WHERE farmer_id = :farmer_id), 0) AS by_farmer
FROM withdrawals
WHERE requested_time > :since AND status NOT IN ('requested', 'refused', 'failed')
""")
_CUT = text("""
SELECT a.balance - coalesce((
    SELECT sum(w.cut_amount) FROM withdrawals AS w
    WHERE w.farmer_id = :farmer_id AND w.status IN ('reserved', 'approved', 'sending')
), 0)
FROM money_accounts AS a WHERE a.farmer_id = :farmer_id AND a.kind = 'due'
""")
_INSERT = text("""
INSERT INTO withdrawals (
    id, farmer_id, kind, idempotency_key, destination, memo, amount, created_ledger, requested_time
) VALUES (
    :id, :farmer_id, :kind, :key, :destination, :memo, :amount, :ledger, :time
) ON CONFLICT (farmer_id, idempotency_key) DO NOTHING RETURNING id
""")
_PAID_BEFORE = text("""
SELECT t.ledger_sequence, encode(t.transaction_hash, 'hex') AS transaction_hash
FROM money_transfers AS t
WHERE t.farmer_id = :farmer_id AND t.kind = 'outflow' AND t.memo = :memo
""")
_RESERVE = text("UPDATE withdrawals SET status = 'reserved', amount = :amount, cut_amount = :cut WHERE id = :id")
_REST = text("UPDATE farmers SET status = 'inactive' WHERE id = :id AND status = 'active'")
_APPROVE = text("""
UPDATE withdrawals SET status = 'approved', cut_amount = CASE WHEN :keeps_cut THEN cut_amount ELSE 0 END
WHERE id = :id AND status = 'reserved'
""")
_REFUSE = text("""
UPDATE withdrawals SET status = 'refused', error_reason = :reason, error_message = :message, ended_at = now()
WHERE id = :id AND status IN ('requested', 'reserved', 'approved')
RETURNING id
""")
_SEND = text("UPDATE withdrawals SET status = 'sending' WHERE id = :id AND status = 'approved'")
_STATUS = text("SELECT status FROM withdrawals WHERE id = :id FOR UPDATE")
_WAITING = text("SELECT farmer_id, limit_waived FROM withdrawals WHERE id = :id AND status = 'requested' FOR UPDATE")
_UNFINISHED = text("""
SELECT
    EXISTS (SELECT FROM harvest_transactions AS h WHERE h.farmer_id = :farmer_id AND h.status = 'pending')
    OR EXISTS (SELECT FROM plant_transactions AS p WHERE p.farmer_id = :farmer_id AND p.status = 'pending')
    OR EXISTS (
        SELECT FROM withdrawals AS w
        WHERE w.farmer_id = :farmer_id AND w.id <> :id
        AND w.status IN ('requested', 'reserved', 'approved', 'sending')
    )
""")
_WAIVE = text("""
UPDATE withdrawals SET limit_waived = TRUE WHERE id = :id AND kind = 'exit' AND status = 'requested' RETURNING id
""")


class SqlWithdrawals:
    """The part of backend.ports.withdrawals.WithdrawalStore that concerns withdrawals themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, new: NewWithdrawal, reach: Reach) -> Withdrawal:
        """Stores a withdrawal and sets its amount aside; see the port."""
        async with self._database.attributed() as connection:
            await connection.execute(_ONE_AT_A_TIME)
            farmer = (await connection.execute(_FARMER, {"id": new.farmer_id})).one_or_none()
            if farmer is None:
                raise UnknownFarmerError(new.farmer_id)
            stored = await _stored(connection, new.farmer_id, new.withdrawal_id)
            if stored is not None:
                return _same(stored, new)
            await _check_leaving(connection, farmer, new)
            await connection.execute(_INSERT, _inserted(new))
            if not await _recognise(connection, new):
                await _begin(connection, farmer, new, reach)
            found = await _stored(connection, new.farmer_id, new.withdrawal_id)
            assert found is not None
            return found

    async def get(self, farmer_id: UUID, withdrawal_id: UUID) -> Withdrawal:
        """One withdrawal of a farmer."""
        async with self._database.transaction() as connection:
            found = await _stored(connection, farmer_id, withdrawal_id)
        if found is None:
            raise UnknownWithdrawalError(withdrawal_id)
        return found

    async def page(
        self, farmer_id: UUID | None, *, after: UUID | None, states: Sequence[WithdrawalState], size: int
    ) -> list[Withdrawal]:
        """At most `size` withdrawals, the last one requested first."""
        values = {"farmer_id": farmer_id, "after": after, "states": list(states), "size": size}
        async with self._database.transaction() as connection:
            return [withdrawal_of(row) for row in await connection.execute(_PAGE, values)]

    async def live(self) -> list[OpenWithdrawal]:
        """Everything that something may still follow, oldest first."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_LIVE)).all()
        return [
            OpenWithdrawal(
                withdrawal=withdrawal_of(row),
                key=FarmerKey(row.farmer_id, row.wallet_address, row.public_key, row.sealed_seed, row.key_version),
                in_flight=row.in_flight,
                due_stroops=int(row.due),
                pails=row.pails,
                last_block=row.last_block,
                others=row.others,
            )
            for row in rows
        ]

    async def reserve(self, withdrawal_id: UUID, *, takes_cut: bool, reach: Reach) -> bool:
        """Sets aside for an exit all that its farmer has; see the port."""
        async with self._database.transaction() as connection:
            await connection.execute(_ONE_AT_A_TIME)
            waiting = (await connection.execute(_WAITING, {"id": withdrawal_id})).one_or_none()
            if waiting is None:
                return False
            farmer = (await connection.execute(_FARMER, {"id": waiting.farmer_id})).one()
            place = {"id": withdrawal_id, "farmer_id": waiting.farmer_id}
            due = int(await connection.scalar(_CUT, place) or 0)
            amount = farmer.balance - due
            if await connection.scalar(_UNFINISHED, place) or (due and not takes_cut) or amount < 0:
                return False
            left = reach.left(*await _used(connection, waiting.farmer_id, reach))
            if left is not None and amount > left and not waiting.limit_waived:
                return False
            await connection.execute(_RESERVE, {"id": withdrawal_id, "amount": amount, "cut": due})
            return True

    async def approve(self, withdrawal_id: UUID, *, keeps_cut: bool) -> None:
        """Moves RESERVED to APPROVED."""
        async with self._database.transaction() as connection:
            await connection.execute(_APPROVE, {"id": withdrawal_id, "keeps_cut": keeps_cut})

    async def refuse(self, withdrawal_id: UUID, refusal: Refusal) -> bool:
        """Moves what was never sent to REFUSED."""
        values = {"id": withdrawal_id, "reason": refusal.reason, "message": refusal.message}
        async with self._database.attributed() as connection:
            return (await connection.execute(_REFUSE, values)).one_or_none() is not None

    async def begin(self, withdrawal_id: UUID, attempt: Attempt) -> None:
        """Moves APPROVED to SENDING if it is not there yet, and stores its transaction."""
        async with self._database.transaction() as connection:
            await connection.execute(_SEND, {"id": withdrawal_id})
            if await connection.scalar(_STATUS, {"id": withdrawal_id}) != WithdrawalState.SENDING:
                raise StoreConflictError(f"withdrawal {withdrawal_id} is not to be sent any more")
            await insert_attempts(connection, [attempt], fence=self._database.fence)

    async def waive_limit(self, withdrawal_id: UUID) -> bool:
        """Lets an exit go beyond the day's limits."""
        async with self._database.attributed() as connection:
            return (await connection.execute(_WAIVE, {"id": withdrawal_id})).one_or_none() is not None


async def _stored(connection: AsyncConnection, farmer_id: UUID, withdrawal_id: UUID) -> Withdrawal | None:
    row = (await connection.execute(_GET, {"id": withdrawal_id, "farmer_id": farmer_id})).one_or_none()
    return None if row is None else withdrawal_of(row)


def _same(stored: Withdrawal, new: NewWithdrawal) -> Withdrawal:
    """The stored withdrawal of a repeated request, if it is that request."""
    same_amount = new.kind is not WithdrawalKind.PAYMENT or stored.stroops == new.stroops
    if not (stored.kind is new.kind and stored.destination == new.destination and same_amount):
        earlier = "nobody" if stored.destination is None else stored.destination.address
        raise RequestReusedError(new.idempotency_key, f"a {stored.kind} of {stored.stroops} stroops to {earlier}")
    return stored


async def _check_leaving(connection: AsyncConnection, farmer: Row[Any], new: NewWithdrawal) -> None:
    if new.kind is not WithdrawalKind.CUT and await connection.scalar(_EXITS, {"farmer_id": farmer.id}):
        if farmer.status == FarmerState.DEPARTED:
            raise FarmerDepartedError(farmer.id)
        raise FarmerLeavingError(farmer.id)


async def _recognise(connection: AsyncConnection, new: NewWithdrawal) -> bool:
    """Whether the ledger shows that it was paid by a backend whose rows were lost; then it is marked as paid."""
    values = {"farmer_id": new.farmer_id, "memo": str(new.own_memo)}
    paid = (await connection.execute(_PAID_BEFORE, values)).one_or_none()
    if paid is None:
        return False
    await mark_paid(connection, [WithdrawalPaid(new.withdrawal_id, paid.ledger_sequence, paid.transaction_hash)])
    return True


async def _begin(connection: AsyncConnection, farmer: Row[Any], new: NewWithdrawal, reach: Reach) -> None:
    if new.kind is WithdrawalKind.EXIT:
        await connection.execute(_REST, {"id": farmer.id})
        return
    spendable = farmer.balance - int(farmer.held)
    if new.stroops > spendable:
        raise InsufficientBalanceError(new.stroops, spendable)
    if new.kind is WithdrawalKind.PAYMENT:
        reach.check(new.stroops, *await _used(connection, farmer.id, reach))
    cut = int(await connection.scalar(_CUT, {"farmer_id": farmer.id}) or 0) if new.takes_cut else 0
    await connection.execute(_RESERVE, {"id": new.withdrawal_id, "amount": new.stroops, "cut": cut})


async def _used(connection: AsyncConnection, farmer_id: UUID, reach: Reach) -> tuple[int, int]:
    row = (await connection.execute(_USED, {"farmer_id": farmer_id, "since": reach.since_time})).one()
    return int(row.by_farmer), int(row.by_all)


def _inserted(new: NewWithdrawal) -> dict[str, Any]:
    destination = new.destination
    return {
        "id": new.withdrawal_id,
        "farmer_id": new.farmer_id,
        "kind": new.kind,
        "key": new.idempotency_key,
        "destination": destination.address if destination else None,
        "memo": str(destination.memo) if destination and destination.memo else None,
        "amount": new.stroops,
        "ledger": new.ledger,
        "time": new.requested_time,
    }
