"""A vault whose keys follow from a seed: the same farmers in every run."""

from __future__ import annotations

from uuid import UUID

from stellar_sdk import StrKey

from backend.domain.farmer import FarmerKey
from backend.domain.signing import Intent, SigningRules
from backend.errors import SealedSeedError
from backend.vault.journal import SigningJournal
from backend.vault.policy import Policy
from kale_chain.tx import Signer


class SeededVault:
    """See backend.ports.vault.Vault. It signs by the real policy, and outlives the backend, as a key file does."""

    def __init__(self, root: Signer, rules: SigningRules) -> None:
        self._root = root
        self._policy = Policy(rules, SigningJournal(None, 0))
        self._signers: dict[UUID, Signer] = {}

    async def create(self, farmer_id: UUID) -> FarmerKey:
        """The next key."""
        signer = self._root.derive("simulated farmer", len(self._signers))
        self._signers[farmer_id] = signer
        public_key = StrKey.decode_ed25519_public_key(signer.address).hex()
        return FarmerKey(farmer_id, signer.address, public_key, b"sealed".ljust(61, b"\0"), 1)

    async def sign(self, key: FarmerKey, envelope: bytes, intent: Intent) -> bytes:
        """The farmer's signature."""
        signer = self._signers.get(key.farmer_id)
        if signer is None or signer.address != key.address:
            raise SealedSeedError(key.farmer_id)
        _, signature = signer.signature(self._policy.digest(key, envelope, intent))
        return signature
