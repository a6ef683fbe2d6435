"""A farmer's statement: everything that was booked in a period, in a form that can be signed and checked.

The canonical form is JSON in UTF-8 with sorted keys and no spaces; amounts are stroops written as strings, times are
UTC. The same period always gives the same bytes. The signature is over `FORMAT`, a line feed and those bytes, so that
it can be taken for no other message, least of all for a transaction.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from backend.errors import StatementError

FORMAT = "kale-pool-statement/1"
ALGORITHM = "Ed25519"
MAX_ENTRIES = 100_000
_CSV_COLUMNS = ("booked_at", "kind", "ledger", "block", "transaction", "counterparty", "memo", "reason")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"

Amounts = Mapping[str, int]
"""Stroops by kind of account, as in money_accounts.kind."""


class Signature(Protocol):
    """What signs statements."""

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """One booking, or a plant or harvest that moved nothing.

    Attributes:
        booked_at: When it was booked, by the database's clock.
        kind: As in money_transfers.kind.
        amounts: What each account gained (positive) or gave; they sum to zero.
        ledger: The ledger in which it happened; None where that is not known.
        block: The block of the pail concerned.
        transaction: The hash of the transaction that did it, 64 hexadecimal digits; None where none did.
        counterparty: The other side of a payment.
        memo: The payment's memo, such as text:hello.
        reason: Why a stake was lost, or books were adjusted.
        fee: Stroops of XLM that the pool paid for the transaction; None where it was not the pool's.
    """

    booked_at: datetime
    kind: str
    amounts: Amounts
    ledger: int | None = None
    block: int | None = None
    transaction: str | None = None
    counterparty: str | None = None
    memo: str | None = None
    reason: str | None = None
    fee: int | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A farmer's statement over a period.

    Attributes:
        network: The network's passphrase.
        farm: The farm contract.
        asset: KALE as code:issuer.
        farmer_id: The farmer.
        address: Its Stellar address.
        begins: What was booked from then on is in it.
        ends: What was booked before then.
        opening: What each of the farmer's accounts had at the beginning.
        closing: What each had at the end.
        entries: In the order of booking.
    """

    network: str
    farm: str
    asset: str
    farmer_id: UUID
    address: str
    begins: datetime
    ends: datetime
    opening: Amounts
    closing: Amounts
    entries: Sequence[StatementEntry] = field(repr=False)

    def canonical(self) -> bytes:
        """The canonical form."""
        return _canonical(self.values())

    def values(self) -> dict[str, Any]:
        """The statement as JSON values."""
        return {
            "format": FORMAT,
            "network": self.network,
            "farm": self.farm,
            "asset": self.asset,
            "farmer_id": str(self.farmer_id),
            "address": self.address,
            "from": self.begins.astimezone(UTC).strftime(_TIME),
            "to": self.ends.astimezone(UTC).strftime(_TIME),
            "opening": _texts(self.opening),
            "closing": _texts(self.closing),
            "entries": [_entry_values(entry) for entry in self.entries],
        }

    def signed(self, key: Signature) -> bytes:
        """The statement with its signature, as one JSON document in canonical form."""
        signature = key.sign(signed_bytes(self.values()))
        envelope = {"algorithm": ALGORITHM, "public_key": key.public_key.hex(), "signature": signature.hex()}
        return _canonical({"statement": self.values(), "signature": envelope}) + b"\n"

    def csv(self) -> str:
        """The entries between an opening and a closing row, as comma-separated values with a heading (RFC 4180).

        Amounts are stroops; each kind of account has a column. Texts that a spreadsheet would take for a formula are
        preceded by an apostrophe.
        """
        accounts = sorted({name for entry in self.entries for name in entry.amounts} | set(self.opening))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([*_CSV_COLUMNS, "fee_xlm", *accounts])
        writer.writerow(_balance_row(self.begins, "opening", self.opening, accounts))
        for entry in self.entries:
            values = _entry_values(entry)
            cells = [_harmless(values.get(name)) for name in _CSV_COLUMNS]
            writer.writerow([*cells, values.get("fee_xlm", ""), *(entry.amounts.get(name, 0) for name in accounts)])
        writer.writerow(_balance_row(self.ends, "closing", self.closing, accounts))
        return text.getvalue()


def signed_bytes(values: Mapping[str, Any]) -> bytes:
    """What is signed of a statement's JSON values."""
    return FORMAT.encode() + b"\n" + _canonical(values)


def closing_of(opening: Amounts, entries: Sequence[StatementEntry]) -> Amounts:
    """What the accounts named in `opening` have after the entries."""
    balances = dict(opening)
    for entry in entries:
        for name, stroops in entry.amounts.items():
            if name in balances:
                balances[name] += stroops
    return balances


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement read from a document, with what was said to sign it; nothing is checked yet."""

    statement: Statement
    public_key: bytes
    signature: bytes
    message: bytes = field(repr=False)
    """What the signature must be of."""


def read_document(document: bytes) -> SignedStatement:
    """Reads what `Statement.signed` wrote.

    Raises:
        StatementError: it is no such document.
    """
    try:
        parsed = json.loads(document)
        values, signature = parsed["statement"], parsed["signature"]
        if values["format"] != FORMAT or signature["algorithm"] != ALGORITHM:
            raise StatementError(f"it is of format {str(values['format'])[:64]!r}; this program reads {FORMAT!r}")
        return SignedStatement(
            _statement(values),
            bytes.fromhex(signature["public_key"]),
            bytes.fromhex(signature["signature"]),
            signed_bytes(values),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StatementError(f"it is no signed statement: {type(error).__name__} {str(error)[:100]}") from None


def _statement(values: Mapping[str, Any]) -> Statement:
    return Statement(
        network=str(values["network"]),
        farm=str(values["farm"]),
        asset=str(values["asset"]),
        farmer_id=UUID(values["farmer_id"]),
        address=str(values["address"]),
        begins=_time(values["from"]),
        ends=_time(values["to"]),
        opening=_numbers(values["opening"]),
        closing=_numbers(values["closing"]),
        entries=[_entry(entry) for entry in values["entries"]],
    )


def _entry(values: Mapping[str, Any]) -> StatementEntry:
    fee = values.get("fee_xlm")
    return StatementEntry(
        booked_at=_time(values["booked_at"]),
        kind=str(values["kind"]),
        amounts=_numbers(values["amounts"]),
        ledger=values.get("ledger"),
        block=values.get("block"),
        transaction=values.get("transaction"),
        counterparty=values.get("counterparty"),
        memo=values.get("memo"),
        reason=values.get("reason"),
        fee=None if fee is None else int(fee),
    )


def _entry_values(entry: StatementEntry) -> dict[str, Any]:
    """What is not known is left out."""
    values = {
        "booked_at": entry.booked_at.astimezone(UTC).strftime(_TIME),
        "kind": entry.kind,
        "amounts": _texts(entry.amounts),
        "ledger": entry.ledger,
        "block": entry.block,
        "transaction": entry.transaction,
        "counterparty": entry.counterparty,
        "memo": entry.memo,
        "reason": entry.reason,
        "fee_xlm": None if entry.fee is None else str(entry.fee),
    }
    return {name: value for name, value in values.items() if value is not None}


def _balance_row(at: datetime, kind: str, balances: Amounts, accounts: Sequence[str]) -> list[object]:
    blanks = [""] * (len(_CSV_COLUMNS) - 2 + 1)
    return [at.astimezone(UTC).strftime(_TIME), kind, *blanks, *(balances.get(name, "") for name in accounts)]


def _harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: memos are strangers' texts."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _canonical(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _texts(amounts: Amounts) -> dict[str, str]:
    return {name: str(stroops) for name, stroops in amounts.items()}


def _numbers(texts: Mapping[str, str]) -> dict[str, int]:
    return {str(name): int(text) for name, text in texts.items()}


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
