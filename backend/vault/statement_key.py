"""The key that signs statements: an Ed25519 key in a file of its own, good for nothing else.

It is no account's key. Whoever has it can forge statements, which the chain then contradicts, and can move no funds.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from backend.errors import KeyFileError

_log = structlog.get_logger()
_SEED_BYTES = 32
_VARIABLE = "STATEMENT_KEY_FILE"


class StatementKey:
    """Signs statements (see backend.domain.statement.Signature)."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key: bytes = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"StatementKey({self.public_key.hex()})"

    @classmethod
    def open(cls, path: Path) -> StatementKey:
        """The key in a file of mode 0600; a missing file is made with a new key.

        Raises:
            KeyFileError: it is unreadable, open to others or malformed, or cannot be made.
        """
        with contextlib.suppress(FileExistsError):
            _create(path)
        return cls(_read(path))

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(message)


def signed_by(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature (64 bytes) of a message is this key's (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _create(path: Path) -> None:
    """Writes a new key. Raises FileExistsError, KeyFileError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_SEED_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise
    except OSError as error:
        raise KeyFileError(f"{_VARIABLE}: cannot write {path}: {error.strerror}") from None
    _log.info("statement key made", path=str(path))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            seed = file.read(_SEED_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"{_VARIABLE}: cannot read {path}: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{_VARIABLE}: {path} can be read or changed by others; run chmod 600 on it")
    if len(seed) != _SEED_BYTES:
        raise KeyFileError(f"{_VARIABLE}: {path} does not hold {_SEED_BYTES} bytes; restore it from a backup")
    return seed
