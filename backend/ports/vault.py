"""The vault: farmers' keys."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from backend.domain.farmer import FarmerKey


class KeySigner(Protocol):
    """Signs with one key that it does not give away."""

    @property
    def address(self) -> str:
        """The key's Stellar address (G…)."""

    def signature(self, digest: bytes) -> tuple[bytes, bytes]:
        """Hint (4 bytes) and signature (64 bytes) of a transaction's hash (32 bytes)."""


class Vault(Protocol):
    """Keeps farmers' seeds. A seed in clear never leaves it but inside a signer."""

    def create(self, farmer_id: UUID) -> FarmerKey:
        """A new key pair, its seed sealed for this farmer and read back before the address is shown."""

    def signer(self, key: FarmerKey) -> KeySigner:
        """A signer for the farmer. Raises SealedSeedError if the seed does not open."""
