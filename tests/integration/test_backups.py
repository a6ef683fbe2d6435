"""Backups by PostgreSQL's own tools, restored while the pool farms: what was fetched is there, nothing is doubled."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backend.backup.shelf import Shelf, read_status
from backend.db.migrations import migrate
from devnet.postgres import EmbeddedPostgres
from kale_chain.xdr.envelopes import read_harvest_call, read_plant_call
from tests.fixtures.backend import Pool, StartBackend, World
from tests.fixtures.farming import DEPOSIT, balance_adds_up, request, worked

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own."""
    with EmbeddedPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        migrate(server.url, network="local", application_url=server.application_url)
        yield server
        shutil.rmtree(server.data.with_name("restored"), ignore_errors=True)


@pytest.fixture
def environment(
    server: EmbeddedPostgres, world: World, tmp_path: Path, backend_settings: dict[str, Any]
) -> dict[str, str]:
    """What the commands about backups read."""
    settings = {
        "BACKUP_DIRECTORY": str(tmp_path / "backups"),
        "BACKUP_KEY_FILE": str(tmp_path / "backup.key"),
        "BACKUP_DATABASE_URL": server.url,
        "BACKUP_WAL_SECONDS": "0.2",
        "BACKUP_DRILL_HOURS": "0",
        "DATABASE_URL": server.application_url,
        "KEY_FILE": str(backend_settings["key_file"]),
        "STELLAR_NETWORK": "local",
        "STELLAR_NETWORK_PASSPHRASE": world.identity.passphrase,
        "POSTGRES_BIN": str(server.bin),
        "PYTHONPATH": str(ROOT),
    }
    # PostgreSQL refuses to run as root.
    return settings | ({"POSTGRES_USER": "nobody"} if os.geteuid() == 0 else {})


async def command(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
    """What a command of the backend prints; with another exit code, what it says on standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    assert process.returncode == code, said.decode()
    return (said if code else printed).decode()


@contextlib.asynccontextmanager
async def backing_up(environment: dict[str, str]) -> AsyncIterator[None]:
    """Inside, `kale-backend backup run` works, and its first base backup is complete."""
    await command(environment, "backup", "key")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "backend", "backup", "run", env=environment)
    try:
        await until(lambda: read_status(Path(environment["BACKUP_DIRECTORY"])).base_verified)
        yield
    finally:
        process.terminate()
        assert await process.wait() == 0


async def until(met: Any) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not met():  # noqa: ASYNC110  (another process writes files)
            await asyncio.sleep(0.05)


def now_of(server: EmbeddedPostgres) -> datetime:
    """The server's own clock."""
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def events_of(server: EmbeddedPostgres) -> Any:
    """How many events there are, and the last one's number."""
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT count(*), max(id) FROM block_events").fetchone()


async def fetched_up_to(environment: dict[str, str], moment: datetime) -> None:
    """Waits until the log of that moment is kept."""
    await until(lambda: read_status(Path(environment["BACKUP_DIRECTORY"])).wal_at > moment.timestamp())


def serve_restored(server: EmbeddedPostgres, restored: Path) -> None:
    """Has the server serve the restored data in place of its own."""
    server.stop()
    shutil.rmtree(server.data)
    restored.rename(server.data)
    server.start()


async def farm_one_block(pool: Pool, request_id: str) -> None:
    """Plants the next block and goes on until the backstop has worked it."""
    block = await pool.open_block()
    events, summary = await pool.plant(request(block, request_id))
    assert summary.planted == len(events) > 0
    addresses = [(event.wallet_address, block) for event in events]

    async def done() -> bool:
        return all(entry.pail.worked for entry in (await pool.world.farm.pails(addresses)).values())

    await pool.until(done)


async def calls(world: World) -> tuple[list[Any], list[Any]]:
    """Every successful plant and harvest of the ledger's life."""
    last = await world.rpc.latest_ledger()
    applied = [one for one in await world.rpc.transactions(2, last.sequence) if one.successful]
    farm = world.identity.farm_id
    plants = [call for one in applied if (call := read_plant_call(one.envelope_xdr, farm))]
    return plants, [call for one in applied if (call := read_harvest_call(one.envelope_xdr, farm))]


async def test_restore_to_a_random_second_under_load_doubles_nothing(
    world: World, start_backend: StartBackend, server: EmbeddedPostgres, environment: dict[str, str]
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    async with backing_up(environment):
        begun = now_of(server)
        async with start_backend(database_url=server.application_url) as pool:
            farmers = await pool.onboard(2, stroops=DEPOSIT)
            for number in range(2):
                await farm_one_block(pool, f"r-{number}")
            ended = now_of(server)
            await pool.advance()
        await fetched_up_to(environment, now_of(server))
    # A whole second, and none before the base backup was there.
    earliest = begun.replace(microsecond=0) + timedelta(seconds=1)
    moment = max(begun + random.Random(seed).uniform(0.2, 1) * (ended - begun), earliest)
    to = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
    restored = server.data.with_name("restored")
    report = json.loads(await command(environment, "restore", str(restored), "--to", to, "--json"))
    assert report["books"] is None, (seed, to)
    serve_restored(server, restored)
    async with start_backend(database_url=server.application_url) as pool:
        status = await pool.caught_up()
        assert "quarantine" in [one.name for one in status.components], (seed, to)

        async def calm() -> bool:
            now = await pool.caught_up()
            return not {"quarantine", "books"} & {one.name for one in now.components}

        await pool.until(calm, ledgers=60)
        known = [one for one in farmers if await is_known(pool, one.farmer_id)]
        if known:
            await farm_one_block(pool, "after")
        for farmer in known:
            await balance_adds_up(pool, farmer.farmer_id)
    plants, harvests = await calls(world)
    assert len({(call.farmer, call.block_index) for call in plants}) == len(plants), (seed, to)
    assert len(set(harvests)) == len(harvests), (seed, to)


async def is_known(pool: Pool, farmer_id: str) -> bool:
    """Whether the database knew the farmer at that moment."""
    with contextlib.suppress(Exception):
        return bool(await pool.farmer(farmer_id))
    return False


async def test_last_commit_is_in_the_backup_although_the_server_is_lost(
    start_backend: StartBackend, server: EmbeddedPostgres, environment: dict[str, str]
) -> None:
    async with backing_up(environment):
        async with start_backend(database_url=server.application_url) as pool:
            farmers = await pool.onboard(2, stroops=DEPOSIT)
            block = await pool.open_block()
            await pool.plant(request(block))
            await pool.until(lambda: worked(pool, block, farmers))
            await fetched_up_to(environment, now_of(server))
        expected = events_of(server)
        await fetched_up_to(environment, now_of(server))
        server.kill()
        drilled = json.loads(await command(environment, "drill", "--json"))
    assert (drilled["farmers"], drilled["canary"] in {one.wallet_address for one in farmers}) == (2, True)
    restored = server.data.with_name("restored")
    await command(environment, "restore", str(restored))
    serve_restored(server, restored)
    assert events_of(server) == expected
    assert read_status(Path(environment["BACKUP_DIRECTORY"])).drill_passed


async def test_drill_fails_loudly_where_a_backup_was_damaged_or_the_keys_do_not_fit(
    start_backend: StartBackend, server: EmbeddedPostgres, environment: dict[str, str], tmp_path: Path
) -> None:
    async with start_backend(database_url=server.application_url) as pool:
        (farmer,) = await pool.onboard(1)
    await command(environment, "backup", "key")
    taken = json.loads(await command(environment, "backup", "now", "--json"))
    assert taken["verified"]
    assert listed(environment) == [farmer.wallet_address]
    other = {"KEY_FILE": str(tmp_path / "other.key")}
    await command(environment | other, "key", "create")
    said = await command(environment | other, "drill", code=1)
    assert "sealed seed" in said
    shelf = Shelf(Path(environment["BACKUP_DIRECTORY"]))
    damage(shelf.tar(shelf.bases()[0]))
    assert "was changed" in await command(environment, "drill", code=1)
    assert not shelf.status().drill_passed
    assert "problem: the drill failed" in await command(environment, "backup", "list")
    assert "the oldest base backup was complete at" in await command(
        environment, "restore", str(tmp_path / "new"), "--to", "2020-01-01T00:00:00", code=1
    )


def listed(environment: dict[str, str]) -> list[str]:
    """The farmers' addresses beside the backups."""
    return Path(environment["BACKUP_DIRECTORY"], "farmers.txt").read_text().split()


def damage(file: Path) -> None:
    """Changes one byte in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
