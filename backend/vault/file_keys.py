"""Key-encryption keys in files: version 1 in KEY_FILE, version N in KEY_FILE with ".N" after its name."""

import hashlib
import hmac
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.errors import KeyFileError
from backend.vault.key_file import create_key_file, read_key_file
from backend.vault.wrapping import KEY_ID_BYTES, WRAPPED_BYTES, CannotOpenError

_NONCE_BYTES = 12


class FileKey:
    """A KeyWrapper made from the 32 bytes of a key file.

    The bytes themselves sealed seeds directly before there were data keys (`seed_key`); what wraps is derived from
    them, so that neither use tells anything about the other.

    Args:
        key: 32 bytes.
    """

    __slots__ = ("_cipher", "_key_id", "seed_key")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"kale-pool data keys", hashlib.sha256))
        self._key_id = hmac.digest(key, b"kale-pool key-encryption key id", hashlib.sha256)[:KEY_ID_BYTES]
        self.seed_key = SeedKey(key)

    @property
    def key_id(self) -> bytes:
        """See KeyWrapper."""
        return self._key_id

    def wrap(self, data_key: bytearray, context: bytes) -> bytes:
        """See KeyWrapper."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data_key, context)

    def unwrap_into(self, data_key: bytearray, wrapped: bytes, context: bytes) -> None:
        """See KeyWrapper."""
        if len(wrapped) != WRAPPED_BYTES:
            raise CannotOpenError("its wrapped data key has another length than one")
        body = memoryview(wrapped)
        try:
            self._cipher.decrypt_into(body[:_NONCE_BYTES], body[_NONCE_BYTES:], context, data_key)
        except InvalidTag:
            raise CannotOpenError("it belongs to another farmer or network, or was tampered with") from None

    def __repr__(self) -> str:
        return "FileKey()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a FileKey is never pickled: it must not leave the process")


class SeedKey:
    """Opens seeds sealed in format 1: AES-256-GCM under the key file itself, without a data key.

    Such a seed is format version (1), key id (4), nonce (12), ciphertext (32) and tag (16). None are made any more;
    `kale-backend keys rotate` seals them anew.
    """

    FORMAT = b"\x01"
    SEALED_BYTES = 65
    _HEADER_BYTES = 5

    __slots__ = ("_cipher", "_header")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        id_bytes = self._HEADER_BYTES - len(self.FORMAT)
        self._header = self.FORMAT + hmac.digest(key, b"kale-pool key id", hashlib.sha256)[:id_bytes]

    def open_into(self, seed: bytearray, sealed: bytes, context: bytes) -> None:
        """Writes the seed in clear into `seed` (32 bytes), which the caller wipes.

        Args:
            seed: Room for it.
            sealed: The sealed seed.
            context: The owner's fields, see `SeedOwner.associated_data`.

        Raises:
            CannotOpenError: sealed under another key or for another owner, tampered with, or not a sealed seed.
        """
        if len(sealed) != self.SEALED_BYTES:
            raise CannotOpenError("it is not a sealed seed of a known format")
        if sealed[: self._HEADER_BYTES] != self._header:
            raise CannotOpenError("it was sealed under another key than the one in KEY_FILE")
        body = memoryview(sealed)[self._HEADER_BYTES :]
        data = b"kale-pool sealed seed" + self._header + context
        try:
            self._cipher.decrypt_into(body[:_NONCE_BYTES], body[_NONCE_BYTES:], data, seed)
        except InvalidTag:
            raise CannotOpenError("it belongs to another farmer or network, or was tampered with") from None


class FileKeys:
    """A KeyProvider over key files.

    Args:
        path: KEY_FILE, the file of version 1; it need not exist where later versions do.
    """

    kind = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """See KeyProvider."""
        return f"KEY_FILE {self._path}"

    def path(self, version: int) -> Path:
        """The file of a version."""
        return self._path if version == 1 else self._path.with_name(f"{self._path.name}.{version}")

    def versions(self) -> Collection[int]:
        """See KeyProvider."""
        pattern = re.compile(re.escape(self._path.name) + r"\.([2-9]|[1-9][0-9]+)")
        try:
            names = {file.name for file in self._path.parent.iterdir()}
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeyFileError(f"KEY_FILE: cannot list {self._path.parent}: {error.strerror}") from None
        matches = (pattern.fullmatch(name) for name in names)
        found = {int(match[1]) for match in matches if match}
        return sorted(found | {1} if self._path.name in names else found)

    def load(self, version: int) -> FileKey:
        """See KeyProvider."""
        return FileKey(read_key_file(self.path(version)))

    def create(self, version: int) -> None:
        """See KeyProvider."""
        create_key_file(self.path(version))
