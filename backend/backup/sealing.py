"""Encryption of backups for one recipient: who writes them needs the public key alone.

A sealed file is the format's mark (8 bytes), an ephemeral X25519 public key (32) and frames. The frames' key is
HKDF-SHA-256 of the shared secret, salted with the ephemeral and the recipient's public key. Each frame is AES-256-GCM
of 64 KiB of the text, the last one of less; its nonce is its number (11 bytes, big-endian) and 1 if it is the last,
else 0. A frame that is missing, moved or changed, and a file that was cut short, do not open (the construction is
STREAM: Hoang, Reyhanitabar, Rogaway, Vizár 2015).
"""

import base64
import binascii
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backend.errors import BackupError

MARK = b"KALEBAK1"
FRAME_BYTES = 64 * 1024
_KEY_BYTES = 32
_TAG_BYTES = 16
_SECRET_WORD = "kale-backup-secret:"  # noqa: S105  (what a key file begins with)
_PUBLIC_WORD = "kale-backup-public:"


class BackupKey:
    """The private key that opens backups."""

    __slots__ = ("_key",)

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> X25519PublicKey:
        """Its public key."""
        return self._key.public_key()

    def frame_cipher(self, ephemeral: bytes) -> AESGCM:
        """The cipher of a file with this ephemeral public key."""
        shared = self._key.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        return _cipher(shared, ephemeral, self.public)

    def __repr__(self) -> str:
        return "BackupKey()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a BackupKey is never pickled: it must not leave the process")


class Sealer:
    """Writes a sealed file piece by piece; without `close` it does not open."""

    def __init__(self, file: IO[bytes], recipient: X25519PublicKey) -> None:
        ephemeral = X25519PrivateKey.generate()
        public = ephemeral.public_key().public_bytes_raw()
        self._file = file
        self._cipher = _cipher(ephemeral.exchange(recipient), public, recipient)
        self._held = bytearray()
        self._number = 0
        file.write(MARK + public)

    def write(self, data: bytes) -> None:
        """Takes more of the text."""
        self._held += data
        # A full frame is held back until more comes: the last one is marked as such.
        while len(self._held) > FRAME_BYTES:
            self._frame(bytes(self._held[:FRAME_BYTES]), last=False)
            del self._held[:FRAME_BYTES]

    def close(self) -> None:
        """Writes the last frame; the file itself stays open."""
        self._frame(bytes(self._held), last=True)
        self._held.clear()

    def _frame(self, text: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), text, None))
        self._number += 1


def opened(file: IO[bytes], key: BackupKey, name: str) -> Iterator[bytes]:
    """The text of a sealed file, piece by piece.

    Raises:
        BackupError: It is no sealed file, was sealed for another key, changed, or cut short.
    """
    header = file.read(len(MARK) + _KEY_BYTES)
    if len(header) != len(MARK) + _KEY_BYTES or not header.startswith(MARK):
        raise BackupError(f"{name} is no sealed backup")
    cipher = key.frame_cipher(header[len(MARK) :])
    number, frame = 0, file.read(FRAME_BYTES + _TAG_BYTES)
    while True:
        following = file.read(FRAME_BYTES + _TAG_BYTES)
        last = not following
        try:
            yield cipher.decrypt(_nonce(number, last=last), frame, None)
        except (InvalidTag, ValueError):
            raise BackupError(
                f"{name} does not open: it was sealed for another key, was changed, or is incomplete"
            ) from None
        if last:
            return
        number, frame = number + 1, following


def create_keys(path: Path) -> Path:
    """Writes a new private key to `path` (mode 0600) and its public key beside it, with ".pub" after the name.

    Raises:
        BackupError: One of the files exists, or cannot be written.
    """
    key = X25519PrivateKey.generate()
    public_path = path.with_name(path.name + ".pub")
    _write_new(path, _SECRET_WORD, key.private_bytes_raw(), 0o600)
    _write_new(public_path, _PUBLIC_WORD, key.public_key().public_bytes_raw(), 0o644)
    return public_path


def read_key(path: Path) -> BackupKey:
    """The private key in a file.

    Raises:
        BackupError: It is missing, malformed, or can be read by others.
    """
    raw = _read(path, _SECRET_WORD, "BACKUP_KEY_FILE")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BackupError(f"BACKUP_KEY_FILE: {path} can be read by others; run chmod 600 on it")
    return BackupKey(X25519PrivateKey.from_private_bytes(raw))


def read_public_key(path: Path) -> X25519PublicKey:
    """The public key in a file.

    Raises:
        BackupError: It is missing or malformed.
    """
    return X25519PublicKey.from_public_bytes(_read(path, _PUBLIC_WORD, "BACKUP_PUBLIC_KEY_FILE"))


def _cipher(shared: bytes, ephemeral: bytes, recipient: X25519PublicKey) -> AESGCM:
    salt = ephemeral + recipient.public_bytes_raw()
    return AESGCM(HKDF(hashes.SHA256(), _KEY_BYTES, salt, b"kale-pool backup").derive(shared))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def _write_new(path: Path, word: str, raw: bytes, mode: int) -> None:
    text = f"{word}{base64.b64encode(raw).decode()}\n".encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise BackupError(f"{path} exists and is left as it is: backups sealed for it need it") from None
    except OSError as error:
        raise BackupError(f"cannot write {path}: {error.strerror}") from None


def _read(path: Path, word: str, variable: str) -> bytes:
    try:
        text = path.read_text(encoding="ascii").strip()
        raw = base64.b64decode(text.removeprefix(word), validate=True) if text.startswith(word) else b""
    except FileNotFoundError:
        raise BackupError(f"{variable}: {path} does not exist; make it with `kale-backend backup key`") from None
    except OSError as error:
        raise BackupError(f"{variable}: cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, binascii.Error):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise BackupError(f"{variable}: {path} holds no such key; `kale-backend backup key` makes one")
    return raw
