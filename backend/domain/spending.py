"""What transactions may cost: caps for one and for an hour, and a reserve that harvests can always be paid from."""

from __future__ import annotations

from dataclasses import dataclass

LEDGERS_AN_HOUR = 720
"""An hour in ledgers of 5 s; slower ledgers make it longer, and the cap on it stricter."""
UNMEASURED_HARVEST_FEE = 100_000
"""Stroops taken for a harvest's fee before one was measured: about eight times what one costs without surge."""


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
        harvest_fee: What harvesting one pail costs.
        this_hour: What the cap on the hour leaves.
        beyond_reserve: What the master account holds above its own reserve, open attempts and the harvests of all
            open pails.
    """

    caps: FeeCaps
    harvest_fee: int
    this_hour: int
    beyond_reserve: int

    @classmethod
    def of(cls, caps: FeeCaps, spending: Spending, available: int) -> Allowance:
        """What is left when the master account has `available` stroops above its reserve on the ledger."""
        fee = spending.measured_harvest_fee
        return cls(
            caps=caps,
            harvest_fee=fee,
            this_hour=caps.per_hour - spending.in_an_hour,
            beyond_reserve=available - spending.at_stake - spending.open_pails * fee,
        )

    def refuses_plant(self, max_fee: int, *, open_pails: int) -> str | None:
        """Why a plant that may cost `max_fee` is refused, or None: then its fee and its harvest's are taken off.

        Of the hour's cap as much is kept as harvesting the `open_pails` costs: harvests come before plants.
        """
        if max_fee > self.caps.per_transaction:
            return f"its fee of up to {max_fee} stroops is above FEE_CAP_STROOPS ({self.caps.per_transaction})"
        if max_fee + (open_pails + 1) * self.harvest_fee > self.this_hour:
            return f"the hour's fees would exceed FEE_CAP_PER_HOUR_STROOPS ({self.caps.per_hour}); wait or raise it"
        if max_fee + self.harvest_fee > self.beyond_reserve:
            return "the master account's XLM is needed to harvest the open pails; send it XLM"
        self.this_hour -= max_fee + self.harvest_fee
        self.beyond_reserve -= max_fee + self.harvest_fee
        return None

    def grants(self, max_fee: int) -> bool:
        """Whether a harvest, work or bump that may cost `max_fee` (more) may be sent; takes it off if so."""
        if max_fee > self.caps.per_transaction or max_fee > self.this_hour:
            return False
        self.this_hour -= max_fee
        self.beyond_reserve -= max_fee
        return True
