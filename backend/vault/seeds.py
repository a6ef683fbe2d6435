"""Farmers' seeds: made, sealed, opened. One is in clear only inside a signer, for as long as that is held."""

import os
from dataclasses import replace
from typing import NoReturn
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stellar_sdk import StrKey

from backend.domain.farmer import FarmerKey
from backend.errors import KeyMissingError, SealedSeedError
from backend.vault import sealing
from backend.vault.key_ring import KeyRing
from backend.vault.sealing import SEED_BYTES, SeedOwner, wiped
from backend.vault.wrapping import CannotOpenError

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


class Seeds:
    """Makes, opens and seals farmers' seeds.

    Args:
        ring: The key-encryption keys.
        passphrase: The network's passphrase; seeds sealed for another network do not open.
    """

    __slots__ = ("_passphrase", "_ring")

    def __init__(self, ring: KeyRing, passphrase: str) -> None:
        self._ring = ring
        self._passphrase = passphrase

    def create(self, farmer_id: UUID) -> FarmerKey:
        """A new key pair, its seed sealed for this farmer under the newest key version and read back.

        Raises:
            VaultError: there is no key that seals, or it cannot be used.
        """
        version, wrapper = self._ring.current()
        with wiped(SEED_BYTES) as seed:
            seed[:] = os.urandom(SEED_BYTES)
            public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            sealed = sealing.seal(seed, SeedOwner(farmer_id, public_key, version, self._passphrase), wrapper)
        address = StrKey.encode_ed25519_public_key(public_key)
        key = FarmerKey(farmer_id, address, public_key.hex(), sealed, version)
        self.signer(key)
        return key

    def is_newest(self, key: FarmerKey) -> bool:
        """Whether the seed is sealed in the present format under the newest key version."""
        version, _ = self._ring.current()
        return key.key_version == version and key.sealed_seed[:1] == sealing.FORMAT

    def reseal(self, key: FarmerKey) -> FarmerKey:
        """The key with its seed under the newest version, proved to open; a key that is there already is unchanged.

        Raises:
            SealedSeedError: the seed does not open.
        """
        if self.is_newest(key):
            return key
        version, wrapper = self._ring.current()
        owner = self._owner(key)
        try:
            old = self._ring.wrapper(key.key_version)
            sealed = sealing.reseal(key.sealed_seed, owner, old, replace(owner, key_version=version), wrapper)
        except (CannotOpenError, KeyMissingError) as error:
            raise SealedSeedError(key.farmer_id, str(error)) from None
        resealed = replace(key, sealed_seed=sealed, key_version=version)
        self.signer(resealed)
        return resealed

    def signer(self, key: FarmerKey) -> SealedKeySigner:
        """A signer for the farmer.

        Raises:
            SealedSeedError: the seed does not open, or is not the seed of the farmer's address.
        """
        owner = self._owner(key)
        try:
            with wiped(SEED_BYTES) as seed:
                sealing.open_into(seed, key.sealed_seed, owner, self._ring.wrapper(key.key_version))
                private_key = Ed25519PrivateKey.from_private_bytes(seed)
        except (CannotOpenError, KeyMissingError) as error:
            raise SealedSeedError(key.farmer_id, str(error)) from None
        if private_key.public_key().public_bytes_raw() != owner.public_key:
            raise SealedSeedError(key.farmer_id, "it is not the seed of the farmer's public key")
        if StrKey.encode_ed25519_public_key(owner.public_key) != key.address:
            raise SealedSeedError(key.farmer_id, "the farmer's address is not that of its public key")
        return SealedKeySigner(private_key, key.address, owner.public_key)

    def _owner(self, key: FarmerKey) -> SeedOwner:
        try:
            return SeedOwner(key.farmer_id, bytes.fromhex(key.public_key), key.key_version, self._passphrase)
        except ValueError as error:
            raise SealedSeedError(key.farmer_id, str(error)) from None

    def __repr__(self) -> str:
        return "Seeds()"
