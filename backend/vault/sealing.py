"""Sealing of seeds: AES-256-GCM, bound to whom the seed belongs to.

A sealed seed is 65 bytes: format version (1), key id (4), nonce (12), ciphertext (32) and tag (16). The farmer's id,
the public key, the key's version and the network are authenticated with it: a sealed seed moved to another row, or
to a database of another network, does not open.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEED_BYTES = 32
FORMAT = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_HEADER_BYTES = len(FORMAT) + _KEY_ID_BYTES
_SEALED_BYTES = _HEADER_BYTES + _NONCE_BYTES + SEED_BYTES + 16
_PURPOSE = b"kale-pool sealed seed"


@dataclass(frozen=True, slots=True)
class SeedOwner:
    """Whom a seed belongs to; all of it is authenticated.

    Attributes:
        farmer_id: The farmer.
        public_key: The wallet's Ed25519 public key, 32 bytes.
        key_version: Version of the sealing key.
        passphrase: The network's passphrase.
    """

    farmer_id: UUID
    public_key: bytes
    key_version: int
    passphrase: str

    def associated_data(self) -> bytes:
        """Fixed-length fields in a fixed order, so that no two owners share their bytes."""
        network = hashlib.sha256(self.passphrase.encode()).digest()
        return b"".join([self.farmer_id.bytes, self.public_key, self.key_version.to_bytes(4), network])


class CannotOpenError(Exception):
    """A sealed seed does not open; the text says why as far as it can be told."""


class SealingKey:
    """A key that seals and opens seeds.

    Args:
        key: 32 bytes.
    """

    __slots__ = ("_cipher", "_header")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._header = FORMAT + hmac.digest(key, b"kale-pool key id", hashlib.sha256)[:_KEY_ID_BYTES]

    def seal(self, seed: bytes | bytearray, owner: SeedOwner) -> bytes:
        """The seed, sealed for its owner under a fresh random nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._header + nonce + self._cipher.encrypt(nonce, seed, self._associated_data(owner))

    def open_into(self, seed: bytearray, sealed: bytes, owner: SeedOwner) -> None:
        """Writes the seed in clear into `seed` (32 bytes), which the caller wipes.

        Raises:
            CannotOpenError: sealed under another key or for another owner, tampered with, or not a sealed seed.
        """
        if len(sealed) != _SEALED_BYTES or sealed[:1] != FORMAT:
            raise CannotOpenError("it is not a sealed seed of a known format")
        if sealed[:_HEADER_BYTES] != self._header:
            raise CannotOpenError("it was sealed under another key than the one in KEY_FILE")
        body = memoryview(sealed)[_HEADER_BYTES:]
        try:
            self._cipher.decrypt_into(body[:_NONCE_BYTES], body[_NONCE_BYTES:], self._associated_data(owner), seed)
        except InvalidTag:
            raise CannotOpenError("it belongs to another farmer or network, or was tampered with") from None

    def _associated_data(self, owner: SeedOwner) -> bytes:
        return _PURPOSE + self._header + owner.associated_data()

    def __repr__(self) -> str:
        return "SealingKey()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SealingKey is never pickled: it must not leave the process")
