"""The vault: farmers' keys."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from backend.domain.farmer import FarmerKey


class EnvelopeSigner(Protocol):
    """Signs envelopes with one key."""

    @property
    def address(self) -> str:
        """The key's Stellar address."""

    def sign(self, envelope: str, passphrase: str) -> str:
        """The envelope with this key's signature added, base64."""


class Vault(Protocol):
    """Keeps farmers' seeds. A seed in clear never leaves it but inside a signer."""

    def create(self, farmer_id: UUID) -> FarmerKey:
        """A new key pair, its seed sealed for this farmer and read back before the address is shown."""

    def signer(self, key: FarmerKey) -> EnvelopeSigner:
        """A signer for the farmer. Raises SealedSeedError if the seed does not open."""
