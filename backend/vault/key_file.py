"""The file that holds the sealing key: 32 random bytes that only their owner can read."""

import os
import stat
from pathlib import Path

from backend.errors import KeyFileError

KEY_BYTES = 32


def create_key_file(path: Path) -> None:
    """Writes a new random key to a new file; see `write_key_file`."""
    write_key_file(path, os.urandom(KEY_BYTES))


def write_key_file(path: Path, key: bytes) -> None:
    """Writes a key (32 bytes) to a new file of mode 0600; an existing file is never overwritten.

    Raises:
        KeyFileError: the file exists, or cannot be written.
    """
    try:
        # The name is made durable together with the file: seeds sealed under a lost key are lost too.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except FileExistsError:
        raise KeyFileError(
            f"KEY_FILE: {path} exists and is left as it is: without it every seed sealed under it is lost"
        ) from None
    except OSError as error:
        raise KeyFileError(f"KEY_FILE: cannot write {path}: {error.strerror}") from None


def read_key_file(path: Path) -> bytes:
    """The key in a file.

    Raises:
        KeyFileError: the file is missing, unreadable, open to others, or not 32 bytes long.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            # One byte more than a key, so that a longer file is noticed.
            key = file.read(KEY_BYTES + 1) if stat.S_ISREG(mode) else b""
    except FileNotFoundError:
        raise KeyFileError(f"KEY_FILE: {path} does not exist; make it with `kale-backend key create`") from None
    except OSError as error:
        raise KeyFileError(f"KEY_FILE: cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise KeyFileError(f"KEY_FILE: {path} is not a file")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"KEY_FILE: {path} can be read or changed by others; run chmod 600 on it")
    if len(key) != KEY_BYTES:
        size = f"{len(key)} bytes" if len(key) < KEY_BYTES else "more"
        raise KeyFileError(f"KEY_FILE: {path} must hold {KEY_BYTES} bytes but holds {size}; restore it from a backup")
    return key


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
