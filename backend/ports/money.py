"""The money ledger: balances by double entry, how far the chain was followed, and whether the books are in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from backend.domain.money import Cursor, Deposit, FarmerBooks, Violation


class MoneyStore(Protocol):
    """The books. Transfers are booked by whoever moves the rows they belong to (AttemptStore, PlantStore)."""

    async def cursor(self) -> Cursor:
        """How far the ledger was followed."""

    async def owners(self) -> Mapping[str, UUID]:
        """Every farmer's id by address, those being onboarded too: their accounts may be paid to at any moment."""

    async def skip(self, ledger: int) -> None:
        """Records that the ledgers after the cursor up to `ledger` cannot be read, and moves the cursor there.

        The books are then set right by `reconcile`. Does nothing where the cursor is there already.

        Raises:
            LeaseLostError: a newer backend has the lease.
        """

    async def reconcile(self, ledger: int, balances: Mapping[str, int]) -> int | None:
        """Sets the available balances equal to the accounts as of `ledger`, by adjustments against `unobserved`.

        Args:
            ledger: The closed ledger as of which `balances` were read.
            balances: KALE in stroops by address, of all farmers who have a trustline.

        Returns:
            How many farmers' books were adjusted; None if the cursor is not at `ledger`, and nothing was done.

        Raises:
            LeaseLostError: a newer backend has the lease.
        """

    async def differences(self, ledger: int, balances: Mapping[str, int]) -> Sequence[Violation] | None:
        """Farmers whose books differ from the accounts as of `ledger`; None if the cursor is not there."""

    async def balances(self) -> Mapping[UUID, FarmerBooks]:
        """Every farmer's balances as booked."""

    async def deposits(self, farmer_id: UUID, *, before: int | None, size: int) -> Sequence[Deposit]:
        """A farmer's deposits, the last one booked first: at most `size`, of those numbered below `before`."""

    async def check(self, *, since: datetime | None = None) -> tuple[datetime, Sequence[Violation]]:
        """Runs ledger_check; the database's time when it began, and the rows that break a rule.

        Args:
            since: Only what was added since then, as far as that can be told apart; None: everything.
        """
