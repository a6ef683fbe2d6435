"""What statements are made of, and what they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from backend.domain.statement import Amounts, StatementEntry
from backend.domain.verification import Movement, Present


@dataclass(frozen=True, slots=True)
class BookedPeriod:
    """What the books have of a farmer in a period."""

    address: str
    begins: datetime
    ends: datetime
    opening: Amounts
    closing: Amounts
    """As the accounts had it at the end, from the books and not from the entries."""
    entries: Sequence[StatementEntry]


class StatementStore(Protocol):
    """The books, by farmer and period."""

    async def period(self, farmer_id: UUID, begins: datetime | None, ends: datetime | None) -> BookedPeriod:
        """What was booked of a farmer from `begins` to before `ends`; nothing can be added to that any more.

        Args:
            farmer_id: The farmer.
            begins: None: when the farmer was created.
            ends: None: as late as bookings are complete, which is a moment ago.

        Raises:
            UnknownFarmerError: there is no such farmer.
            PeriodOpenError: `ends` lies in the future, or something is just being booked into the period.
            InvalidRequestError: the period ends before it begins, or holds more than MAX_ENTRIES entries.
        """


class TransactionHistory(Protocol):
    """Transactions that a ledger applied."""

    async def movement(self, transaction_hash: str, address: str) -> Movement | None:
        """What a transaction did to a farmer's KALE and pails; None if the RPC holds none with this hash.

        Raises:
            LedgerUnavailableError: the RPC does not answer.
        """

    async def present(self, address: str) -> Present | None:
        """The farmer's KALE as it is now; None where it has no trustline. Raises LedgerUnavailableError."""
