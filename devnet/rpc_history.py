"""Stellar RPC's methods about the past: transactions, events, ledgers, in pages."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from devnet.cursors import EventId, TransactionId
from devnet.errors import JsonRpcError
from devnet.event_filters import EventFilter, read_filters
from devnet.jsonrpc import Method, Params, check_format, integer, invalid, mapping, text
from devnet.records import EventRecord, LedgerRecord, TransactionRecord
from devnet.view import View

T = TypeVar("T")

HASH_DIGITS = 64
# Default and greatest length of a page, as public RPC endpoints set them.
TRANSACTION_LIMITS = (50, 200)
LEDGER_LIMITS = (5, 200)
EVENT_LIMITS = (100, 10_000)
EVENT_SCAN_LEDGERS = 10_000


class HistoryMethods:
    """The methods, by name in `table()`. Their parameters and answers are Stellar RPC's."""

    def __init__(self, view: View) -> None:
        self._view = view

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "getTransaction": self.transaction,
            "getTransactions": self.transactions,
            "getEvents": self.events,
            "getLedgers": self.ledgers,
        }

    async def transaction(self, params: Params) -> dict[str, Any]:
        """One transaction by its hash, or NOT_FOUND."""
        check_format(params)
        transaction_hash = text(params, "hash")
        if len(transaction_hash) != HASH_DIGITS:
            raise invalid(f"unexpected hash length ({len(transaction_hash)})")
        found = self._view.find(transaction_hash.lower())
        if not found:
            return self._range() | {"status": "NOT_FOUND", "txHash": transaction_hash}
        ledger, record = found
        answer = self._range() | _transaction(ledger, record) | {"txHash": transaction_hash}
        return answer | {"createdAt": str(ledger.close_time)}

    async def transactions(self, params: Params) -> dict[str, Any]:
        """Transactions from a ledger or a cursor on, in order of application."""
        check_format(params)
        cursor, limit = _page(params, TRANSACTION_LIMITS)
        if cursor:
            place = _read_cursor(TransactionId.from_cursor, cursor)
        else:
            place = TransactionId(integer(params, "startLedger"), 0)
        self._check_start(place.ledger, "start ledger must be between the oldest ledger: {} and the latest ledger: {}")
        page = list(islice(self._transactions_after(place), limit))
        if len(page) == limit:
            last = TransactionId(page[-1][0].sequence, page[-1][1].application_order)
        else:
            last = TransactionId(self._view.latest.sequence, len(self._view.latest.transactions))
        latest, oldest = self._view.latest, self._view.oldest
        return {
            "transactions": [_transaction(*one) | {"createdAt": one[0].close_time} for one in page],
            "latestLedger": latest.sequence,
            "latestLedgerCloseTimestamp": latest.close_time,
            "oldestLedger": oldest.sequence,
            "oldestLedgerCloseTimestamp": oldest.close_time,
            "cursor": last.cursor,
        }

    def _transactions_after(self, place: TransactionId) -> Iterator[tuple[LedgerRecord, TransactionRecord]]:
        for ledger in self._view.since(place.ledger):
            for record in ledger.transactions:
                if (ledger.sequence, record.application_order) > place:
                    yield ledger, record

    async def events(self, params: Params) -> dict[str, Any]:
        """Contract events from a ledger or a cursor on that match a filter."""
        check_format(params)
        cursor, limit = _page(params, EVENT_LIMITS)
        filters = read_filters(params.get("filters"))
        after = _read_cursor(EventId.from_cursor, cursor) if cursor else None
        start = after.transaction.ledger if after else integer(params, "startLedger")
        self._check_start(start, "startLedger must be within the ledger range: {} - {}")
        end = min(start + EVENT_SCAN_LEDGERS, self._view.latest.sequence + 1)
        if wanted_end := integer(params, "endLedger"):
            end = min(end, wanted_end)
        page = list(islice(self._events_between(start, end, after, filters), limit))
        last = str(page[-1][1].id) if len(page) == limit else EventId.end_of(end - 1)
        return self._range() | {"events": [_event(*one) for one in page], "cursor": last}

    def _events_between(
        self, start: int, end: int, after: EventId | None, filters: Sequence[EventFilter]
    ) -> Iterator[tuple[LedgerRecord, EventRecord]]:
        for ledger in self._view.since(start):
            if ledger.sequence >= end:
                return
            for event in ledger.events:
                later = after is None or event.id > after
                if later and (not filters or any(one.accepts(event) for one in filters)):
                    yield ledger, event

    async def ledgers(self, params: Params) -> dict[str, Any]:
        """Ledgers from one on, with headers and meta."""
        check_format(params)
        cursor, limit = _page(params, LEDGER_LIMITS)
        start = _read_cursor(int, cursor) + 1 if cursor else integer(params, "startLedger")
        latest = self._view.latest.sequence
        if not cursor or start != latest + 1:
            self._check_start(start, "start ledger must be between the oldest ledger: {} and the latest ledger: {}")
        page = self._view.since(start)[:limit]
        return self._range() | {
            "ledgers": [_ledger(ledger) for ledger in page],
            "cursor": str(page[-1].sequence if page else latest),
        }

    def _range(self) -> dict[str, Any]:
        latest, oldest = self._view.latest, self._view.oldest
        return {
            "latestLedger": latest.sequence,
            "latestLedgerCloseTime": str(latest.close_time),
            "oldestLedger": oldest.sequence,
            "oldestLedgerCloseTime": str(oldest.close_time),
        }

    def _check_start(self, start: int, message: str) -> None:
        oldest, latest = self._view.oldest.sequence, self._view.latest.sequence
        if not oldest <= start <= latest:
            raise JsonRpcError(JsonRpcError.INVALID_REQUEST, message.format(oldest, latest) + " for this rpc instance")


def _page(params: Params, limits: tuple[int, int]) -> tuple[str, int]:
    """Cursor (empty if none) and length of the page asked for."""
    pagination = mapping(params, "pagination")
    default, greatest = limits
    limit = integer(pagination, "limit") or default
    if limit > greatest:
        raise invalid(f"limit must not exceed {greatest}")
    cursor = text(pagination, "cursor") if pagination.get("cursor") else ""
    if cursor and (params.get("startLedger") or params.get("endLedger")):
        raise invalid("startLedger, endLedger and cursor cannot both be set")
    return cursor, limit


def _read_cursor(read: Callable[[str], T], cursor: str) -> T:
    try:
        return read(cursor)
    except ValueError as error:
        raise invalid(f"invalid cursor {cursor!r}: {error}") from error


def _transaction(ledger: LedgerRecord, record: TransactionRecord) -> dict[str, Any]:
    return {
        "status": "SUCCESS" if record.successful else "FAILED",
        "txHash": record.hash,
        "applicationOrder": record.application_order,
        "feeBump": record.fee_bump,
        "envelopeXdr": record.envelope_xdr,
        "resultXdr": record.result_xdr,
        "resultMetaXdr": record.meta_xdr,
        "diagnosticEventsXdr": list(record.diagnostic_events),
        "events": {"transactionEventsXdr": [], "contractEventsXdr": [list(record.contract_events)]},
        "ledger": ledger.sequence,
    }


def _event(ledger: LedgerRecord, event: EventRecord) -> dict[str, Any]:
    return {
        "type": event.kind,
        "ledger": ledger.sequence,
        "ledgerClosedAt": datetime.fromtimestamp(ledger.close_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "contractId": event.contract_id,
        "id": str(event.id),
        "operationIndex": 0,
        "transactionIndex": event.id.transaction.transaction,
        "txHash": event.transaction_hash,
        "inSuccessfulContractCall": True,
        "topic": list(event.topics),
        "value": event.value,
    }


def _ledger(ledger: LedgerRecord) -> dict[str, Any]:
    return {
        "hash": ledger.hash,
        "sequence": ledger.sequence,
        "ledgerCloseTime": str(ledger.close_time),
        "headerXdr": ledger.history_entry_xdr,
        "metadataXdr": ledger.metadata_xdr,
    }
