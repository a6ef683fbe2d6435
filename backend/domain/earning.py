"""Whether farmers pay for their fees: what some blocks earned them, what their transactions cost, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

WORKS_OF_A_PAIL = 2
"""Works that a pooler pays for in each pail: one to insure it, one at the end."""


class Verdict(StrEnum):
    """Whether a farmer pays."""

    PAYS = "pays"
    DOES_NOT_PAY = "does_not_pay"
    NOTHING_ENDED = "nothing_ended"
    """None of its pails came to an end in these blocks."""
    NO_PRICE = "no_price"
    """What KALE is worth was not said."""


@dataclass(frozen=True, slots=True)
class Earnings:
    """What the money ledger holds of a farmer's blocks that came to an end.

    Attributes:
        farmer_id: The farmer.
        address: Its account.
        blocks: Blocks that it was to be planted in and that have ended for it.
        reward_stroops: KALE that the farm paid it above its stakes.
        lost_stroops: KALE of its stakes that were lost.
        fee_stroops: XLM that the master account was charged for its plants, harvests and backstop works.
        reported_pails: Pails that a pooler worked, at its own cost.
    """

    farmer_id: UUID
    address: str
    blocks: int
    reward_stroops: int
    lost_stroops: int
    fee_stroops: int
    reported_pails: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A farmer's earnings beside its costs.

    Attributes:
        earnings: What was booked.
        work_stroops: XLM that poolers paid for its works, by estimate: their accounts are not in the books.
        worth_stroops: XLM that its KALE is worth, losses taken off; None without a price.
    """

    earnings: Earnings
    work_stroops: int
    worth_stroops: int | None

    @property
    def cost_stroops(self) -> int:
        """XLM that it cost in all."""
        return self.earnings.fee_stroops + self.work_stroops

    @property
    def verdict(self) -> Verdict:
        """Whether it pays."""
        if not self.earnings.blocks:
            return Verdict.NOTHING_ENDED
        if self.worth_stroops is None:
            return Verdict.NO_PRICE
        return Verdict.PAYS if self.worth_stroops >= self.cost_stroops else Verdict.DOES_NOT_PAY


def balance(earnings: Earnings, *, work_fee: int, price: Fraction | None) -> Balance:
    """A farmer's balance.

    Args:
        earnings: What was booked.
        work_fee: Stroops of XLM that a work costs.
        price: XLM for a KALE, at the least; None if it is not known.
    """
    gained = earnings.reward_stroops - earnings.lost_stroops
    return Balance(
        earnings=earnings,
        work_stroops=WORKS_OF_A_PAIL * earnings.reported_pails * work_fee,
        worth_stroops=None if price is None else int(gained * price // 1),
    )
