"""Key-encryption keys under a passphrase: nothing but the same passphrase brings them back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from backend.errors import KeyBackupError
from backend.vault.backup import MemoryKeys, opened_keys, sealed_keys

PASSPHRASE = "correct horse battery staple"
KEYS = {1: bytes(range(32)), 3: bytes(range(32, 64))}


@pytest.fixture(scope="module")
def backup() -> str:
    return sealed_keys(KEYS, PASSPHRASE)


def test_keys_come_back_with_their_versions(backup: str) -> None:
    assert opened_keys(backup, PASSPHRASE) == KEYS
    assert not any(key.hex() in backup for key in KEYS.values())


def test_other_passphrase_opens_nothing(backup: str) -> None:
    with pytest.raises(KeyBackupError, match="another passphrase"):
        opened_keys(backup, PASSPHRASE + ".")


def test_short_passphrase_is_refused() -> None:
    with pytest.raises(KeyBackupError, match="take 16 or more"):
        sealed_keys(KEYS, "too short")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda values: values.update(versions=[1, 2]), "tampered with"),
        (lambda values: values["scrypt"].update(n=2**14), "tampered with"),
        (lambda values: values["scrypt"].update(n=2**60), "no backup made by"),
        (lambda values: values.pop("nonce"), "no backup made by"),
        (lambda values: values.update(keys="zz"), "no backup made by"),
    ],
)
def test_changed_backup_is_refused(backup: str, change: Callable[[dict[str, Any]], Any], problem: str) -> None:
    values = json.loads(backup)
    change(values)
    with pytest.raises(KeyBackupError, match=problem):
        opened_keys(json.dumps(values), PASSPHRASE)


def test_backup_makes_no_keys() -> None:
    with pytest.raises(KeyBackupError, match="cannot be made in a backup"):
        MemoryKeys(KEYS).create(4)
