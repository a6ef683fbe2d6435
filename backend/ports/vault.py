"""The vault: farmers' keys."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from backend.domain.farmer import FarmerKey
from backend.domain.signing import Intent


class Vault(Protocol):
    """Keeps farmers' seeds. A seed in clear never leaves it."""

    async def create(self, farmer_id: UUID) -> FarmerKey:
        """A new key pair, its seed sealed for this farmer and read back before the address is shown.

        Raises:
            SignerUnavailableError: the vault's process does not answer.
        """

    async def sign(self, key: FarmerKey, envelope: bytes, intent: Intent) -> bytes:
        """The farmer's signature (64 bytes) of a transaction that does exactly what the intent says.

        Args:
            key: The farmer's key.
            envelope: TransactionEnvelope XDR, plain and without signatures.
            intent: What the transaction is meant to do.

        Raises:
            SealedSeedError: the seed does not open.
            PolicyRefusedError: the transaction does anything else, or what no farmer's key signs.
            SignerUnavailableError: the vault's process does not answer.
        """
