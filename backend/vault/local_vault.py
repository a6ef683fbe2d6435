"""The vault inside this process: seeds and policy together."""

from uuid import UUID

from backend.domain.farmer import FarmerKey
from backend.domain.signing import Intent, SigningRules
from backend.vault.journal import SigningJournal
from backend.vault.key_ring import KeyRing
from backend.vault.policy import Policy
from backend.vault.seeds import Seeds


class LocalVault:
    """Makes farmers' keys and signs with them; see backend.ports.vault.Vault.

    Args:
        ring: The key-encryption keys.
        rules: What is signed; seeds sealed for another network than theirs do not open.
        journal: Remembers which payouts were signed.
    """

    __slots__ = ("_policy", "_seeds")

    def __init__(self, ring: KeyRing, rules: SigningRules, journal: SigningJournal) -> None:
        self._seeds = Seeds(ring, rules.passphrase)
        self._policy = Policy(rules, journal)

    async def create(self, farmer_id: UUID) -> FarmerKey:
        """See backend.ports.vault.Vault."""
        return self._seeds.create(farmer_id)

    async def sign(self, key: FarmerKey, envelope: bytes, intent: Intent) -> bytes:
        """See backend.ports.vault.Vault."""
        digest = self._policy.digest(key, envelope, intent)
        _, signature = self._seeds.signer(key).signature(digest)
        return signature

    def __repr__(self) -> str:
        return "LocalVault()"
