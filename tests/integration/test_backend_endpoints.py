"""Several RPC endpoints: transactions go out through any, and none alone decides that one is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from devnet.faults import Action, Fault, Faults
from kale_chain.tx import Bounds, FarmCalls, Signer, fee_bump
from kalepool.v1 import pool_pb2, status_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, Pool, StartBackend, World
from tests.fixtures.stores import Query

DEPOSIT = 100 * 10_000_000
OTHER_HISTORY = [{"hash": "ab" * 32, "sequence": sequence} for sequence in range(1, 300)]


@dataclass
class TwoEndpoints:
    """A backend with a preferred endpoint and another, and the faults of each."""

    pool: Pool
    preferred: Faults
    other: Faults
    url: str
    """The preferred one's."""


@pytest.fixture
async def two(world: World, start_backend: StartBackend) -> AsyncIterator[TwoEndpoints]:
    url, preferred = await world.devnet.another_endpoint()
    other_url, other = await world.devnet.another_endpoint()
    async with start_backend(stellar_rpc_url=f"{url}, {other_url}") as pool:
        yield TwoEndpoints(pool, preferred, other, url)


def request(block: int, request_id: str = "r-1") -> pool_pb2.PlantRequest:
    return pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block)


async def states(query: Query, kind: str) -> dict[str, int]:
    rows = await asyncio.to_thread(
        query,
        f"SELECT status, count(*) FROM attempts WHERE kind = '{kind}' GROUP BY status",  # noqa: S608
    )
    return dict(rows)


async def _read(stream: Any) -> pool_pb2.PlantSummary:
    responses = [response async for response in stream]
    summary: pool_pb2.PlantSummary = responses[-1].summary
    return summary


async def endpoint_health(pool: Pool, url: str) -> int:
    status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
    return next(part.health for part in status.components if part.name == f"rpc {url}")


@pytest.mark.parametrize("fault", [{"action": Action.STATUS, "status": 500}, {"action": Action.DROP}])
async def test_silent_preferred_endpoint_stops_no_plant(two: TwoEndpoints, fault: dict[str, Any]) -> None:
    await two.pool.onboard(2, stroops=DEPOSIT)
    block = await two.pool.open_block()
    two.preferred.add(Fault(count=None, **fault))
    summary = await two.pool.while_advancing(_read(two.pool.pool.Plant(request(block))))
    assert (summary.planted, summary.failed) == (2, 0)

    async def alarmed() -> bool:
        return await endpoint_health(two.pool, two.url) == status_pb2.HEALTH_DEGRADED

    await two.pool.eventually(alarmed)


def silent(faults: Faults) -> None:
    faults.add(Fault(Action.STATUS, count=None, status=500))


def lagging(faults: Faults) -> None:
    faults.lag = 30


def showing(faults: Faults) -> None:
    faults.add(Fault(Action.LIE, "getTransaction", count=None, result={"status": "SUCCESS"}))


def on_another_ledger(faults: Faults) -> None:
    faults.add(Fault(Action.LIE, "getLedgers", count=None, result={"ledgers": OTHER_HISTORY}))


@pytest.mark.parametrize("trouble", [silent, lagging, showing, on_another_ledger])
async def test_transaction_is_lost_only_if_both_endpoints_say_so(
    two: TwoEndpoints, query: Query, trouble: Callable[[Faults], None]
) -> None:
    pool = two.pool
    await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    for faults in (two.preferred, two.other):
        faults.add(Fault(Action.ERROR, "sendTransaction", count=None))
    trouble(two.other)
    reading = asyncio.ensure_future(_read(pool.pool.Plant(request(block))))

    async def stored() -> bool:
        return await states(query, "plant") == {"open": 2}

    await pool.eventually(stored)
    await pool.advance(10)
    assert await stored()  # past their bounds, but not proven lost
    two.other.clear()
    two.preferred.clear()

    async def expired() -> bool:
        return (await states(query, "plant")).get("expired") == 2

    await pool.until(expired, ledgers=20)
    summary = await pool.while_advancing(reading)
    assert (summary.planted, summary.failed) == (2, 0)


async def test_endpoint_a_little_behind_votes_on_what_it_holds(two: TwoEndpoints, query: Query) -> None:
    pool = two.pool
    await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    two.other.lag = 2
    for faults in (two.preferred, two.other):
        faults.add(Fault(Action.ERROR, "sendTransaction", count=20))
    reading = asyncio.ensure_future(_read(pool.pool.Plant(request(block))))

    async def expired() -> bool:
        return "expired" in await states(query, "plant")

    await pool.until(expired, ledgers=20)
    two.preferred.clear()
    assert (await pool.while_advancing(reading)).planted == 1


async def test_sequence_number_used_by_another_transaction_frees_the_intent(two: TwoEndpoints, query: Query) -> None:
    """A channel account's number is used behind the backend's back; the pail is then harvested with the next one."""
    pool, world = two.pool, two.pool.world
    await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    await pool.while_advancing(_read(pool.pool.Plant(request(block))))
    await pool.advance(BLOCK_LEDGERS - 12)  # the backstop works the pail
    await pool.until(lambda: _succeeded(query, "work"), ledgers=15)
    assert await pool.open_block() == block + 1
    for faults in (two.preferred, two.other):
        faults.add(Fault(Action.ERROR, "sendTransaction", count=None))
    await world.plant_as_stranger(block + 1)

    async def stored() -> bool:
        return (await states(query, "harvest")).get("open") == 1

    await pool.eventually(stored)
    ((source, sequence),) = await asyncio.to_thread(
        query, "SELECT source_account, source_sequence FROM attempts WHERE kind = 'harvest' AND status = 'open'"
    )
    two.preferred.clear()
    two.other.clear()
    used = await use_sequence(world, source, sequence)

    async def harvested() -> bool:
        return await _succeeded(query, "harvest")

    await pool.until(harvested, ledgers=20)
    ended = await asyncio.to_thread(
        query, "SELECT status, encode(result_hash, 'hex') FROM attempts WHERE kind = 'harvest' ORDER BY created_at"
    )
    assert ended[0] == ("superseded", used)
    assert ended[-1][0] == "succeeded"


async def _succeeded(query: Query, kind: str) -> bool:
    return (await states(query, kind)).get("succeeded") == 1


async def use_sequence(world: World, source: str, sequence: int) -> str:
    """Has a channel account's key, which a test knows, sign another transaction with this number; its hash."""
    master, faucet = (
        Signer.from_secret(key.secret) for key in (world.devnet.scenario.master, world.devnet.scenario.faucet)
    )
    channel = next(s for s in (master.derive("backend channel", i) for i in range(200)) if s.address == source)
    last = await world.rpc.latest_ledger()
    call = FarmCalls(world.identity).harvest(
        source=source,
        farmer=faucet.address,
        block_index=0,
        sequence=sequence,
        bounds=Bounds(max_ledger=last.sequence + 9),
    )
    transaction = fee_bump(call.signed_by(channel), faucet, inclusion_fee=100_000)
    submission = await world.rpc.send(transaction.envelope)
    assert submission.status == "PENDING", submission
    await world.devnet.advance(1)
    return transaction.hash
