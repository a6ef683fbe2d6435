"""Withdrawals, payout addresses, the switch that stops payments, and the pool's cut, as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from backend.domain.attempt import Attempt
from backend.domain.payout import PayoutAddress, PayoutRules, Reach, Switch
from backend.domain.withdrawal import NewWithdrawal, OpenWithdrawal, Refusal, Withdrawal, WithdrawalState


class WithdrawalStore(Protocol):
    """Withdrawals. Every method is one committed database transaction."""

    async def request(self, new: NewWithdrawal, reach: Reach) -> Withdrawal:
        """Stores a withdrawal, and sets its amount aside unless it is an exit; a repeat returns what is stored.

        An exit makes its farmer INACTIVE.

        Raises:
            UnknownFarmerError: there is no such farmer.
            RequestReusedError: the idempotency key was used for something else.
            FarmerLeavingError: the farmer is leaving or has left.
            InsufficientBalanceError: the farmer has not so much that is neither staked nor promised.
            WithdrawalLimitError: it would go beyond what may leave in a day.
        """

    async def get(self, farmer_id: UUID, withdrawal_id: UUID) -> Withdrawal:
        """One withdrawal of a farmer. Raises UnknownWithdrawalError."""

    async def page(
        self, farmer_id: UUID | None, *, after: UUID | None, states: Sequence[WithdrawalState], size: int
    ) -> list[Withdrawal]:
        """At most `size` withdrawals, the last one requested first: a farmer's or everybody's, those after `after`.

        Without `states` those in any state.
        """

    async def live(self) -> list[OpenWithdrawal]:
        """Everything that something may still follow, oldest first."""

    async def reserve(self, withdrawal_id: UUID, *, takes_cut: bool, reach: Reach) -> bool:
        """Sets aside for an exit all that its farmer has; False where it has to wait.

        It waits while a pail, a plant or another withdrawal of the farmer is unfinished, while the day's limits do not
        allow it (unless an operator did), and while a cut is owed that cannot be paid along.
        """

    async def approve(self, withdrawal_id: UUID, *, keeps_cut: bool) -> None:
        """Moves RESERVED to APPROVED; without `keeps_cut` the pool's part stays on the farmer's account."""

    async def refuse(self, withdrawal_id: UUID, refusal: Refusal) -> bool:
        """Moves what was never sent to REFUSED; False where it was sent, or has ended."""

    async def begin(self, withdrawal_id: UUID, attempt: Attempt) -> None:
        """Moves APPROVED to SENDING if it is not there yet, and stores its transaction (kind WITHDRAWAL).

        Raises:
            WithdrawalsPausedError: the switch is off.
            StoreConflictError: it has ended, has an open transaction, or the farmer's account has.
        """

    async def waive_limit(self, withdrawal_id: UUID) -> bool:
        """Lets an exit go beyond the day's limits; False where there is none that waits."""

    async def owing(self, threshold_stroops: int) -> Sequence[tuple[UUID, int]]:
        """Farmers who owe at least so much of the pool's cut and have no live withdrawal, with what they owe."""

    async def switch(self) -> Switch:
        """Whether withdrawals are paused."""

    async def turn(self, switch: Switch) -> None:
        """Pauses or resumes withdrawals."""

    async def payout(self, farmer_id: UUID) -> Sequence[PayoutAddress]:
        """Where a farmer wants to be paid, as it was set, oldest first. Raises UnknownFarmerError."""

    async def set_payout(self, farmer_id: UUID, address: PayoutAddress) -> None:
        """Adds a payout address. Raises UnknownFarmerError."""

    async def note_limits(self, rules: PayoutRules) -> bool:
        """Records the limits of payments in the audit trail; False where the last ones recorded are the same."""

    async def set_cut(self, basis_points: int, from_block: int) -> bool:
        """Sets the pool's cut from a block on; False where it is so already."""
