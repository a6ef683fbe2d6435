"""Inclusion fees paid in recent ledgers, as `getFeeStats` tells them."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from stellar_sdk import xdr

from devnet.records import LedgerRecord

PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)


def fee_stats(ledgers: Sequence[LedgerRecord], *, base_fee: int) -> dict[str, Any]:
    """`inclusionFee` and `sorobanInclusionFee` over these ledgers, in stroops an operation.

    Nothing is ever reported below `base_fee`, what the next ledger asks for at least.
    """
    fees = [fee for ledger in ledgers for fee in _paid(ledger)]
    classic = (fee for soroban, fee in fees if not soroban)
    return {
        "inclusionFee": _distribution(classic, len(ledgers), base_fee),
        "sorobanInclusionFee": _distribution((fee for soroban, fee in fees if soroban), len(ledgers), base_fee),
    }


def _distribution(fees: Iterable[int], ledgers: int, base_fee: int) -> dict[str, Any]:
    paid = sorted(max(fee, base_fee) for fee in fees)
    known = paid or [base_fee]
    numbers = {f"p{percent}": known[-(-percent * len(known) // 100) - 1] for percent in PERCENTILES}
    numbers |= {"max": known[-1], "min": known[0], "mode": max(set(known), key=known.count)}
    return {name: str(fee) for name, fee in numbers.items()} | {
        "transactionCount": str(len(paid)),
        "ledgerCount": ledgers,
    }


@lru_cache(maxsize=128)
def _paid(ledger: LedgerRecord) -> list[tuple[bool, int]]:
    """For each transaction whether it is a contract call, and its inclusion fee an operation."""
    paid = []
    for record in ledger.transactions:
        charged = xdr.TransactionResult.from_xdr(record.result_xdr).fee_charged.int64
        meta = xdr.TransactionMeta.from_xdr(record.meta_xdr).v4
        extension = meta and meta.soroban_meta and meta.soroban_meta.ext.v1
        if extension:
            charged -= extension.total_non_refundable_resource_fee_charged.int64
            charged -= extension.total_refundable_resource_fee_charged.int64
        paid.append((bool(extension), charged // _operations(record.envelope_xdr)))
    return paid


def _operations(envelope_xdr: str) -> int:
    """Operations a transaction pays for: a fee bump counts as one more."""
    envelope = xdr.TransactionEnvelope.from_xdr(envelope_xdr)
    if envelope.fee_bump:
        inner = envelope.fee_bump.tx.inner_tx.v1
        assert inner
        return len(inner.tx.operations) + 1
    assert envelope.v1
    return len(envelope.v1.tx.operations)
