"""Taking base backups, and proving that they open and are whole."""

import io
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from backend.backup.sealing import BackupKey
from backend.backup.shelf import BaseBackup, Shelf, seal_stream, unsealed
from backend.backup.tools import PostgresTools, failure
from backend.errors import BackupError

_PIECE_BYTES = 1 << 20
_LABEL_BYTES = 1 << 16
_LABEL = re.compile(rb"START WAL LOCATION: [0-9A-F/]+ \(file ([0-9A-F]{24})\)")
_MODE = 0o700


def take_base(shelf: Shelf, tools: PostgresTools, url: str, recipient: X25519PublicKey) -> BaseBackup:
    """Takes a base backup with its log, sealed before it touches the disk.

    Raises:
        BackupError: pg_basebackup failed, or the disk is full.
    """
    started_at = time.time()
    new = shelf.begin_base(started_at)
    arguments = ("-D", "-", "-F", "tar", "-X", "fetch", "--checkpoint=fast", "--no-password")
    process = tools.start("pg_basebackup", *arguments, url=url, output=-1)
    head = bytearray()
    try:
        with new.tar.open("wb") as target:
            seal_stream(_pieces(process.stdout, head), target, recipient)
        _, said = process.communicate()
    except OSError as error:
        raise BackupError(f"cannot write the base backup: {error.strerror}") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    label = _LABEL.search(head)
    if process.returncode != 0 or label is None:
        raise failure("pg_basebackup", said.decode(errors="replace"))
    return new.finish(started_at=started_at, finished_at=time.time(), first_segment=label[1].decode())


def verify_base(shelf: Shelf, base: BaseBackup, tools: PostgresTools, key: BackupKey) -> BaseBackup:
    """Opens a base backup, unpacks it and has pg_verifybackup compare it with its manifest.

    Raises:
        BackupError: It does not open, or is not whole.
    """
    with scratch() as folder:
        data = folder / "data"
        unpack_base(shelf, base, data, key)
        tools.give(folder)
        tools.run("pg_verifybackup", "--quiet", str(data))
    return shelf.mark_verified(base)


def unpack_base(shelf: Shelf, base: BaseBackup, target: Path, key: BackupKey) -> None:
    """Unpacks a base backup into a new folder.

    Raises:
        BackupError: It does not open, or the disk is full.
    """
    target.mkdir(mode=_MODE)
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Stream(unsealed(shelf.tar(base), key))), mode="r|") as archive:
            archive.extractall(target, filter="tar")
    except tarfile.TarError as error:
        raise BackupError(f"base backup {base.name} is damaged: {error}") from error
    except OSError as error:
        raise BackupError(f"cannot unpack base backup {base.name} to {target}: {error.strerror or error}") from error
    # PostgreSQL refuses data that others can read.
    target.chmod(_MODE)


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="kale-restore-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pieces(stream: IO[bytes], head: bytearray) -> Iterator[bytes]:
    """The stream in pieces; its beginning, where the label is, is kept in `head`."""
    while piece := stream.read(_PIECE_BYTES):
        if len(head) < _LABEL_BYTES:
            head += piece[:_LABEL_BYTES]
        yield piece


class _Stream(io.RawIOBase):
    """Pieces as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._held = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes, 0 of them at the end."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._held = piece
        part = self._held[: len(buffer)]
        buffer[: len(part)] = part
        self._held = self._held[len(part) :]
        return len(part)
