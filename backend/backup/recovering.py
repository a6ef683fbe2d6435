"""Restoring: a base backup and the log after it, recovered by a temporary server on this machine."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backend.backup.sealing import BackupKey
from backend.backup.shelf import BaseBackup, Shelf
from backend.backup.taking import scratch, unpack_base
from backend.backup.tools import PostgresTools
from backend.errors import BackupError

_POLL_SECONDS = 0.05
_STOP_SECONDS = 60
_RECOVERY_SECONDS = 86_400
"""A long log takes long to replay; pg_ctl by itself would give up after a minute."""
_LOG_LINES = 6
_BEFORE_TARGET = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True, slots=True)
class Recovered:
    """A temporary server with a restored database.

    Attributes:
        port: Where it listens on 127.0.0.1.
        base: The base backup it was restored from.
        log_files: How many files of the log were at hand.
        seconds: From the beginning to a server that serves.
    """

    port: int
    base: BaseBackup
    log_files: int
    seconds: float


def choose_base(shelf: Shelf, to: datetime | None) -> BaseBackup:
    """The base backup to start from: the newest, or the newest complete by `to`.

    Raises:
        BackupError: There is none.
    """
    bases = shelf.bases()
    if not bases:
        raise BackupError(f"there is no base backup in {shelf.root}")
    usable = [base for base in bases if to is None or base.finished_at <= to.timestamp()]
    if not usable:
        first = datetime.fromtimestamp(bases[0].finished_at, UTC)
        raise BackupError(f"the oldest base backup was complete at {first:%Y-%m-%d %H:%M:%S} UTC: name a later time")
    return usable[-1]


@contextmanager
def recovered(
    shelf: Shelf, tools: PostgresTools, key: BackupKey, data: Path, to: datetime | None
) -> Iterator[Recovered]:
    """Restores into the new folder `data` and serves it on this machine alone until the block is left.

    Args:
        shelf: The backups.
        tools: PostgreSQL's programs.
        key: Opens the backups.
        data: The folder to make; afterwards it is a stopped, recovered cluster without any trace of the restore.
        to: The moment to go back to; None for the last one that was fetched.

    Raises:
        BackupError: There is no such backup, it does not open, or PostgreSQL does not recover it.
    """
    begun = time.monotonic()
    base = choose_base(shelf, to)
    with scratch() as folder:
        unpack_base(shelf, base, data, key)
        log_files = shelf.unpack_wal(base.first_segment, folder / "wal", key)
        port = _free_port()
        _configure(folder, data, port, to)
        tools.give(folder)
        tools.give(data)
        _start(tools, data, folder)
        try:
            yield Recovered(port, base, log_files, time.monotonic() - begun)
        finally:
            tools.run("pg_ctl", "stop", "-D", str(data), "-m", "fast", "-w", "-t", str(_STOP_SECONDS))


def _configure(folder: Path, data: Path, port: int, to: datetime | None) -> None:
    """Settings of its own, so that a server whose settings lie elsewhere can be restored too."""
    lines = [
        f"data_directory = '{data}'",
        f"hba_file = '{folder}/hba.conf'",
        f"ident_file = '{folder}/ident.conf'",
        "listen_addresses = '127.0.0.1'",
        f"port = {port}",
        "unix_socket_directories = ''",
        # It is ready only once it was recovered to the end, not in between.
        "hot_standby = off",
        "archive_mode = off",
        "max_connections = 50",
        f'restore_command = \'cp "{folder}/wal/%f" "%p"\'',
        "recovery_target_timeline = 'latest'",
        "recovery_target_action = 'promote'",
    ]
    if to is not None:
        lines.append(f"recovery_target_time = '{to.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'")
    (folder / "server.conf").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
    (folder / "ident.conf").touch()
    (folder / "server.log").touch()
    (data / "recovery.signal").touch()


def _start(tools: PostgresTools, data: Path, folder: Path) -> None:
    """Starts the server and waits until it has recovered everything."""
    log = folder / "server.log"
    try:
        tools.run(
            *("pg_ctl", "start", "-D", str(data), "-o", f"-c config_file={folder}/server.conf"),
            *("-s", "-l", str(log), "-w", "-t", str(_RECOVERY_SECONDS)),
        )
        _wait_until_ready(data)
    except BackupError:
        text = log.read_text(encoding="utf-8", errors="replace")
        if _BEFORE_TARGET in text:
            raise BackupError("the log that was fetched ends before that time: name an earlier one, or none") from None
        last = "; ".join(text.strip().splitlines()[-_LOG_LINES:])
        raise BackupError(f"PostgreSQL does not recover the backup; its log ends with: {last}") from None


def _wait_until_ready(data: Path) -> None:
    while (state := _state(data)) != "ready":
        if state is None:
            raise BackupError("the server ended")
        time.sleep(_POLL_SECONDS)


def _state(data: Path) -> str | None:
    """What the server says of itself in the last line of its pid file; None if it does not run."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return lines[-1].strip() if lines else ""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
