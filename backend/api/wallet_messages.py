"""From the wallet's domain to the protocol's messages and back."""

from __future__ import annotations

from backend.domain import wallet_requests
from backend.domain.money import Deposit
from backend.domain.payout import PayoutAddress
from backend.domain.withdrawal import Destination, Withdrawal
from kale_chain.model import Memo, MemoKind
from kalepool.v1 import wallet_pb2

_MEMO_FIELDS = {"memo_text": MemoKind.TEXT, "memo_id": MemoKind.ID, "memo_hash": MemoKind.HASH}


def asked_destination(message: wallet_pb2.Destination) -> Destination:
    """A destination that a request names. Raises InvalidRequestError."""
    field = message.WhichOneof("memo")
    memo = None if field is None else Memo(_MEMO_FIELDS[field], str(getattr(message, field)))
    return wallet_requests.destination(message.address, memo)


def destination_message(destination: Destination) -> wallet_pb2.Destination:
    """A destination."""
    memo, address = destination.memo, destination.address
    if memo is None:
        return wallet_pb2.Destination(address=address)
    if memo.kind is MemoKind.ID:
        return wallet_pb2.Destination(address=address, memo_id=int(memo.value))
    if memo.kind is MemoKind.TEXT:
        return wallet_pb2.Destination(address=address, memo_text=memo.value)
    return wallet_pb2.Destination(address=address, memo_hash=memo.value)


def deposit_message(deposit: Deposit) -> wallet_pb2.Deposit:
    """A deposit."""
    return wallet_pb2.Deposit(
        amount_stroops=deposit.stroops,
        ledger_sequence=deposit.ledger,
        transaction_hash=deposit.transaction_hash,
        sender=deposit.sender or "",
        memo=str(deposit.memo or ""),
    )


def withdrawal_message(withdrawal: Withdrawal) -> wallet_pb2.Withdrawal:
    """A withdrawal."""
    destination, refusal = withdrawal.destination, withdrawal.refusal
    return wallet_pb2.Withdrawal(
        withdrawal_id=str(withdrawal.withdrawal_id),
        farmer_id=str(withdrawal.farmer_id),
        kind=wallet_pb2.WithdrawalKind.Value(f"WITHDRAWAL_KIND_{withdrawal.kind.name}"),
        state=wallet_pb2.WithdrawalState.Value(f"WITHDRAWAL_STATE_{withdrawal.state.name}"),
        destination=None if destination is None else destination_message(destination),
        amount_stroops=withdrawal.stroops,
        cut_stroops=withdrawal.cut_stroops,
        failure_reason=refusal.reason if refusal else "",
        failure_message=refusal.message if refusal else "",
        transaction_hash=withdrawal.transaction_hash or "",
        ledger_sequence=withdrawal.ledger or 0,
        requested_ledger_time=withdrawal.requested_time,
        idempotency_key=withdrawal.idempotency_key,
    )


def payout_message(payout: PayoutAddress) -> wallet_pb2.PayoutAddress:
    """A payout address."""
    return wallet_pb2.PayoutAddress(
        destination=destination_message(payout.destination),
        locked=payout.locked,
        effective_ledger_time=payout.effective_time,
    )
