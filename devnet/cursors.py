"""Places in the history as Stellar RPC writes them: a transaction's total order id, and an event's id.

A total order id (SEP-35) packs ledger (32 bits), transaction (20 bits, from 1) and operation (12 bits) into one
number; an event's id is that number with 19 digits, a dash, and the event's number in its operation with 10 digits.
"""

import re
from typing import NamedTuple, Self

_TRANSACTION_BITS = 20
_OPERATION_BITS = 12
_LAST_TRANSACTION = (1 << _TRANSACTION_BITS) - 1
_LAST_OPERATION = (1 << _OPERATION_BITS) - 1
_LAST_EVENT = (1 << 32) - 2
_EVENT_ID = re.compile(r"(\d{1,19})-(\d{1,10})", re.ASCII)


class TransactionId(NamedTuple):
    """A transaction's place: ledger and order of application in it, from 1 (0: before the first)."""

    ledger: int
    transaction: int

    def number(self, operation: int = 0) -> int:
        """The total order id of one of its operations."""
        return ((self.ledger << _TRANSACTION_BITS | self.transaction) << _OPERATION_BITS) | operation

    @property
    def cursor(self) -> str:
        """As `getTransactions` writes it, which counts operations from 1."""
        return str(self.number(1))

    @classmethod
    def from_number(cls, number: int) -> Self:
        """The transaction in which a total order id lies."""
        return cls(number >> (_TRANSACTION_BITS + _OPERATION_BITS), (number >> _OPERATION_BITS) & _LAST_TRANSACTION)

    @classmethod
    def from_cursor(cls, cursor: str) -> Self:
        """Reads a `getTransactions` cursor; `ValueError` if it is none."""
        if not (cursor.isascii() and cursor.isdecimal()):
            raise ValueError("not a decimal number")
        return cls.from_number(int(cursor))


class EventId(NamedTuple):
    """An event's place: its transaction and its number in the contract call, from 0."""

    transaction: TransactionId
    event: int

    def __str__(self) -> str:
        return f"{self.transaction.number():019d}-{self.event:010d}"

    @classmethod
    def end_of(cls, ledger: int) -> str:
        """The id after every event of a ledger."""
        last = TransactionId(ledger, _LAST_TRANSACTION).number(_LAST_OPERATION)
        return f"{last:019d}-{_LAST_EVENT:010d}"

    @classmethod
    def from_cursor(cls, cursor: str) -> Self:
        """Reads a `getEvents` cursor; `ValueError` if it is none."""
        match = _EVENT_ID.fullmatch(cursor)
        if not match:
            raise ValueError("not 19 digits, a dash and 10 digits")
        return cls(TransactionId.from_number(int(match[1])), int(match[2]))
