"""Settings of what farming is worth."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from backend.domain.staking import StakePolicy
from kale_common.settings import SharedSettings


class EconomySettings(SharedSettings):
    """What the pool's owner has decided about money.

    Attributes:
        stake_policy: worthwhile stakes what farmers ask for as far as it earns more than is at risk; asked stakes it
            whatever it earns.
        kale_floor_price: XLM that a KALE is worth at the least, such as 0.0005: farmers whose reward would not pay for
            their fees are not planted. Without it fees are not weighed against rewards.
    """

    stake_policy: StakePolicy = StakePolicy.WORTHWHILE
    kale_floor_price: Annotated[Decimal, Field(gt=0, le=1000)] | None = None

    def floor_price(self) -> Fraction | None:
        """XLM for a KALE, exactly; None if fees are not to be weighed."""
        return None if self.kale_floor_price is None else Fraction(self.kale_floor_price)
