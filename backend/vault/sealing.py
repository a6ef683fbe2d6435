"""Sealing of seeds: each under a data key of its own, which the key-encryption key wraps.

A sealed seed (format 2) is 129 bytes: format version (1), id of the key-encryption key (8), wrapped data key (60:
nonce, ciphertext, tag), and the seed under the data key (60, likewise), all AES-256-GCM. The farmer's id, the public
key, the key's version and the network are authenticated: a sealed seed, or half of one, moved to another row or to a
database of another network does not open.

A new version of the key-encryption key wraps the same data key anew; the seed stays as it is and shut.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.vault.file_keys import FileKey, SeedKey
from backend.vault.wrapping import DATA_KEY_BYTES, KEY_ID_BYTES, WRAPPED_BYTES, CannotOpenError, KeyWrapper

SEED_BYTES = 32
FORMAT = b"\x02"
_NONCE_BYTES = 12
_SEED_FROM = len(FORMAT) + KEY_ID_BYTES + WRAPPED_BYTES
SEALED_BYTES = _SEED_FROM + _NONCE_BYTES + SEED_BYTES + 16


@dataclass(frozen=True, slots=True)
class SeedOwner:
    """Whom a seed belongs to; all of it is authenticated.

    Attributes:
        farmer_id: The farmer.
        public_key: The wallet's Ed25519 public key, 32 bytes.
        key_version: Version of the key-encryption key.
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

    def lasting_data(self) -> bytes:
        """The same without the key's version, which changes at a rotation."""
        network = hashlib.sha256(self.passphrase.encode()).digest()
        return b"".join([self.farmer_id.bytes, self.public_key, network])


def seal(seed: bytearray, owner: SeedOwner, wrapper: KeyWrapper) -> bytes:
    """The seed (32 bytes), sealed for its owner under a fresh data key."""
    with wiped(DATA_KEY_BYTES) as data_key:
        data_key[:] = os.urandom(DATA_KEY_BYTES)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(data_key).encrypt(nonce, seed, _seed_data(owner))
        return FORMAT + wrapper.key_id + wrapper.wrap(data_key, _key_data(owner, wrapper)) + nonce + sealed


def open_into(seed: bytearray, sealed: bytes, owner: SeedOwner, wrapper: KeyWrapper) -> None:
    """Writes the seed in clear into `seed` (32 bytes), which the caller wipes.

    Raises:
        CannotOpenError: sealed under another key or for another owner, tampered with, or not a sealed seed.
    """
    if sealed[:1] == SeedKey.FORMAT and isinstance(wrapper, FileKey):
        wrapper.seed_key.open_into(seed, sealed, owner.associated_data())
        return
    with _data_key(sealed, owner, wrapper) as data_key:
        body = memoryview(sealed)[_SEED_FROM:]
        try:
            AESGCM(data_key).decrypt_into(body[:_NONCE_BYTES], body[_NONCE_BYTES:], _seed_data(owner), seed)
        except InvalidTag:
            raise CannotOpenError("it belongs to another farmer or network, or was tampered with") from None


def reseal(sealed: bytes, owner: SeedOwner, old: KeyWrapper, new_owner: SeedOwner, new: KeyWrapper) -> bytes:
    """The same seed under another version of the key-encryption key; only a seed of format 1 is opened for it.

    Raises:
        CannotOpenError: see `open_into`.
    """
    if sealed[:1] == SeedKey.FORMAT:
        with wiped(SEED_BYTES) as seed:
            open_into(seed, sealed, owner, old)
            return seal(seed, new_owner, new)
    with _data_key(sealed, owner, old) as data_key:
        wrapped = new.wrap(data_key, _key_data(new_owner, new))
    return FORMAT + new.key_id + wrapped + sealed[_SEED_FROM:]


@contextmanager
def wiped(size: int) -> Iterator[bytearray]:
    """Room for a secret that is overwritten when the block is left."""
    secret = bytearray(size)
    try:
        yield secret
    finally:
        secret[:] = bytes(size)


@contextmanager
def _data_key(sealed: bytes, owner: SeedOwner, wrapper: KeyWrapper) -> Iterator[bytearray]:
    if len(sealed) != SEALED_BYTES or sealed[:1] != FORMAT:
        raise CannotOpenError("it is not a sealed seed of a known format")
    if sealed[1 : 1 + KEY_ID_BYTES] != wrapper.key_id:
        raise CannotOpenError(f"it was sealed under another key than the one of version {owner.key_version}")
    with wiped(DATA_KEY_BYTES) as data_key:
        wrapper.unwrap_into(data_key, sealed[1 + KEY_ID_BYTES : _SEED_FROM], _key_data(owner, wrapper))
        yield data_key


def _key_data(owner: SeedOwner, wrapper: KeyWrapper) -> bytes:
    return b"kale-pool data key" + wrapper.key_id + owner.associated_data()


def _seed_data(owner: SeedOwner) -> bytes:
    return b"kale-pool seed" + owner.lasting_data()
