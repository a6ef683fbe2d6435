"""What may leave the pool: daily limits, payout addresses that can be locked, and the switch that stops everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.withdrawal import Destination
from backend.errors import PayoutLockedError, WithdrawalLimitError


@dataclass(frozen=True, slots=True)
class PayoutRules:
    """The pool's settings for payments out, in stroops of KALE and seconds of ledger time.

    Attributes:
        least_stroops: Less is dust: its payment would cost more than it brings.
        farmer_day_stroops: Most that leaves one farmer's account in a day; 0: no limit.
        pool_day_stroops: Most that leaves all farmers' accounts in a day; 0: no limit.
        change_delay_seconds: How long a change of a locked payout address waits.
        treasury: Who gets the pool's cut; None: nobody, and it stays on the farmers' accounts.
        cut_basis_points: The pool's part of rewards.
        cut_threshold_stroops: From so much on what a farmer owes is paid by itself; below with the next payment.
    """

    least_stroops: int
    farmer_day_stroops: int
    pool_day_stroops: int
    change_delay_seconds: int
    treasury: str | None
    cut_basis_points: int
    cut_threshold_stroops: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How much may leave in the day that ends now.

    Attributes:
        since_time: Requests later than this ledger time count, Unix seconds.
        farmer_stroops: Most for one farmer; 0: no limit.
        pool_stroops: Most for all; 0: no limit.
    """

    since_time: int
    farmer_stroops: int
    pool_stroops: int

    def left(self, by_farmer: int, by_all: int) -> int | None:
        """What may still leave for a farmer after what has in this day; None: any amount."""
        rooms = [
            limit - used for limit, used in ((self.farmer_stroops, by_farmer), (self.pool_stroops, by_all)) if limit
        ]
        return max(0, min(rooms)) if rooms else None

    def check(self, stroops: int, by_farmer: int, by_all: int) -> None:
        """Accepts another amount. Raises WithdrawalLimitError."""
        left = self.left(by_farmer, by_all)
        if left is not None and stroops > left:
            raise WithdrawalLimitError(stroops, left)


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether withdrawals are paused, and why."""

    paused: bool
    reason: str


RUNNING = Switch(paused=False, reason="never paused")


@dataclass(frozen=True, slots=True)
class PayoutAddress:
    """Where a farmer wants to be paid, from a ledger time (Unix seconds) on; locked: nowhere else."""

    destination: Destination
    locked: bool
    effective_time: int


def in_effect(addresses: Sequence[PayoutAddress], now: int) -> PayoutAddress | None:
    """The last one set of those that count at this ledger time; None: there is none."""
    return next((one for one in reversed(addresses) if one.effective_time <= now), None)


def destination_of(asked: Destination | None, addresses: Sequence[PayoutAddress], now: int) -> Destination | None:
    """Where a withdrawal goes: where it was asked to, or else to the payout address.

    Raises:
        PayoutLockedError: the payout address is locked, and another one was asked for.
    """
    current = in_effect(addresses, now)
    if asked is None:
        return current.destination if current is not None else None
    if current is not None and current.locked and asked != current.destination:
        raise PayoutLockedError(current.destination.address)
    return asked


def effective_time(addresses: Sequence[PayoutAddress], now: int, delay_seconds: int) -> int:
    """When an address set now counts: at once, or after the delay while the present one is locked."""
    current = in_effect(addresses, now)
    return now + delay_seconds if current is not None and current.locked else now
