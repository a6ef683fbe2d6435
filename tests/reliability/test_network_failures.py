"""Failures of the network and its RPC: a stake is planted once, worked in time and comes home."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from devnet.faults import Action, Fault
from devnet.server import DevnetOptions, DevnetServer
from kale_chain.rpc import StellarRpc
from kalepool.v1 import status_pb2
from tests.fixtures.backend import Pool, StartBackend, World
from tests.fixtures.devnet import GENESIS_TIME
from tests.fixtures.farming import (
    DEPOSIT,
    brought_home,
    planted,
    request,
    to_backstop,
    worked,
)
from tests.fixtures.half_open import HalfOpenProxy
from tests.fixtures.stores import Query

HOUR_SECONDS = 3600
IMPATIENT_SECONDS = 0.5


@pytest.fixture
async def devnet(request: pytest.FixtureRequest) -> AsyncIterator[DevnetServer]:
    """A ledger whose time is, where a test says so, this many seconds off this machine's."""
    off_by: int | None = getattr(request, "param", None)
    genesis_time = GENESIS_TIME if off_by is None else int(time.time()) + off_by
    async with DevnetServer(DevnetOptions(close_seconds=0, genesis_time=genesis_time)) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives calls of an RPC half a second, so that what is silent is found out sooner."""
    monkeypatch.setattr(StellarRpc.__init__, "__kwdefaults__", {"timeout": IMPATIENT_SECONDS})


@pytest.fixture
async def half_open(devnet: DevnetServer) -> AsyncIterator[HalfOpenProxy]:
    async with HalfOpenProxy(devnet.url) as proxy:
        yield proxy


@pytest.mark.parametrize("devnet", [-HOUR_SECONDS, HOUR_SECONDS], indirect=True, ids=["ahead", "behind"])
async def test_clock_off_by_an_hour_changes_nothing(pool: Pool) -> None:
    block, farmers = await planted(pool, 2)
    await to_backstop(pool)
    assert not await worked(pool, block, farmers)  # neither clock makes it early
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    await brought_home(pool, block, farmers)


async def test_ledger_halt_of_hours_costs_no_stake(pool: Pool) -> None:
    block, farmers = await planted(pool, 3)
    await pool.world.devnet.advance(1, seconds=4 * HOUR_SECONDS)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    await brought_home(pool, block, farmers)


async def test_half_open_rpc_is_left_for_another(
    world: World, start_backend: StartBackend, half_open: HalfOpenProxy, impatient: None
) -> None:
    del impatient
    async with start_backend(stellar_rpc_url=f"{half_open.url}, {world.devnet.url}") as pool:
        farmers = await pool.onboard(2, stroops=DEPOSIT)
        block = await pool.open_block()
        half_open.freeze()
        _, summary = await pool.plant(request(block))
        assert (summary.planted, summary.failed) == (2, 0)
        await to_backstop(pool)
        await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
        await brought_home(pool, block, farmers)


async def test_half_open_rpc_without_another_is_waited_for(
    start_backend: StartBackend, half_open: HalfOpenProxy, impatient: None, query: Query
) -> None:
    del impatient
    async with start_backend(stellar_rpc_url=half_open.url) as pool:
        block, farmers = await planted(pool, 2)
        half_open.freeze()

        async def down() -> bool:
            status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
            return status.health == status_pb2.HEALTH_DOWN

        await pool.eventually(down)
        await pool.world.devnet.advance(47)  # 80 % of the block pass unseen
        half_open.thaw()  # for new connections: the frozen ones never say a word again
        await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
        await brought_home(pool, block, farmers)
    assert await asyncio.to_thread(query, "SELECT count(*) FROM attempts WHERE kind = 'plant'") == [(2,)]


async def test_slow_rpc_delays_and_doubles_nothing(pool: Pool, impatient: None, query: Query) -> None:
    """Answers come, but after the caller has given up: every transaction is delivered, none is acknowledged."""
    del impatient
    farmers = await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    slow = Fault(Action.DELAY, "sendTransaction", count=2, seconds=2 * IMPATIENT_SECONDS)
    pool.world.devnet.faults.add(slow)
    _, summary = await pool.plant(request(block))
    assert (summary.planted, summary.failed) == (2, 0)
    assert slow.count == 0
    assert await asyncio.to_thread(query, "SELECT count(*) FROM attempts WHERE kind = 'plant'") == [(2,)]
    await to_backstop(pool)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    await brought_home(pool, block, farmers)


async def test_rate_limits_slow_the_pool_down_and_lose_nothing(world: World, start_backend: StartBackend) -> None:
    url, faults = await world.devnet.another_endpoint()
    async with start_backend(stellar_rpc_url=url) as pool:
        block, farmers = await planted(pool, 2)
        await to_backstop(pool)
        limited = [
            Fault(Action.STATUS, method, count=2, status=429, retry_after=1)
            for method in ("getLedgerEntries", "sendTransaction", "getTransactions")
        ]
        for fault in limited:
            faults.add(fault)
        await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
        assert [fault.count for fault in limited] == [0, 0, 0]
        await brought_home(pool, block, farmers)
