"""Payments out of farmers' accounts: which withdrawal each carried out, and what that moves."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.database import select_ids
from backend.domain.money import Transfer, movement_transfer
from backend.domain.payout_books import payout_transfers
from backend.domain.settlement import BalanceMoved, Effect, ExitRewound, WithdrawalFailed, WithdrawalPaid
from backend.domain.withdrawal import (
    Destination,
    PayoutReason,
    Refusal,
    Withdrawal,
    WithdrawalKind,
    WithdrawalState,
    paid_by,
)
from kale_chain.model import Memo

WITHDRAWAL = """
SELECT
    w.id, w.farmer_id, f.wallet_address, w.kind, w.idempotency_key, w.destination, w.memo, w.amount, w.cut_amount,
    w.status, w.created_ledger, w.requested_time, w.error_reason, w.error_message, w.ledger_sequence,
    w.transaction_hash
FROM withdrawals AS w
INNER JOIN farmers AS f ON f.id = w.farmer_id
"""
"""A query of withdrawals, without its conditions; see `withdrawal_of`."""
_OF_FARMERS = text(f"""{WITHDRAWAL}
WHERE w.farmer_id = ANY(CAST(:farmers AS uuid[])) AND (
    w.status IN ('requested', 'reserved', 'approved', 'sending')
    OR w.transaction_hash = ANY(CAST(:hashes AS text[]))
)
ORDER BY w.created_at, w.id
""")
_PAY = text("""
UPDATE withdrawals AS w
SET status = 'paid', ledger_sequence = r.ledger, transaction_hash = r.transaction_hash, ended_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, ledger bigint, transaction_hash text)
WHERE w.id = r.id AND w.status IN ('requested', 'reserved', 'approved', 'sending')
RETURNING w.id
""")
_DEPART = text("""
UPDATE farmers AS f SET status = 'departed'
FROM withdrawals AS w
WHERE w.id = ANY(CAST(:ids AS uuid[])) AND w.kind = 'exit' AND f.id = w.farmer_id AND f.status <> 'departed'
""")
_FAIL = text("""
UPDATE withdrawals AS w
SET status = 'failed', error_reason = r.reason, error_message = r.message, ended_at = now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, reason text, message text)
WHERE w.id = r.id AND w.status IN ('reserved', 'approved', 'sending')
""")
_REWIND = text("""
UPDATE withdrawals SET status = 'requested', amount = 0, cut_amount = 0
WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'sending' AND kind = 'exit'
""")


async def apply_to_withdrawals(connection: AsyncConnection, effects: Sequence[Effect]) -> None:
    """Ends withdrawals as their transactions did."""
    paid = [effect for effect in effects if isinstance(effect, WithdrawalPaid)]
    if paid:
        await mark_paid(connection, paid)
    failed = [effect for effect in effects if isinstance(effect, WithdrawalFailed)]
    if failed:
        rows = [
            {"id": str(one.withdrawal_id), "reason": one.refusal.reason, "message": one.refusal.message}
            for one in failed
        ]
        await connection.execute(_FAIL, {"rows": json.dumps(rows)})
    rewound = [effect.withdrawal_id for effect in effects if isinstance(effect, ExitRewound)]
    if rewound:
        await connection.execute(_REWIND, {"ids": rewound})


async def mark_paid(connection: AsyncConnection, paid: Sequence[WithdrawalPaid]) -> None:
    """Moves withdrawals to PAID; the farmers of exits have departed. Those that ended before are passed over."""
    rows = [
        {"id": str(one.withdrawal_id), "ledger": one.ledger, "transaction_hash": one.transaction_hash} for one in paid
    ]
    ids = await select_ids(connection, _PAY, {"rows": json.dumps(rows)})
    await connection.execute(_DEPART, {"ids": ids})


async def movements(connection: AsyncConnection, moved: Sequence[BalanceMoved]) -> list[Transfer]:
    """What payments to and from farmers' accounts are booked as; withdrawals they carried out become PAID."""
    out = [one for one in moved if one.stroops < 0]
    known = await _withdrawals(connection, out) if out else []
    transfers: list[Transfer] = []
    for one in moved:
        withdrawal = _carried_out(known, one)
        if withdrawal is None:
            transfers.append(movement_transfer(one))
            continue
        if withdrawal.state is not WithdrawalState.PAID:
            await mark_paid(connection, [WithdrawalPaid(withdrawal.withdrawal_id, one.ledger, one.transaction_hash)])
            known.remove(withdrawal)
        transfers += payout_transfers(one, cut_stroops=withdrawal.cut_within(-one.stroops))
    return transfers


def _carried_out(known: Sequence[Withdrawal], moved: BalanceMoved) -> Withdrawal | None:
    if moved.stroops >= 0:
        return None
    own = [one for one in known if one.farmer_id == moved.farmer_id]
    paid = next((one for one in own if one.transaction_hash == moved.transaction_hash), None)
    live = [one for one in own if one.state is not WithdrawalState.PAID]
    return paid or paid_by(live, -moved.stroops, moved.counterparty)


async def _withdrawals(connection: AsyncConnection, out: Sequence[BalanceMoved]) -> list[Withdrawal]:
    farmers: set[UUID] = {one.farmer_id for one in out}
    values = {"farmers": list(farmers), "hashes": [one.transaction_hash for one in out]}
    return [withdrawal_of(row) for row in await connection.execute(_OF_FARMERS, values)]


def withdrawal_of(row: Row[Any]) -> Withdrawal:
    """A withdrawal from a row of the query WITHDRAWAL."""
    memo = Memo.parse(row.memo) if row.memo else None
    return Withdrawal(
        withdrawal_id=row.id,
        farmer_id=row.farmer_id,
        address=row.wallet_address,
        kind=WithdrawalKind(row.kind),
        idempotency_key=row.idempotency_key,
        destination=Destination(row.destination, memo) if row.destination else None,
        stroops=row.amount,
        cut_stroops=row.cut_amount,
        state=WithdrawalState(row.status),
        created_ledger=row.created_ledger,
        requested_time=row.requested_time,
        refusal=Refusal(PayoutReason(row.error_reason), row.error_message or "") if row.error_reason else None,
        ledger=row.ledger_sequence,
        transaction_hash=row.transaction_hash,
    )
