"""A vault whose sealing key lies in a file. Seeds are in clear only inside a signer, for as long as it is held."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stellar_sdk import StrKey

from backend.domain.farmer import FarmerKey
from backend.domain.signing import Intent, SigningRules
from backend.errors import SealedSeedError
from backend.vault.key_file import read_key_file
from backend.vault.policy import Policy
from backend.vault.sealing import SEED_BYTES, CannotOpenError, SealingKey, SeedOwner

KEY_VERSION = 1
_HINT_BYTES = 4


class SealedKeySigner:
    """Signs with one farmer's key. Hold it for one signing only: the key is in clear in memory while it exists.

    Attributes:
        address: The farmer's Stellar address.
    """

    __slots__ = ("_hint", "_private_key", "address")

    def __init__(self, private_key: Ed25519PrivateKey, address: str, public_key: bytes) -> None:
        self._private_key = private_key
        self._hint = public_key[-_HINT_BYTES:]
        self.address = address

    def signature(self, digest: bytes) -> tuple[bytes, bytes]:
        """Hint (4 bytes) and signature (64 bytes) of a transaction's hash (32 bytes)."""
        return self._hint, self._private_key.sign(digest)

    def __repr__(self) -> str:
        return f"SealedKeySigner({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SealedKeySigner is never pickled: its key must not leave the process")


class FileVault:
    """Makes farmers' keys and signs with them; see backend.ports.vault.Vault.

    Args:
        key: The sealing key.
        rules: What is signed; seeds sealed for another network than theirs do not open.
    """

    __slots__ = ("_key", "_passphrase", "_policy")

    def __init__(self, key: SealingKey, rules: SigningRules) -> None:
        self._key = key
        self._passphrase = rules.passphrase
        self._policy = Policy(rules)

    @classmethod
    def open(cls, key_file: Path, rules: SigningRules) -> "FileVault":
        """The vault whose key is in `key_file`.

        Raises:
            KeyFileError: the file is missing, unreadable, open to others or malformed.
        """
        return cls(SealingKey(read_key_file(key_file)), rules)

    async def create(self, farmer_id: UUID) -> FarmerKey:
        """A new key pair, its seed sealed for this farmer and read back before the address is shown."""
        with _wiped_seed() as seed:
            seed[:] = os.urandom(SEED_BYTES)
            public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            sealed = self._key.seal(seed, SeedOwner(farmer_id, public_key, KEY_VERSION, self._passphrase))
        address = StrKey.encode_ed25519_public_key(public_key)
        key = FarmerKey(farmer_id, address, public_key.hex(), sealed, KEY_VERSION)
        self.signer(key)
        return key

    async def sign(self, key: FarmerKey, envelope: bytes, intent: Intent) -> bytes:
        """See backend.ports.vault.Vault."""
        digest = self._policy.digest(key, envelope, intent)
        _, signature = self.signer(key).signature(digest)
        return signature

    def signer(self, key: FarmerKey) -> SealedKeySigner:
        """A signer for the farmer.

        Raises:
            SealedSeedError: the seed does not open, or is not the seed of the farmer's address.
        """
        try:
            public_key = bytes.fromhex(key.public_key)
            owner = SeedOwner(key.farmer_id, public_key, key.key_version, self._passphrase)
            with _wiped_seed() as seed:
                self._key.open_into(seed, key.sealed_seed, owner)
                private_key = Ed25519PrivateKey.from_private_bytes(seed)
        except (CannotOpenError, ValueError) as error:
            raise SealedSeedError(key.farmer_id, str(error)) from None
        if private_key.public_key().public_bytes_raw() != public_key:
            raise SealedSeedError(key.farmer_id, "it is not the seed of the farmer's public key")
        if StrKey.encode_ed25519_public_key(public_key) != key.address:
            raise SealedSeedError(key.farmer_id, "the farmer's address is not that of its public key")
        return SealedKeySigner(private_key, key.address, public_key)

    def __repr__(self) -> str:
        return "FileVault()"


@contextmanager
def _wiped_seed() -> Iterator[bytearray]:
    """Room for a seed that is overwritten when the block is left."""
    seed = bytearray(SEED_BYTES)
    try:
        yield seed
    finally:
        seed[:] = bytes(SEED_BYTES)
