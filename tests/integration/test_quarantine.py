"""A database restored to an older point: nothing is signed until the ledger tells what the lost rows had sent."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from psycopg import AsyncConnection

from backend.db import migrate, open_stores
from backend.services.quarantining import QUARANTINE_LEDGERS
from backend.vault import HeadFile
from devnet.postgres import EmbeddedPostgres
from kale_chain.xdr.envelopes import read_harvest_call, read_plant_call
from kalepool.v1 import farmers_pb2, pool_pb2, status_pb2
from tests.fixtures.backend import Pool, StartBackend, World
from tests.fixtures.stores import Query

ROOT = Path(__file__).resolve().parents[2]
DEPOSIT = 100 * 10_000_000
Restore = Callable[[], None]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, to be restored to an older point."""
    with EmbeddedPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        migrate(server.url, network="local", application_url=server.application_url)
        yield server


def copy(source: Path, target: Path) -> None:
    """Copies a data folder with its owner and rights."""
    subprocess.run(["/usr/bin/env", "cp", "-a", source, target], check=True)


@pytest.fixture
def backup(own_server: EmbeddedPostgres) -> Iterator[Callable[[], Restore]]:
    """Takes a backup of the stopped server's files; what it returns puts them back."""
    kept = own_server.data.with_name("backup")

    def take() -> Restore:
        own_server.stop()
        copy(own_server.data, kept)
        own_server.start()
        return put_back

    def put_back() -> None:
        own_server.stop()
        shutil.rmtree(own_server.data)
        copy(kept, own_server.data)
        own_server.start()

    yield take
    shutil.rmtree(kept, ignore_errors=True)


def request(block: int, request_id: str) -> pool_pb2.PlantRequest:
    return pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block)


async def farm_one_block(pool: Pool, request_id: str) -> int:
    """Plants the next block and goes on until the backstop has worked every pail of it; its index."""
    block = await pool.open_block()
    events, summary = await pool.plant(request(block, request_id))
    assert summary.planted == len(events) > 0
    addresses = [(event.wallet_address, block) for event in events]

    async def worked() -> bool:
        pails = await pool.world.farm.pails(addresses)
        return all(entry.pail.worked for entry in pails.values())

    await pool.until(worked)
    return block


async def quarantine_of(pool: Pool) -> status_pb2.Component | None:
    """The component of the status that tells of a quarantine."""
    status = await pool.caught_up()
    return next((one for one in status.components if one.name == "quarantine"), None)


async def calls_on_ledger(world: World) -> tuple[list[Any], list[Any]]:
    """Every successful plant and harvest of the ledger's life."""
    last = await world.rpc.latest_ledger()
    applied = [one for one in await world.rpc.transactions(2, last.sequence) if one.successful]
    farm_id = world.identity.farm_id
    plants = [call for one in applied if (call := read_plant_call(one.envelope_xdr, farm_id))]
    harvests = [call for one in applied if (call := read_harvest_call(one.envelope_xdr, farm_id))]
    return plants, harvests


async def books(pool: Pool, farmers: list[farmers_pb2.Farmer]) -> list[tuple[int, int, int]]:
    now = [await pool.farmer(farmer.farmer_id) for farmer in farmers]
    return [(farmer.earned_stroops, farmer.open_stake_stroops, farmer.lost_stake_stroops) for farmer in now]


async def test_restored_database_signs_nothing_until_the_ledger_was_read_again(
    world: World,
    start_backend: StartBackend,
    own_server: EmbeddedPostgres,
    backup: Callable[[], Restore],
) -> None:
    url = own_server.application_url
    async with start_backend(database_url=url) as pool:
        farmers = await pool.onboard(3, stroops=DEPOSIT)
        first = await farm_one_block(pool, "r-1")
    restore = backup()
    async with start_backend(database_url=url) as pool:
        # Lost later: a whole block planted, worked and harvested, another one planted.
        second = await farm_one_block(pool, "r-2")
        third = await pool.open_block()
        await pool.plant(request(third, "r-3"))

        async def harvested() -> bool:
            return len((await calls_on_ledger(world))[1]) == 2 * len(farmers)

        await pool.until(harvested)
        before = await books(pool, farmers)
    assert (first + 1, second + 1) == (second, third)
    restore()
    async with start_backend(database_url=url) as pool:
        component = await quarantine_of(pool)
        assert component is not None
        assert "audit trail ends at event" in component.detail or "its lease has fence" in component.detail
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in pool.pool.Plant(request(third, "r-4")):
                pass
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "nothing is signed until ledger" in (caught.value.details() or "")
        await pool.advance(QUARANTINE_LEDGERS // 2)
        assert await attempts_after(own_server, epoch=2) == 0
    async with start_backend(database_url=url) as pool:
        assert await quarantine_of(pool) is not None, "a restart must not end it"
        await pool.advance(QUARANTINE_LEDGERS - QUARANTINE_LEDGERS // 2 - 1)
        assert await quarantine_of(pool) is not None
        assert await attempts_after(own_server, epoch=2) == 0

        async def ended() -> bool:
            return await quarantine_of(pool) is None

        await pool.until(ended, ledgers=5)

        async def booked() -> bool:
            return await books(pool, farmers) == before

        await pool.until(booked, ledgers=5)
        _, summary = await pool.plant(request(third, "r-5"))
        assert (summary.planted, summary.failed) == (0, 0), "who is planted already is not planted again"
        await farm_one_block(pool, "r-6")
    plants, harvests = await calls_on_ledger(world)
    assert len({(call.farmer, call.block_index) for call in plants}) == len(plants)
    assert len(set(harvests)) == len(harvests)
    assert await events_of(own_server) == ["quarantine_began", "quarantine_ended"]


async def attempts_after(server: EmbeddedPostgres, *, epoch: int) -> int:
    """Attempts stored since the lease's epoch began."""
    query = "SELECT count(*) FROM attempts AS a, quarantines AS q WHERE q.epoch = %s AND a.created_at >= q.began_at"
    async with await AsyncConnection.connect(server.url) as connection:
        row = await (await connection.execute(query, [epoch])).fetchone()
    assert row is not None
    return int(row[0])


async def events_of(server: EmbeddedPostgres) -> list[str]:
    query = "SELECT event_type FROM block_events WHERE event_type LIKE 'quarantine%' ORDER BY id"
    async with await AsyncConnection.connect(server.url) as connection:
        return [row[0] for row in await (await connection.execute(query)).fetchall()]


async def test_operator_begins_a_quarantine_beside_a_running_backend(
    pool: Pool, application_url: str, query: Query
) -> None:
    await pool.onboard(1, stroops=DEPOSIT)
    command = [sys.executable, "-m", "backend", "quarantine"]
    environment = {"DATABASE_URL": application_url, "STELLAR_NETWORK": "local", "PYTHONPATH": str(ROOT)}
    run = partial(subprocess.run, check=True, capture_output=True, text=True, env=environment, cwd=ROOT / "tests")
    assert run([*command, "show"]).stdout == "no quarantine\n"
    stored = query("SELECT count(*) FROM attempts")
    run([*command, "begin", "--reason", "the disk made noises"])
    block = await pool.open_block()
    with pytest.raises(grpc.aio.AioRpcError, match="the disk made noises") as caught:
        await pool.plant(request(block, "r-1"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    (shown,) = json.loads(run([*command, "show", "--json"]).stdout)
    assert shown["reason"] == "begun by an operator: the disk made noises"

    async def began() -> bool:
        return await quarantine_of(pool) is not None

    async def ended() -> bool:
        return await quarantine_of(pool) is None

    await pool.until(began, ledgers=2)
    await pool.until(ended, ledgers=QUARANTINE_LEDGERS + 5)
    assert query("SELECT count(*) FROM attempts") == stored
    assert query("SELECT ended_ledger >= until_ledger FROM quarantines") == [(True,)]
    await farm_one_block(pool, "r-2")


def base_backup(server: EmbeddedPostgres, target: Path) -> None:
    """A backup of a running server, with the log it needs."""
    program = server.bin / "pg_basebackup"
    arguments = ["--pgdata", target, "--wal-method", "stream", "--checkpoint", "fast", "--dbname", server.url]
    subprocess.run([program, *arguments], check=True, capture_output=True)


async def test_recovery_to_a_point_in_time_is_another_incarnation(own_server: EmbeddedPostgres, tmp_path: Path) -> None:
    record = HeadFile(tmp_path / "head")
    stores = await open_stores(own_server.application_url, max_connections=2)
    first = await stores.lease.take("the first", None)
    copied = tmp_path / "base"
    base_backup(own_server, copied)
    await record.write(await stores.lease.head())
    await stores.close()
    recovery = "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n"
    with (copied / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
        settings.write(recovery)
    (copied / "recovery.signal").touch()
    own_server.stop()
    owner = own_server.data.stat()
    shutil.rmtree(own_server.data)
    copy(copied, own_server.data)
    for path in (own_server.data, *own_server.data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    own_server.start()
    stores = await open_stores(own_server.application_url, max_connections=2)
    lease = await stores.lease.take("the second", await record.read())
    assert "on timeline 2, and was" in (lease.restored or "")
    assert lease.epoch == first.epoch + 1
    assert lease.fence > first.fence + 1
    assert len(await stores.quarantines.open()) == 1
    await stores.close()
