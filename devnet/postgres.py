"""A real PostgreSQL server for the demo and the tests, started from an installed wheel.

It listens on 127.0.0.1 only, on a port the system chose, without a Unix socket, and asks for a random password
(SCRAM). The data is UTF-8 with checksums. `python -m devnet.postgres DIRECTORY` runs one until Ctrl-C and prints its
URL as a line of JSON.
"""

import hashlib
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import typer

from devnet.errors import PostgresError
from devnet.postgres_home import Home, exclusive, open_home, remove_home

DATABASE = "kale_pool"
OWNER = "kale"
APPLICATION = "kale_backend"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_ATTEMPTS = 20
_POLL_SECONDS = 0.02
_RETRY_SECONDS = 0.25
_LAST_LINES = 8
# What a start may meet right after a crash (children of the dead server still ending) or when another program
# takes the chosen port first.
_PASSING_FAULTS = ("shared memory block", "lock file", "could not bind", "could not create any TCP/IP sockets")


class EmbeddedPostgres:
    """A PostgreSQL server that lives as long as its context.

    The server also stops when the thread that started it ends, so that none is left behind by a killed process; start
    it from a thread that outlives its use.

    Args:
        directory: Keeps the data from one run to the next; None for a temporary one that is deleted at the end.
        settings: Further server settings, for example {"fsync": "off"} where durability does not matter.
    """

    def __init__(self, directory: Path | None = None, *, settings: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._settings = dict(settings or {})
        self._context = ExitStack()
        self._home: Home | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            temporary = self._directory is None
            directory = Path(tempfile.mkdtemp(prefix="kale-postgres-")) if self._directory is None else self._directory
            undo.enter_context(exclusive(directory))
            self._home = open_home(directory)
            if temporary:
                undo.callback(remove_home, directory, self._home)
            undo.callback(self.stop)
            self.start()
            self._context = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()

    def __repr__(self) -> str:
        return f"EmbeddedPostgres(port={self.port})"

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended by itself."""
        return self._server is not None and self._server.poll() is None

    @property
    def url(self) -> str:
        """The URL of the database `kale_pool` as its owner, with the password."""
        return self.url_of(DATABASE)

    @property
    def application_url(self) -> str:
        """The URL of the database `kale_pool` for the backend, whose role `kale-backend migrate` makes."""
        return self.application_url_of(DATABASE)

    def application_url_of(self, database: str) -> str:
        """The URL of a database of this server for the backend."""
        # Derived, so that a directory made by an earlier version has one too.
        password = hashlib.sha256(f"{APPLICATION} {self._opened().password}".encode()).hexdigest()
        return f"postgresql://{APPLICATION}:{password}@127.0.0.1:{self.port}/{database}"

    def url_of(self, database: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://{OWNER}:{self._opened().password}@127.0.0.1:{self.port}/{database}"

    @property
    def bin(self) -> Path:
        """Folder of the server's programs, such as pg_dump."""
        return self._opened().bin

    @property
    def data(self) -> Path:
        """Folder of the data; it is whole only while the server is stopped."""
        return self._opened().data

    def start(self) -> None:
        """Starts the server, at the port it had before if it ran before; initialises it at its first start.

        Raises:
            PostgresError: it does not start; the text carries the end of the server's log.
        """
        home = self._opened()
        self._end_leftover(home)
        if not home.data.exists():
            _initialise(home)
        self._refuse_other_version(home)
        fixed_port, complaint = self.port, ""
        for _ in range(_ATTEMPTS):
            fault = self._try_start(home, fixed_port or _free_port())
            if fault is None:
                return
            complaint = fault
            if not any(passing in complaint for passing in _PASSING_FAULTS):
                break
            time.sleep(_RETRY_SECONDS)
        last = "\n".join(complaint.splitlines()[-_LAST_LINES:])
        raise PostgresError(f"PostgreSQL does not start; its log {home.log} ends with:\n{last}")

    def stop(self) -> None:
        """Stops the server cleanly: connections are cut, everything committed is on disk. Repeating does nothing."""
        if self._server is None:
            return
        for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            self._server.send_signal(request)
            try:
                self._server.wait(_STOP_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        self._server = None

    def kill(self) -> None:
        """Ends the server as a power cut would, for tests of recovery; `start` brings it back."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def _opened(self) -> Home:
        if self._home is None:
            raise PostgresError("EmbeddedPostgres is a context manager: use it in a `with` statement")
        return self._home

    def _try_start(self, home: Home, port: int) -> str | None:
        """Starts the server once; returns None, or what was logged while one ended instead of serving.

        Children of a server that was killed go on writing to the same log: the new one's fault may stand before theirs.
        """
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with home.log.open("ab") as log:
            log_start = log.tell()
            # A session of its own: Ctrl-C in the terminal must reach the services first, not the server below them.
            server = subprocess.Popen(  # noqa: S603 - our own command line
                home.command("postgres", "-D", str(home.data), *arguments, parent_death_signal="INT"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        if not _becomes_ready(server, home.data / "postmaster.pid"):
            return _written(home.log, log_start)
        self._server, self.port = server, port
        return None

    def _end_leftover(self, home: Home) -> None:
        """Stops a server that outlived the process that used this directory before."""
        try:
            pid = int((home.data / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        # The number may belong to another program by now: only a server of this very data folder is ended.
        if str(home.data).encode() in command:
            _run(home, "pg_ctl", "stop", "-D", str(home.data), "-m", "fast", "-w", "-t", str(int(_STOP_SECONDS)))

    def _refuse_other_version(self, home: Home) -> None:
        found = (home.data / "PG_VERSION").read_text(encoding="utf-8").strip()
        installed = _run(home, "postgres", "--version").split()[-1]
        if installed.split(".")[0] != found:
            raise PostgresError(
                f"the data in {home.data} was made by PostgreSQL {found}, but {installed} is installed; "
                "remove the directory to start with an empty database"
            )


def _initialise(home: Home) -> None:
    """Makes the data folder with its database in one step: it is either complete or absent."""
    partial = home.data.with_name("data.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    home.give(partial)
    with tempfile.NamedTemporaryFile("w", prefix="kale-pg-") as password:
        password.write(home.password)
        password.flush()
        home.give(Path(password.name))
        encoding = ["-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["-A", "scram-sha-256", "-U", OWNER, f"--pwfile={password.name}"]
        _run(home, "initdb", "-D", str(partial), "--data-checksums", *encoding, *access)
    _run(home, "postgres", "--single", "-D", str(partial), "postgres", text=f"CREATE DATABASE {DATABASE};\n")
    partial.rename(home.data)


def _run(home: Home, program: str, *arguments: str, text: str = "") -> str:
    done = subprocess.run(  # noqa: S603 - our own command line
        home.command(program, *arguments),
        input=text,
        capture_output=True,
        text=True,
        cwd="/",
        env=_environment(),
        check=False,
    )
    if done.returncode != 0:
        raise PostgresError(f"PostgreSQL's {program} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Nothing of ours: the caller's environment may hold secrets, and PG* variables change what the programs do."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _becomes_ready(server: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Waits until the server says so in the last line of its pid file; False once it has ended instead."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return False
        try:
            lines = pid_file.read_text(encoding="utf-8").split("\n")
        except OSError:
            lines = []
        if lines[:1] == [str(server.pid)] and any(line.strip() == "ready" for line in lines[7:]):
            return True
        time.sleep(_POLL_SECONDS)
    server.kill()
    server.wait()
    return False


def _written(log: Path, start: int) -> str:
    """What was written to the log since the given position."""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def main(
    directory: Annotated[Path, typer.Argument(help="Keeps the data from one run to the next.")],
) -> None:
    """Run a PostgreSQL server until Ctrl-C and print its URLs: the owner's, and that for the backend."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with EmbeddedPostgres(directory) as postgres:
            typer.echo(
                json.dumps(
                    {"event": "ready", "database_url": postgres.url, "application_url": postgres.application_url}
                )
            )
            ended.wait()
    except PostgresError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
