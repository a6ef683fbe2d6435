"""Backups of keys by two paths: sealed seeds, worthless alone, and the key-encryption keys, worthless alone too."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.config import KeySettings, KeysSettings
from backend.domain.farmer import FarmerKey
from backend.errors import KeyBackupError, KeyFileError
from backend.key_ring import device, key_ring
from backend.keys import Unopened, pages, tables, unopenable
from backend.vault import FileKeys, KeyRing, Seeds
from backend.vault.backup import MemoryKeys, opened_keys, sealed_keys
from backend.vault.key_file import read_key_file, sync_folder, write_key_file

_FORMAT = "kale-pool sealed seeds, format 1"


@dataclass(frozen=True, slots=True)
class ExportedSeeds:
    """How many sealed seeds were written, and under which key versions: these must be backed up too."""

    seeds: int
    key_versions: Sequence[int]


@dataclass(frozen=True, slots=True)
class ExportedKeys:
    """Which key versions were written, and which lie in a device that gives none away."""

    key_versions: Sequence[int]
    in_device: Sequence[int]


@dataclass(frozen=True, slots=True)
class Drill:
    """What two backups together open.

    Attributes:
        opened: Seeds that open and are those of their farmers' addresses.
        unopened: Those that do not, and why.
        not_backed_up: Farmers of the database whose addresses are not in the backup.
    """

    opened: int
    unopened: Sequence[Unopened]
    not_backed_up: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether the backups bring every farmer's key back."""
        return not self.unopened and not self.not_backed_up


async def export_sealed(settings: KeysSettings, path: Path) -> ExportedSeeds:
    """Writes every farmer's sealed seed to a new file of mode 0600.

    Raises:
        KeyBackupError: the file exists or cannot be written.
        BackendError: the database cannot be read.
    """
    async with tables(settings) as database:
        keys = [key async for page in pages(database) for key in page]
    network = _network(settings)
    values = {"format": _FORMAT, "network": network, "farmers": [_values(key) for key in keys]}
    _write_new(path, json.dumps(values, indent=1) + "\n")
    return ExportedSeeds(len(keys), sorted({key.key_version for key in keys}))


def export_keys(settings: KeySettings, path: Path, passphrase: str) -> ExportedKeys:
    """Writes the key versions that lie in files to a new file of mode 0600, sealed under a passphrase.

    Raises:
        KeyBackupError: the file exists or cannot be written, or the passphrase is too short.
        KeyFileError, KeyDeviceError: the keys cannot be read.
    """
    files = FileKeys(settings.key_file)
    keys = {version: read_key_file(files.path(version)) for version in files.versions()}
    everywhere = {place.version for place in key_ring(settings).places()}
    _write_new(path, sealed_keys(keys, passphrase))
    return ExportedKeys(sorted(keys), sorted(everywhere - set(keys)))


def import_keys(settings: KeySettings, path: Path, passphrase: str) -> Sequence[int]:
    """Puts the keys of a backup where KEY_FILE says, and returns the versions that were missing there.

    Raises:
        KeyBackupError: the backup does not open.
        KeyFileError: a file there holds another key, or cannot be written.
    """
    files = FileKeys(settings.key_file)
    keys, present = opened_keys(_read(path), passphrase), files.versions()
    for version in sorted(set(keys) & set(present)):
        if read_key_file(files.path(version)) != keys[version]:
            raise KeyFileError(f"KEY_FILE: {files.path(version)} holds another key than the backup; nothing was done")
    missing = sorted(set(keys) - set(present))
    for version in missing:
        write_key_file(files.path(version), keys[version])
    return missing


async def drill(settings: KeysSettings, sealed: Path, keys: Path, passphrase: str) -> Drill:
    """Opens every seed of one backup with the keys of the other, in memory, and looks for farmers it lacks.

    Versions in a device are opened with the device: its keys have no other backup than its own.

    Raises:
        KeyBackupError: a backup cannot be read.
        BackendError: the database or the device cannot be read.
    """
    backup = MemoryKeys(opened_keys(_read(keys), passphrase))
    ring = KeyRing([backup] if settings.pkcs11_module is None else [backup, device(settings)])
    seeds = Seeds(ring, settings.stellar_network_passphrase)
    kept = _seeds_in(_read(sealed), _network(settings))
    unopened = [problem for key in kept if (problem := unopenable(seeds, key)) is not None]
    async with tables(settings) as database:
        present = {key.address async for page in pages(database) for key in page}
    lacking = sorted(present - {key.address for key in kept})
    return Drill(len(kept) - len(unopened), unopened, lacking)


def _values(key: FarmerKey) -> Mapping[str, Any]:
    return {
        "farmer_id": str(key.farmer_id),
        "address": key.address,
        "public_key": key.public_key,
        "sealed_seed": key.sealed_seed.hex(),
        "key_version": key.key_version,
    }


def _farmer_key(one: Mapping[str, Any]) -> FarmerKey:
    return FarmerKey(
        UUID(one["farmer_id"]),
        one["address"],
        one["public_key"],
        bytes.fromhex(one["sealed_seed"]),
        int(one["key_version"]),
    )


def _seeds_in(text: str, network: str) -> Sequence[FarmerKey]:
    no_backup = KeyBackupError("it is no backup made by `kale-backend keys export-sealed`")
    try:
        values = json.loads(text)
        known = values["format"] == _FORMAT
        farmers = [_farmer_key(one) for one in values["farmers"]]
    except (ValueError, KeyError, TypeError):
        raise no_backup from None
    if not known:
        raise no_backup
    if values["network"] != network:
        raise KeyBackupError("the sealed seeds are those of another network than STELLAR_NETWORK_PASSPHRASE names")
    return farmers


def _network(settings: KeysSettings) -> str:
    return hashlib.sha256(settings.stellar_network_passphrase.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyBackupError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None


def _write_new(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise KeyBackupError(f"cannot write {path}: {error.strerror}") from None
