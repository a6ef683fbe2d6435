"""What a contract call was allowed to use, and what the ledger took for it.

Source: SorobanTransactionData of the envelope, SorobanTransactionMetaExtV1 and the ledger changes of the meta.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stellar_sdk import scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.model import Resources
from kale_chain.xdr.entries import decoded
from kale_chain.xdr.envelopes import inner_transaction
from kale_chain.xdr.results import decoded_meta

_METRICS = b"core_metrics"
_INSTRUCTIONS = b"cpu_insn"


@dataclass(frozen=True, slots=True)
class Charges:
    """Amounts are stroops.

    Attributes:
        declared: What the call was allowed to use.
        written_bytes: Size of the entries that it wrote, as XDR.
        created: Entries that were not there before: a plant's pail, and the block of the plant that opens it.
        non_refundable: Charged for what was declared, used or not.
        refundable: Charged for events, return value and rent.
        rent: The part of `refundable` for the lives of entries.
        instructions: CPU instructions used; None where the RPC keeps no metrics of its node.
    """

    declared: Resources
    written_bytes: int
    created: int
    non_refundable: int
    refundable: int
    rent: int
    instructions: int | None

    @property
    def resource_fee(self) -> int:
        """All that was charged but for inclusion."""
        return self.non_refundable + self.refundable


def read_charges(envelope_xdr: str, meta_xdr: str, diagnostic_events: Sequence[str] = ()) -> Charges | None:
    """What a transaction declared and was charged; None if it called no contract, or the meta does not tell.

    Args:
        envelope_xdr: TransactionEnvelope (base64), plain or fee bump.
        meta_xdr: TransactionMeta (base64).
        diagnostic_events: DiagnosticEvent (base64 each), where the RPC gives them beside the meta.

    Raises:
        MalformedXdrError: one of them is not what it should be.
    """
    return decoded("a transaction's charges", lambda: _charges(envelope_xdr, meta_xdr, diagnostic_events))


def _charges(envelope_xdr: str, meta_xdr: str, diagnostic_events: Sequence[str]) -> Charges | None:
    envelope = stellar_xdr.TransactionEnvelope.from_xdr(envelope_xdr)
    transaction = inner_transaction(envelope)
    data = transaction.ext.soroban_data if transaction else None
    meta = decoded_meta(base64.b64decode(meta_xdr))
    newest = meta.v4 or meta.v3
    charged = newest.soroban_meta.ext.v1 if newest and newest.soroban_meta else None
    if data is None or newest is None or charged is None:
        return None
    written = list(_written(newest.operations))
    events = [stellar_xdr.DiagnosticEvent.from_xdr(one) for one in diagnostic_events]
    return Charges(
        declared=Resources(
            instructions=data.resources.instructions.uint32,
            disk_read_bytes=data.resources.disk_read_bytes.uint32,
            write_bytes=data.resources.write_bytes.uint32,
            resource_fee=data.resource_fee.int64,
        ),
        written_bytes=sum(len(entry.to_xdr_bytes()) for _, entry in written),
        created=sum(new for new, _ in written),
        non_refundable=charged.total_non_refundable_resource_fee_charged.int64,
        refundable=charged.total_refundable_resource_fee_charged.int64,
        rent=charged.rent_fee_charged.int64,
        instructions=_instructions(events or (meta.v4.diagnostic_events if meta.v4 else ())),
    )


def _written(
    operations: Sequence[stellar_xdr.OperationMeta] | Sequence[stellar_xdr.OperationMetaV2],
) -> Iterator[tuple[bool, stellar_xdr.LedgerEntry]]:
    """Each entry written, and whether it is a new one."""
    for operation in operations:
        for change in operation.changes.ledger_entry_changes:
            entry = change.created or change.updated
            # The lives of entries are entries of their own, which the network does not count as written.
            if entry is not None and entry.data.ttl is None:
                yield change.created is not None, entry


def _instructions(events: Sequence[stellar_xdr.DiagnosticEvent]) -> int | None:
    for diagnostic in events:
        body = diagnostic.event.body.v0
        names = [topic.sym.sc_symbol for topic in body.topics if topic.sym is not None] if body else []
        if body is not None and names == [_METRICS, _INSTRUCTIONS]:
            return scval.from_uint64(body.data)
    return None
