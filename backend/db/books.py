"""Booking: transfers and their postings, all of a database transaction in one statement each."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.audit import remember_alarm
from backend.db.database import lock_farmers
from backend.domain.failure import FailureReason
from backend.domain.harvest import HarvestState
from backend.domain.money import (
    ALARMING,
    Account,
    AccountKind,
    BookedPail,
    Cursor,
    Transfer,
    TransferReason,
    adjustment,
    ending_transfer,
    reopening_transfer,
    shortfalls,
    stake_transfer,
)
from backend.domain.payout_books import cut_transfer

_CURSOR = text("SELECT ledger_sequence, unread_from, coalesce(equal_at, 0) AS equal_at FROM chain_cursor FOR UPDATE")
_ACCOUNTS = text("""
SELECT id, kind, farmer_id, balance FROM money_accounts
WHERE farmer_id IS NULL OR farmer_id = ANY(CAST(:farmers AS uuid[]))
""")
_TRANSFERS = text("""
INSERT INTO money_transfers (
    kind, effect, transaction_hash, farmer_id, block_index, ledger_sequence, reason, counterparty, memo
)
SELECT
    t.kind, t.effect, decode(t.transaction_hash, 'hex'), t.farmer_id, t.block_index, t.ledger, t.reason,
    t.counterparty, t.memo
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t (
    number integer, kind text, effect text, transaction_hash text, farmer_id uuid, block_index bigint, ledger bigint,
    reason text, counterparty text, memo text
)
ORDER BY t.number
ON CONFLICT DO NOTHING
RETURNING id, effect, encode(transaction_hash, 'hex') AS transaction_hash
""")
_POSTINGS = text("""
INSERT INTO money_postings (transfer_id, account_id, amount)
SELECT p.transfer_id, p.account_id, p.amount
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS p (transfer_id bigint, account_id bigint, amount numeric)
""")
_PAILS = text("""
SELECT
    h.id, h.farmer_id, h.block_index, h.stake_amount, h.planted_ledger, p.transaction_hash AS plant_hash, h.status,
    h.reward_amount, h.ledger_sequence, h.transaction_hash, h.error_reason,
    (
        SELECT c.basis_points FROM pool_cuts AS c WHERE c.from_block <= h.block_index ORDER BY c.id DESC LIMIT 1
    ) AS cut_basis_points,
    (
        SELECT count(*) FROM money_transfers AS t
        WHERE t.farmer_id = h.farmer_id AND t.block_index = h.block_index AND t.kind IN ('loss', 'taken', 'reopened')
    ) AS closings
FROM harvest_transactions AS h
LEFT JOIN plant_transactions AS p
    ON p.block_index = h.block_index AND p.farmer_id = h.farmer_id AND p.status = 'confirmed'
WHERE h.id = ANY(CAST(:ids AS uuid[]))
ORDER BY h.block_index, h.farmer_id
""")


async def lock_cursor(connection: AsyncConnection) -> Cursor:
    """How far the ledger was followed; until the transaction ends nobody else books."""
    return Cursor(*(await connection.execute(_CURSOR)).one())


async def book(
    connection: AsyncConnection,
    *,
    opened: Sequence[UUID] = (),
    ended: Sequence[UUID] = (),
    reopened: Mapping[UUID, HarvestState] | None = None,
    others: Sequence[Transfer] = (),
) -> None:
    """Books what has just moved; what is booked already is passed over.

    Everything goes in at once, so that what a farmer gets and gives in one run of ledgers may come in any order.

    Args:
        connection: The transaction in which it moved.
        opened: Harvests just stored: their stakes are booked.
        ended: Harvests that have just left PENDING: what they brought or cost is booked.
        reopened: Harvests that have just become PENDING again, with what they were: their stakes are booked back.
        others: Further transfers.
    """
    again = reopened or {}
    if not (opened or ended or again or others):
        return
    pails = {row.id: _pail(row) for row in await connection.execute(_PAILS, {"ids": [*opened, *ended, *again]})}
    farmers = {pail.farmer_id for pail in pails.values()} | {one.farmer_id for one in others if one.farmer_id}
    await lock_farmers(connection, list(farmers))
    equal_at = (await lock_cursor(connection)).equal_at
    transfers = [
        *(stake_transfer(pails[harvest_id], equal_at=equal_at) for harvest_id in opened),
        *(ending_transfer(pails[harvest_id], equal_at=equal_at) for harvest_id in ended),
        *(cut_transfer(pails[harvest_id]) for harvest_id in ended),
        *(reopening_transfer(pails[harvest_id], was) for harvest_id, was in again.items()),
        *others,
    ]
    await _store(connection, [transfer for transfer in transfers if transfer.legs], farmers)


async def _store(connection: AsyncConnection, transfers: Sequence[Transfer], farmers: set[UUID]) -> None:
    accounts = {
        (AccountKind(row.kind), row.farmer_id): row
        for row in await connection.execute(_ACCOUNTS, {"farmers": list(farmers)})
    }
    added = await _insert(connection, transfers)
    balances = {account: int(row.balance) for account, row in accounts.items()}
    lacking = shortfalls([transfer for _, transfer in added], balances)
    if lacking:
        first = added[0][0]
        filled = [
            adjustment(account, stroops, TransferReason.SHORTFALL, ledger=None, number=str(first))
            for account, stroops in lacking.items()
        ]
        added += await _insert(connection, filled)
    await _post(connection, added, {account: row.id for account, row in accounts.items()})
    for _, transfer in added:
        if transfer.kind in ALARMING:
            remember_alarm(connection, _told(transfer))


async def _insert(connection: AsyncConnection, transfers: Sequence[Transfer]) -> list[tuple[int, Transfer]]:
    """Stores transfers; those that were not stored before, with their ids."""
    rows = [
        {
            "number": number,
            "kind": transfer.kind,
            "effect": transfer.effect,
            "transaction_hash": transfer.transaction_hash,
            "farmer_id": str(transfer.farmer_id) if transfer.farmer_id else None,
            "block_index": transfer.block_index,
            "ledger": transfer.ledger,
            "reason": transfer.reason,
            "counterparty": transfer.counterparty.address,
            "memo": str(transfer.counterparty.memo) if transfer.counterparty.memo else None,
        }
        for number, transfer in enumerate(transfers)
    ]
    if not rows:
        return []
    known = {(transfer.effect, transfer.transaction_hash): transfer for transfer in transfers}
    stored = await connection.execute(_TRANSFERS, {"rows": json.dumps(rows)})
    return [(row.id, known[row.effect, row.transaction_hash]) for row in stored]


async def _post(
    connection: AsyncConnection, transfers: Sequence[tuple[int, Transfer]], accounts: Mapping[Account, int]
) -> None:
    rows = [
        {"transfer_id": transfer_id, "account_id": accounts[account], "amount": stroops}
        for transfer_id, transfer in transfers
        for account, stroops in transfer.legs.items()
    ]
    if rows:
        await connection.execute(_POSTINGS, {"rows": json.dumps(rows)})


def _pail(row: Row[Any]) -> BookedPail:
    return BookedPail(
        farmer_id=row.farmer_id,
        block_index=row.block_index,
        stake_stroops=row.stake_amount,
        planted_ledger=row.planted_ledger,
        plant_hash=row.plant_hash,
        state=HarvestState(row.status),
        reward_stroops=row.reward_amount,
        ended_ledger=row.ledger_sequence,
        harvest_hash=row.transaction_hash,
        failure=FailureReason(row.error_reason) if row.error_reason else None,
        cut_basis_points=row.cut_basis_points or 0,
        closings=row.closings,
    )


def _told(transfer: Transfer) -> dict[str, object]:
    return {
        "transfer": transfer.kind.value,
        "reason": transfer.reason.value if transfer.reason else None,
        "farmer_id": str(transfer.farmer_id),
        "block_index": transfer.block_index,
        "ledger": transfer.ledger,
        "transaction_hash": transfer.transaction_hash,
        "stroops": max(transfer.legs.values()),
    }
