"""What wraps data keys: one version of the key-encryption key, wherever it lies."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

DATA_KEY_BYTES = 32
KEY_ID_BYTES = 8
WRAPPED_BYTES = 12 + DATA_KEY_BYTES + 16
"""A wrapped data key: nonce, ciphertext and tag of AES-256-GCM."""


class CannotOpenError(Exception):
    """A sealed seed or wrapped key does not open; the text says why as far as it can be told."""


class KeyWrapper(Protocol):
    """One version of the key-encryption key. It may lie in a device that never gives it away."""

    @property
    def key_id(self) -> bytes:
        """What tells this key from others, 8 bytes; it says nothing about the key."""

    def wrap(self, data_key: bytearray, context: bytes) -> bytes:
        """The data key (32 bytes), encrypted and bound to the context: WRAPPED_BYTES long."""

    def unwrap_into(self, data_key: bytearray, wrapped: bytes, context: bytes) -> None:
        """Writes the data key in clear into `data_key` (32 bytes), which the caller wipes.

        Raises:
            CannotOpenError: wrapped by another key or for another context, or tampered with.
            VaultError: the key cannot be used at present.
        """


class KeyProvider(Protocol):
    """A place where versions of the key-encryption key lie."""

    @property
    def kind(self) -> str:
        """The kind of place: file or pkcs11."""

    @property
    def name(self) -> str:
        """The place, for people."""

    def versions(self) -> Collection[int]:
        """The versions that lie here now. Raises KeyFileError or KeyDeviceError."""

    def load(self, version: int) -> KeyWrapper:
        """One of them. Raises KeyFileError or KeyDeviceError."""

    def create(self, version: int) -> None:
        """Makes a new random key of this version, durable when it returns. Raises KeyFileError or KeyDeviceError."""
