"""Settings of payments out: limits, delays, and the pool's cut."""

from typing import Annotated

from pydantic import Field

from backend.domain.payout import PayoutRules
from kale_chain.xdr.addresses import AddressKind, address_kind
from kale_common.errors import ConfigError
from kale_common.settings import SharedSettings

_KALE = 10_000_000
_HOUR_SECONDS = 3600
_MOST = 2**62
Stroops = Annotated[int, Field(ge=0, le=_MOST)]


class PayoutSettings(SharedSettings):
    """What may leave farmers' accounts.

    Attributes:
        withdrawal_least_stroops: Least KALE that a withdrawal pays; less is dust.
        withdrawal_farmer_day_stroops: Most KALE that leaves one farmer's account in 24 hours; 0: no limit.
        withdrawal_pool_day_stroops: Most KALE that leaves all farmers' accounts in 24 hours; 0: no limit.
        payout_change_delay_hours: How long a change of a locked payout address waits.
        pool_cut_basis_points: The pool's part of rewards, in hundredths of a percent; a change concerns later blocks.
        pool_cut_address: Account (G…) with a KALE trustline that gets it.
        pool_cut_threshold_stroops: From so much on a farmer's cut is paid by itself; 0: with withdrawals only.
    """

    withdrawal_least_stroops: Annotated[int, Field(ge=1, le=_MOST)] = _KALE // 10
    withdrawal_farmer_day_stroops: Stroops = 10_000 * _KALE
    withdrawal_pool_day_stroops: Stroops = 100_000 * _KALE
    payout_change_delay_hours: Annotated[int, Field(ge=0, le=24 * 365)] = 48
    pool_cut_basis_points: Annotated[int, Field(ge=0, le=10_000)] = 0
    pool_cut_address: str | None = None
    pool_cut_threshold_stroops: Stroops = 100 * _KALE

    def payout_rules(self) -> PayoutRules:
        """The settings as rules.

        Raises:
            ConfigError: there is a cut and no account to pay it to, or the account's address is none.
        """
        treasury = self.pool_cut_address or None
        if treasury is not None and address_kind(treasury) is not AddressKind.ACCOUNT:
            raise ConfigError("POOL_CUT_ADDRESS", "is not an account's address (G and 55 more characters)")
        if self.pool_cut_basis_points and treasury is None:
            raise ConfigError("POOL_CUT_ADDRESS", "is not set, but POOL_CUT_BASIS_POINTS is: name who gets the cut")
        return PayoutRules(
            least_stroops=self.withdrawal_least_stroops,
            farmer_day_stroops=self.withdrawal_farmer_day_stroops,
            pool_day_stroops=self.withdrawal_pool_day_stroops,
            change_delay_seconds=self.payout_change_delay_hours * _HOUR_SECONDS,
            treasury=treasury,
            cut_basis_points=self.pool_cut_basis_points,
            cut_threshold_stroops=self.pool_cut_threshold_stroops,
        )
