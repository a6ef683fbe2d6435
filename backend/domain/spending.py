"""What transactions may cost: caps for one and for an hour, and a reserve that harvests can always be paid from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from backend.domain.attempt import AttemptKind

LEDGERS_AN_HOUR = 720
"""An hour in ledgers of 5 s; slower ledgers make it longer, and the cap on it stricter."""
UNMEASURED_HARVEST_FEE = 100_000
"""Stroops taken for a harvest's fee before one was measured: about eight times what one costs without surge."""
MEASURED_FEES = 100
"""How many of the last transactions of a kind tell what one costs."""
FARMING_KINDS = (AttemptKind.PLANT, AttemptKind.WORK, AttemptKind.HARVEST)
"""What a farmer needs in every block."""


@dataclass(frozen=True, slots=True)
class FeeCaps:
    """The most that may be spent, in stroops of XLM."""

    per_transaction: int
    per_hour: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What transactions cost, in stroops of XLM, as the rows of attempts tell it."""

    charged: int
    """Fees charged to attempts that were stored in the time asked for and have ended."""
    at_stake: int
    """Most that the open attempts can cost, whenever they were stored."""
    open_pails: int
    """Pails that are still to be harvested."""
    harvest_fee: int | None
    """The dearest of the last hundred harvests; None before the first."""

    @property
    def in_an_hour(self) -> int:
        """What the hour has cost and may yet cost."""
        return self.charged + self.at_stake

    @property
    def measured_harvest_fee(self) -> int:
        """What a harvest costs."""
        return UNMEASURED_HARVEST_FEE if self.harvest_fee is None else self.harvest_fee


@dataclass(slots=True)
class Allowance:
    """What is left to spend; each granted fee is taken off.

    Attributes:
        caps: The caps it was made from.
        harvest_fee: What harvesting one pail costs.
        open_pails: Pails whose harvests are paid for before any plant.
        this_hour: What the cap on the hour leaves.
        available: What the master account holds above its reserve on the ledger and above what open attempts may cost.
        carried: Whether one transaction above the cap was granted.
    """

    caps: FeeCaps
    harvest_fee: int
    open_pails: int
    this_hour: int
    available: int
    carried: bool = False

    @classmethod
    def of(cls, caps: FeeCaps, spending: Spending, spendable: int) -> Self:
        """What is left when the master account has `spendable` stroops above its reserve on the ledger."""
        return cls(
            caps=caps,
            harvest_fee=spending.measured_harvest_fee,
            open_pails=spending.open_pails,
            this_hour=caps.per_hour - spending.in_an_hour,
            available=spendable - spending.at_stake,
        )

    def refuses_plant(self, max_fee: int) -> str | None:
        """Why a plant that may cost `max_fee` is refused, or None: then it is taken off, and one more pail is open."""
        with_harvests = max_fee + (self.open_pails + 1) * self.harvest_fee
        if max_fee > self.caps.per_transaction:
            return f"the fee of up to {max_fee} stroops is above FEE_CAP_STROOPS ({self.caps.per_transaction})"
        if with_harvests > self.available:
            return "what XLM the master account has is kept for harvesting the open pails; send it XLM"
        if with_harvests > self.this_hour:
            return f"the fees of an hour would exceed FEE_CAP_PER_HOUR_STROOPS ({self.caps.per_hour})"
        self._take(max_fee)
        self.open_pails += 1
        return None

    def grants(self, more: int) -> bool:
        """Whether a harvest, a work or a bump that may cost so much more may be sent; it is taken off if so."""
        if more > min(self.caps.per_transaction, self.this_hour):
            return False
        self._take(more)
        return True

    def grants_rescue(self, max_fee: int) -> bool:
        """The same for what brings a stake home; one of them may exceed the cap of a transaction, not of the hour.

        When the farm's life is to be extended its next call pays the rent, far more than a call; whoever carries it
        frees the others from it.
        """
        if max_fee <= self.caps.per_transaction or self.carried or max_fee > self.this_hour:
            return self.grants(max_fee)
        self.carried = True
        self._take(max_fee)
        return True

    def _take(self, stroops: int) -> None:
        self.this_hour -= stroops
        self.available -= stroops
