"""Key-encryption keys outside their files: sealed under a passphrase for a backup, and in memory for a drill of one.

The backup is JSON: what the passphrase is stretched with (scrypt, RFC 7914), and the keys under AES-256-GCM, with all
that stands beside them authenticated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from backend.errors import KeyBackupError
from backend.vault.file_keys import FileKey
from backend.vault.key_file import KEY_BYTES

MIN_PASSPHRASE = 16
_FORMAT = "kale-pool key-encryption keys, format 1"
_SALT_BYTES = 16
_NONCE_BYTES = 12
# 128 MiB and about half a second: a guess costs an attacker the same.
_COST = {"n": 2**17, "r": 8, "p": 1}
_HIGHEST_COST = 2**20


def sealed_keys(keys: Mapping[int, bytes], passphrase: str) -> str:
    """The text of a backup of keys (32 bytes each, by version).

    Raises:
        KeyBackupError: the passphrase is too short.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise KeyBackupError(f"the passphrase has {len(passphrase)} characters; take {MIN_PASSPHRASE} or more")
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    header = {"format": _FORMAT, "scrypt": {**_COST, "salt": salt.hex()}, "versions": sorted(keys)}
    body = json.dumps({str(version): key.hex() for version, key in keys.items()}).encode()
    sealed = AESGCM(_stretched(passphrase, salt, _COST)).encrypt(nonce, body, _bytes(header))
    return json.dumps(header | {"nonce": nonce.hex(), "keys": sealed.hex()}, indent=2) + "\n"


def opened_keys(text: str, passphrase: str) -> Mapping[int, bytes]:
    """The keys (by version) in a backup's text.

    Raises:
        KeyBackupError: it is no such backup, the passphrase is another, or it was tampered with.
    """
    try:
        values = json.loads(text)
        header = {name: values[name] for name in ("format", "scrypt", "versions")}
        nonce, sealed = bytes.fromhex(values["nonce"]), bytes.fromhex(values["keys"])
        key = _stretched(passphrase, bytes.fromhex(header["scrypt"]["salt"]), header["scrypt"])
        body = json.loads(AESGCM(key).decrypt(nonce, sealed, _bytes(header)))
        return {int(version): bytes.fromhex(key) for version, key in body.items()}
    except InvalidTag:
        raise KeyBackupError("it does not open: another passphrase, or it was tampered with") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyBackupError("it is no backup made by `kale-backend keys export-kek`") from None


class MemoryKeys:
    """A KeyProvider over keys from a backup; it makes none."""

    kind = "backup"
    name = "the backup"

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = keys

    def versions(self) -> Collection[int]:
        """See KeyProvider."""
        return sorted(self._keys)

    def load(self, version: int) -> FileKey:
        """See KeyProvider."""
        key = self._keys[version]
        if len(key) != KEY_BYTES:
            raise KeyBackupError(f"key version {version} in it has {len(key)} bytes, not {KEY_BYTES}")
        return FileKey(key)

    def create(self, version: int) -> None:
        """Raises KeyBackupError: a backup takes no keys."""
        raise KeyBackupError(f"key version {version} cannot be made in a backup")

    def __repr__(self) -> str:
        return f"MemoryKeys({sorted(self._keys)})"


def _stretched(passphrase: str, salt: bytes, cost: Mapping[str, Any]) -> bytes:
    if not 0 < int(cost["n"]) * int(cost["r"]) * int(cost["p"]) <= _HIGHEST_COST * _COST["r"]:
        raise ValueError("an absurd cost")
    return Scrypt(salt=salt, length=KEY_BYTES, n=int(cost["n"]), r=int(cost["r"]), p=int(cost["p"])).derive(
        passphrase.encode()
    )


def _bytes(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True).encode()
