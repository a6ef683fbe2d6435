"""PostgreSQL's own programs, run with passwords in their environment only."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from backend.errors import BackupError
from kale_common.errors import ConfigError

_NEEDED = ("pg_basebackup", "pg_receivewal", "pg_verifybackup", "pg_ctl", "postgres")


@dataclass(frozen=True)
class PostgresTools:
    """The programs of one PostgreSQL installation.

    Attributes:
        folder: Where they are.
        user: The user that servers, and what reads their data, run as; None for the present one.
    """

    folder: Path
    user: pwd.struct_passwd | None = None

    @classmethod
    def find(cls, folder: Path | None, user: str | None) -> "PostgresTools":
        """The programs in a folder, or on PATH.

        Raises:
            ConfigError: One is missing, or there is no such user.
        """
        found = folder
        if found is None:
            program = shutil.which("pg_basebackup")
            if program is None:
                raise ConfigError("POSTGRES_BIN", "is not set and pg_basebackup is not on PATH: install PostgreSQL")
            found = Path(program).resolve().parent
        missing = [name for name in _NEEDED if not (found / name).exists()]
        if missing:
            raise ConfigError("POSTGRES_BIN", f"{found} lacks {', '.join(missing)}: it must be a server's folder")
        if user is None or os.geteuid() != 0:
            return cls(found)
        try:
            return cls(found, pwd.getpwnam(user))
        except KeyError:
            raise ConfigError("POSTGRES_USER", f"there is no user {user}") from None

    def run(self, program: str, *arguments: str, url: str | None = None) -> str:
        """Runs a program to its end; what it printed.

        Raises:
            BackupError: It failed; the text carries its last words.
        """
        done = subprocess.run(  # noqa: S603  (PostgreSQL's own programs)
            [str(self.folder / program), *_connection(url), *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_environment(url),
            cwd="/",
            **self._as_user(),
        )
        if done.returncode != 0:
            raise failure(program, done.stderr or done.stdout)
        return str(done.stdout)

    def start(self, program: str, *arguments: str, url: str | None = None, output: int | None = None) -> Any:
        """Starts a program; the running process. Its standard error is a pipe."""
        return subprocess.Popen(  # noqa: S603  (likewise)
            [str(self.folder / program), *_connection(url), *arguments],
            stdout=subprocess.DEVNULL if output is None else output,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=_environment(url),
        )

    def give(self, path: Path) -> None:
        """Hands a file or folder, with all in it, to the user that servers run as."""
        if self.user is None:
            return
        os.chown(path, self.user.pw_uid, self.user.pw_gid)
        for folder, names, files in os.walk(path):
            for name in (*names, *files):
                os.chown(Path(folder) / name, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def _as_user(self) -> Mapping[str, Any]:
        return {} if self.user is None else {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}


def failure(program: str, text: str) -> BackupError:
    """What a failed program's words come to."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return BackupError(f"{program} failed: {'; '.join(lines[-4:]) or 'it said nothing'}")


def at_server(url: str, port: int) -> str:
    """The same database URL, on a server of this machine."""
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{port}", query=""))


def _connection(url: str | None) -> Sequence[str]:
    """The connection's option: the URL without its password, which other users could see."""
    if url is None:
        return ()
    parts = urlsplit(url)
    account, _, host = parts.netloc.rpartition("@")
    return ("-d", urlunsplit(parts._replace(netloc=f"{account.partition(':')[0]}@{host}")))


def _environment(url: str | None) -> dict[str, str]:
    password = urlsplit(url).password if url is not None else None
    kept = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    return kept if password is None else kept | {"PGPASSWORD": unquote(password)}
