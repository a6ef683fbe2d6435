"""A database whose disk is full: nothing that could not be stored is sent, and all goes on once there is room."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from backend.db import migrate
from tests.fixtures.backend import StartBackend
from tests.fixtures.farming import DEPOSIT, request, to_backstop, worked

ROOT = Path(__file__).resolve().parents[2]
DISK_MIB = 500
START_SECONDS = 120
_MOUNT = 'mount -t tmpfs -o "size=$0,mode=755" none "$1" && shift && exec "$@"'


@dataclass
class SmallDisk:
    """A PostgreSQL on a small disk of its own.

    Attributes:
        url: The database's URL for the backend.
        folder: The disk, as this process sees it.
    """

    url: str = field(repr=False)
    folder: Path

    def fill(self) -> None:
        """Takes the disk's last byte."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass

    def empty(self) -> None:
        """Gives the room back."""
        (self.folder / "ballast").unlink()


def command(folder: Path) -> list[str]:
    """Runs a PostgreSQL in a mount namespace of its own, where `folder` is a small disk in memory."""
    server = [sys.executable, "-m", "devnet.postgres", str(folder / "server")]
    as_oneself = ["unshare", "--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}", *server]
    mounts = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    inside = server if os.geteuid() == 0 else as_oneself
    return [*mounts, "sh", "-c", _MOUNT, f"{DISK_MIB}m", str(folder), *inside]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an unprivileged user can enter, as a server started by root needs."""
    path = Path("/var/tmp") / f"kale-small-disk-{os.getpid()}"  # noqa: S108 - made by us, refused if it exists
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def small_disk(folder: Path) -> AsyncIterator[SmallDisk]:
    if shutil.which("unshare") is None:
        pytest.skip("needs the program `unshare` for a disk of its own")
    process = await asyncio.create_subprocess_exec(
        *command(folder),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    if not line:
        _, said = await process.communicate()
        if b"Operation not permitted" in said or b"permission denied" in said.lower():
            pytest.skip("this machine lets nobody mount a disk of its own")
        pytest.fail(said.decode())
    ready = json.loads(line)
    migrate(ready["database_url"], network="local", application_url=ready["application_url"])
    seen = Path(f"/proc/{process.pid}/root{folder}")
    yield SmallDisk(ready["application_url"], seen)
    process.terminate()
    await asyncio.wait_for(process.communicate(), START_SECONDS)


async def test_full_disk_sends_nothing_and_loses_nothing(small_disk: SmallDisk, start_backend: StartBackend) -> None:
    async with start_backend(database_url=small_disk.url) as pool:
        farmers = await pool.onboard(3, stroops=DEPOSIT)
        block = await pool.open_block()
        await asyncio.to_thread(small_disk.fill)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pool.plant(request(block))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await pool.world.devnet.advance(2)
        balances = await pool.world.farm.balances([farmer.wallet_address for farmer in farmers])
        assert set(balances.values()) == {DEPOSIT}
        await asyncio.to_thread(small_disk.empty)
        _, summary = await pool.plant(request(block))
        assert (summary.planted, summary.failed) == (3, 0)
        await to_backstop(pool)
        await asyncio.to_thread(small_disk.fill)
        await pool.world.devnet.advance(6)
        await asyncio.to_thread(small_disk.empty)
        await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
