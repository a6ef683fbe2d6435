"""What a farmer's key may sign, and what is said of a transaction before it is signed.

An intent is what the caller means to do. The vault decodes the transaction itself and signs only if it does exactly
that; see `backend.vault.policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from kale_chain.model import STROOPS_PER_KALE, FarmIdentity

MAX_STAKE_STROOPS = 10_000_000 * STROOPS_PER_KALE
"""Most that one plant stakes unless the settings say otherwise: 10 million KALE."""
MAX_SIGNED_AWAY_STROOPS = 200_000 * STROOPS_PER_KALE
"""Most that the signer signs away in 24 hours unless the settings say otherwise: 200,000 KALE."""


class MemoKind(StrEnum):
    """Kinds of memo a payment carries; the values are those of the protocol between backend and signer."""

    NONE = "none"
    TEXT = "text"
    ID = "id"
    HASH = "hash"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class PayoutMemo:
    """A payment's memo.

    Attributes:
        kind: What kind.
        value: Text; a decimal u64 for ID; 64 hexadecimal digits for HASH and RETURN; empty for NONE.
    """

    kind: MemoKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class PaymentLeg:
    """One classic payment out of the farmer's account: KALE, or XLM if `native`; the amount in stroops, above 0."""

    destination: str
    amount_stroops: int
    native: bool = False


@dataclass(frozen=True, slots=True)
class PlantIntent:
    """A plant of so many stroops of KALE by the farmer, the transaction's source."""

    stake_stroops: int


@dataclass(frozen=True, slots=True)
class OnboardingIntent:
    """The farmer's part in a transaction of the sponsor: the KALE trustline, and the end of the sponsoring."""


@dataclass(frozen=True, slots=True)
class PayoutIntent:
    """An approved withdrawal, cut or exit: everything that moves a farmer's coins but plants.

    Attributes:
        withdrawal_id: What it is approved under. Once signed it is never signed with other terms.
        payments: The payments, in order.
        memo: The transaction's memo.
        closes_account: Whether the trustline is removed and the account merged into the sponsor's afterwards.
    """

    withdrawal_id: UUID
    payments: tuple[PaymentLeg, ...]
    memo: PayoutMemo
    closes_account: bool = False


Intent = PlantIntent | OnboardingIntent | PayoutIntent


@dataclass(frozen=True, slots=True)
class SigningRules:
    """What every transaction is held against, whatever its intent says.

    Attributes:
        passphrase: The network's passphrase.
        farm_id: The only contract a farmer's key calls.
        token_id: The KALE contract, whose `burn` a plant authorises.
        asset_code: KALE's code as a classic asset.
        asset_issuer: Its issuer.
        sponsor: The master account: sponsors farmers' accounts and gets what is left of closed ones.
        stake_cap_stroops: Most that one plant may stake.
    """

    passphrase: str
    farm_id: str
    token_id: str
    asset_code: str
    asset_issuer: str
    sponsor: str
    stake_cap_stroops: int = MAX_STAKE_STROOPS

    @classmethod
    def of(cls, identity: FarmIdentity, sponsor: str, stake_cap_stroops: int = MAX_STAKE_STROOPS) -> SigningRules:
        """The rules for one farm."""
        return cls(
            identity.passphrase,
            identity.farm_id,
            identity.token_id,
            identity.asset_code,
            identity.asset_issuer,
            sponsor,
            stake_cap_stroops,
        )
