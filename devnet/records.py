"""The history of the ledger: closed ledgers, their transactions and their events."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from stellar_sdk import StrKey, xdr

from devnet.cursors import EventId, TransactionId

# Ledgers that can be asked for: a day of five-second ledgers, as public RPC endpoints keep.
RETENTION_LEDGERS = 17_280


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """A transaction in a closed ledger; everything `*_xdr` and the events are base64.

    Attributes:
        hash: 64 hex digits; of a fee bump the outer hash.
        inner_hash: Of a fee bump the inner transaction's hash, else None.
        successful: Whether it took effect.
        fee_bump: Whether it is a fee bump.
        application_order: Its place in the ledger, from 1.
        contract_events: ContractEvent of its one contract call.
        diagnostic_events: DiagnosticEvent of the same call, errors included.
    """

    hash: str
    inner_hash: str | None
    successful: bool
    fee_bump: bool
    application_order: int
    envelope_xdr: str
    result_xdr: str
    meta_xdr: str
    contract_events: tuple[str, ...]
    diagnostic_events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A contract event, with the topics and data that filters compare."""

    id: EventId
    transaction_hash: str
    kind: str
    contract_id: str
    topics: tuple[str, ...]
    value: str


@dataclass(frozen=True)
class LedgerRecord:
    """A closed ledger.

    Attributes:
        sequence: Its number.
        close_time: When it closed by the ledger's own clock, seconds since 1970.
        hash: SHA-256 of its header, hex.
        base_fee: Least inclusion fee of an operation, stroops.
        header_xdr: LedgerHeader, base64.
        history_entry_xdr: LedgerHeaderHistoryEntry, base64.
        packed_metadata: LedgerCloseMeta, base64, compressed: it repeats what the transactions hold, and is rarely read.
        transactions: In order of application.
    """

    sequence: int
    close_time: int
    hash: str
    base_fee: int
    header_xdr: str
    history_entry_xdr: str
    packed_metadata: bytes
    transactions: tuple[TransactionRecord, ...]

    @property
    def metadata_xdr(self) -> str:
        """LedgerCloseMeta, base64."""
        return zlib.decompress(self.packed_metadata).decode()

    @cached_property
    def events(self) -> tuple[EventRecord, ...]:
        """The events of its successful transactions, in order."""
        return tuple(
            _event(EventId(TransactionId(self.sequence, record.application_order), number), record.hash, event)
            for record in self.transactions
            for number, event in enumerate(record.contract_events)
        )


def _event(event_id: EventId, transaction_hash: str, event_xdr: str) -> EventRecord:
    event = xdr.ContractEvent.from_xdr(event_xdr)
    body = event.body.v0
    assert body
    return EventRecord(
        id=event_id,
        transaction_hash=transaction_hash,
        kind=event.type.name.lower(),
        contract_id=StrKey.encode_contract(event.contract_id.contract_id.hash) if event.contract_id else "",
        topics=tuple(topic.to_xdr() for topic in body.topics),
        value=body.data.to_xdr(),
    )


class History:
    """The last `RETENTION_LEDGERS` closed ledgers, without gaps.

    Args:
        ledgers: At least one, in order.
    """

    def __init__(self, ledgers: Sequence[LedgerRecord]) -> None:
        self._ledgers = list(ledgers)
        self._by_hash: dict[str, tuple[LedgerRecord, TransactionRecord]] = {}
        for ledger in ledgers:
            self._index(ledger)

    @property
    def oldest(self) -> LedgerRecord:
        """The first ledger still held."""
        return self._ledgers[0]

    @property
    def latest(self) -> LedgerRecord:
        """The last closed ledger."""
        return self._ledgers[-1]

    def add(self, ledger: LedgerRecord) -> None:
        """Appends the ledger that closed; drops the oldest once there are too many."""
        assert ledger.sequence == self.latest.sequence + 1
        self._ledgers.append(ledger)
        self._index(ledger)
        # Half as many again before trimming, so that dropping costs nothing per ledger.
        if len(self._ledgers) > RETENTION_LEDGERS * 3 // 2:
            self._trim()

    def ledger(self, sequence: int) -> LedgerRecord:
        """The ledger of this sequence, which must be held."""
        return self._ledgers[sequence - self.oldest.sequence]

    def since(self, sequence: int) -> list[LedgerRecord]:
        """The ledgers from this sequence on."""
        return self._ledgers[max(0, sequence - self.oldest.sequence) :]

    def find(self, transaction_hash: str) -> tuple[LedgerRecord, TransactionRecord] | None:
        """The transaction of this hash (a fee bump also by its inner hash) and its ledger, or None."""
        return self._by_hash.get(transaction_hash)

    def _index(self, ledger: LedgerRecord) -> None:
        for record in ledger.transactions:
            self._by_hash[record.hash] = (ledger, record)
            if record.inner_hash:
                self._by_hash[record.inner_hash] = (ledger, record)

    def _trim(self) -> None:
        dropped = self._ledgers[:-RETENTION_LEDGERS]
        self._ledgers = self._ledgers[-RETENTION_LEDGERS:]
        for ledger in dropped:
            for record in ledger.transactions:
                self._by_hash.pop(record.hash, None)
                self._by_hash.pop(record.inner_hash or "", None)
