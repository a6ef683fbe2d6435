"""Where backups are kept: a folder of sealed files that are whole or absent.

- `base/<time>/base.tar.gz.sealed`: one base backup, its own log and manifest inside;
- `base/<time>/backup.json`: what it is (BaseBackup);
- `wal/<segment>.gz.sealed`: the write-ahead log by segments, and the timelines' histories;
- `wal/<segment>.partial.gz.sealed`: the segment being written, as far as it was fetched;
- `farmers.txt`: the farmers' addresses, for kale-lifeboat;
- `status.json`: when what was done last (BackupStatus).
"""

import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from backend.backup.sealing import BackupKey, Sealer, opened
from backend.errors import BackupError

SUFFIX = ".gz.sealed"
_PARTIAL = ".partial"
_TAR = f"base.tar{SUFFIX}"
_STAMP = "%Y%m%dT%H%M%SZ"
_SEGMENT = re.compile("[0-9A-F]{24}")
_COPY_BYTES = 1 << 20
_GZIP = 31
"""zlib's number for the gzip format."""


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """A base backup.

    Attributes:
        name: Its folder's name.
        started_at: When it began, by this machine's clock; Unix seconds.
        finished_at: When it was complete: it can be restored to that time and later ones.
        first_segment: The first segment of log it needs.
        bytes: Its size on disk.
        verified: Whether it was opened again and passed pg_verifybackup.
    """

    name: str
    started_at: float
    finished_at: float
    first_segment: str
    bytes: int
    verified: bool = False


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """When what was done last, in Unix seconds; 0 for never.

    Attributes:
        wal_at: The log was last found to be fetched up to its end.
        base_at: The last base backup was complete.
        base_bytes: Its size.
        base_verified: Whether it passed verification.
        drill_at: The last drill ended.
        drill_passed: Whether it passed.
        drill_seconds: How long it took from its start to a server that serves.
        problem: The last failure in words, empty once it is over.
    """

    wal_at: float = 0.0
    base_at: float = 0.0
    base_bytes: int = 0
    base_verified: bool = False
    drill_at: float = 0.0
    drill_passed: bool = False
    drill_seconds: float = 0.0
    problem: str = ""


class Shelf:
    """The backups under one folder.

    Args:
        root: The folder; it is made if need be, readable by its owner alone.

    Raises:
        BackupError: It cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._base = root / "base"
        self._wal = root / "wal"
        try:
            for folder in (root, self._base, self._wal):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BackupError(f"BACKUP_DIRECTORY: cannot use {root}: {error.strerror}") from error

    def bases(self) -> list[BaseBackup]:
        """The complete base backups, oldest first."""
        found = (_read_json(path) for path in sorted(self._base.glob("*/backup.json")))
        return [BaseBackup(**one) for one in found]

    def tar(self, base: BaseBackup) -> Path:
        """The sealed archive of a base backup."""
        return self._base / base.name / _TAR

    def begin_base(self, now: float) -> "NewBase":
        """A base backup to be written; without `finish` it is not there."""
        return NewBase.begin(self._base, datetime.fromtimestamp(now, UTC).strftime(_STAMP))

    def mark_verified(self, base: BaseBackup) -> BaseBackup:
        """Notes that a base backup passed verification."""
        verified = replace(base, verified=True)
        write_json(self._base / base.name / "backup.json", asdict(verified))
        return verified

    def put_wal(self, file: Path, recipient: X25519PublicKey) -> None:
        """Keeps a segment, a part of one (its name ends in .partial), or a history."""
        with _whole(self._wal / f"{file.name}{SUFFIX}") as target, file.open("rb") as source:
            seal_stream(iter(lambda: source.read(_COPY_BYTES), b""), target, recipient)
        if _SEGMENT.fullmatch(file.name):
            (self._wal / f"{file.name}{_PARTIAL}{SUFFIX}").unlink(missing_ok=True)

    def wal_names(self) -> set[str]:
        """What is kept of the log: segments, parts of segments, histories."""
        return {path.name.removesuffix(SUFFIX) for path in self._wal.glob(f"*{SUFFIX}")}

    def unpack_wal(self, first_segment: str, target: Path, key: BackupKey) -> int:
        """Writes the log from a segment on, and all histories, to a folder; how many files.

        Raises:
            BackupError: A file does not open.
        """
        target.mkdir(mode=0o700)
        names = sorted(self.wal_names())
        wanted = [name for name in names if ".history" in name or _position(name) >= _position(first_segment)]
        for name in wanted:
            with (target / name.removesuffix(_PARTIAL)).open("wb") as file:
                for piece in unsealed(self._wal / f"{name}{SUFFIX}", key):
                    file.write(piece)
        return len(wanted)

    def prune(self, before: float) -> int:
        """Removes base backups that nothing after `before` needs, and their log; how many base backups."""
        # The newest of the older ones is needed for the moments between `before` and the next one.
        gone = [base for base in self.bases() if base.finished_at <= before][:-1]
        for base in gone:
            shutil.rmtree(self._base / base.name)
        kept = self.bases()
        if kept:
            first = _position(min((base.first_segment for base in kept), key=_position))
            for name in self.wal_names():
                if ".history" not in name and _position(name) < first:
                    (self._wal / f"{name}{SUFFIX}").unlink(missing_ok=True)
        return len(gone)

    def status(self) -> BackupStatus:
        """When what was done last."""
        return read_status(self.root)

    def note(self, **changes: Any) -> BackupStatus:
        """Keeps what was done last."""
        status = replace(self.status(), **changes)
        write_json(self.root / "status.json", asdict(status))
        return status

    def put_farmers(self, addresses: Iterable[str]) -> None:
        """Keeps the farmers' addresses."""
        with _whole(self.root / "farmers.txt") as file:
            file.write("".join(f"{address}\n" for address in sorted(addresses)).encode())


@dataclass(frozen=True, slots=True)
class NewBase:
    """A base backup being written."""

    folder: Path
    final: Path

    @classmethod
    def begin(cls, parent: Path, name: str) -> Self:
        """Makes its folder, and removes what earlier ones left that were cut short."""
        for leftover in parent.glob(".new-*"):
            shutil.rmtree(leftover)
        folder = parent / f".new-{name}"
        folder.mkdir(mode=0o700)
        return cls(folder, parent / name)

    @property
    def tar(self) -> Path:
        """Where its sealed archive is to be written."""
        return self.folder / _TAR

    def finish(self, *, started_at: float, finished_at: float, first_segment: str) -> BaseBackup:
        """Puts it among the complete ones."""
        size = self.tar.stat().st_size
        base = BaseBackup(self.final.name, started_at, finished_at, first_segment, size)
        write_json(self.folder / "backup.json", asdict(base))
        self.folder.rename(self.final)
        _sync(self.final.parent)
        return base


def read_status(root: Path) -> BackupStatus:
    """When what was done last, by the folder of the backups; nothing is made there."""
    path = root / "status.json"
    return BackupStatus(**_read_json(path)) if path.exists() else BackupStatus()


def seal_stream(pieces: Iterable[bytes], target: Any, recipient: X25519PublicKey) -> None:
    """Compresses and seals a stream into an open file."""
    sealer, packer = Sealer(target, recipient), zlib.compressobj(1, wbits=_GZIP)
    for piece in pieces:
        sealer.write(packer.compress(piece))
    sealer.write(packer.flush())
    sealer.close()


def unsealed(path: Path, key: BackupKey) -> Iterator[bytes]:
    """The text of a sealed, compressed file.

    Raises:
        BackupError: It does not open.
    """
    unpacker = zlib.decompressobj(wbits=_GZIP)
    with path.open("rb") as file:
        for piece in opened(file, key, path.name):
            yield unpacker.decompress(piece)
    yield unpacker.flush()


def write_json(path: Path, value: Any) -> None:
    """Replaces a file by a JSON value, as a whole and durably."""
    with _whole(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


@contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """A file that appears under its name once it is complete and on disk."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackupError(f"{path} cannot be read") from error
    if not isinstance(values, dict):
        raise BackupError(f"{path} is malformed")
    return values


def _position(segment: str) -> str:
    """A segment's place in the log, whatever its timeline."""
    return segment[8:24]
