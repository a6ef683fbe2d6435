"""A small file system for a pool's database, which can be filled to the last byte."""

import contextlib
import ctypes
import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

SIZE_MEGABYTES = 900
"""PostgreSQL's programs and data take some 200; its log may take as much again between two checkpoints."""

_NEW_MOUNTS = 0x20000  # CLONE_NEWNS
_PIECE = 1 << 20


class SmallDisk:
    """What is mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Takes every byte that is free."""
        with self._ballast.open("wb") as file, contextlib.suppress(OSError):
            at = 0
            while True:
                os.posix_fallocate(file.fileno(), at, _PIECE)
                at += _PIECE
        # What is left is less than a piece.
        with self._ballast.open("ab") as file, contextlib.suppress(OSError):
            while os.statvfs(self.path).f_bavail:
                file.write(bytes(4096))
                file.flush()

    def clear(self) -> None:
        """Gives the room back."""
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(console: Console) -> Iterator[SmallDisk | None]:
    """A disk on which a database that is made inside lies; None, and said on the console, where that is not permitted.

    It is mounted in a mount namespace of this process and of its children, and is gone with the last of them.
    """
    with tempfile.TemporaryDirectory(prefix="kale-disk-") as name:
        place = Path(name)
        place.chmod(0o755)
        try:
            _mount(place)
        except OSError as error:
            console.print(f"no disk of its own for the database ({error.strerror}): it is not filled")
            yield None
            return
        before, tempfile.tempdir = tempfile.tempdir, str(place)
        try:
            yield SmallDisk(place)
        finally:
            tempfile.tempdir = before
            subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S603, S607  (util-linux)


def _mount(place: Path) -> None:
    if os.geteuid() != 0:
        raise OSError(errno.EPERM, "only root may mount")
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_NEW_MOUNTS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    options = f"size={SIZE_MEGABYTES}m,mode=1777"
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", options, "kale-soak", str(place)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise OSError(errno.EPERM, done.stderr.strip())
