"""Faults of the network and of the ledger: attempts stay open until proof, and nothing is planted twice or lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from backend.vault import create_key_file
from devnet.faults import Action, Fault
from devnet.postgres import EmbeddedPostgres
from kalepool.v1 import common_pb2, pool_pb2, status_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, Pool, StartBackend, World
from tests.fixtures.stores import Query

DEPOSIT = 100 * 10_000_000
STAKE = DEPOSIT // 10
Outage = Callable[..., None]
# What a database restored to a state before the plants holds: no rows of theirs, and the books as they were.
BEFORE_THE_PLANTS = """
SET session_replication_role = replica;
UPDATE chain_cursor
SET ledger_sequence = (SELECT min(p.ledger_sequence) - 1 FROM plant_transactions AS p), equal_at = NULL;
DELETE FROM harvest_transactions;
DELETE FROM plant_request_plants;
DELETE FROM plant_requests;
DELETE FROM work_results;
DELETE FROM plant_transactions;
DELETE FROM attempts WHERE kind = 'plant';
DELETE FROM money_postings WHERE transfer_id IN (
    SELECT id FROM money_transfers WHERE ledger_sequence > (SELECT c.ledger_sequence FROM chain_cursor AS c)
);
DELETE FROM money_transfers WHERE ledger_sequence > (SELECT c.ledger_sequence FROM chain_cursor AS c);
UPDATE money_accounts AS a
SET balance = coalesce((SELECT sum(p.amount) FROM money_postings AS p WHERE p.account_id = a.id), 0);
UPDATE farmers AS f
SET balance = (SELECT a.balance FROM money_accounts AS a WHERE a.farmer_id = f.id AND a.kind = 'available')
"""


def request(block: int, request_id: str = "r-1") -> pool_pb2.PlantRequest:
    """A plant request of every farmer."""
    return pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block)


@pytest.mark.parametrize(
    "fault",
    [
        {"action": Action.DROP},  # sent and taken, but the answer is lost
        {"action": Action.STATUS, "status": 503},  # never arrived
        {"action": Action.ERROR},
        {"action": Action.LIE, "result": {"status": "TRY_AGAIN_LATER"}},
        {"action": Action.LIE, "result": {"status": "DUPLICATE"}},
    ],
)
async def test_lost_answers_at_submission_change_nothing(pool: Pool, query: Query, fault: dict[str, Any]) -> None:
    await pool.onboard(3, stroops=DEPOSIT)
    block = await pool.open_block()
    pool.world.devnet.faults.add(Fault(method="sendTransaction", count=3, **fault))
    events, summary = await pool.plant(request(block))
    assert (summary.planted, summary.failed) == (3, 0)
    assert {event.planted.stake_stroops for event in events} == {STAKE}
    assert await asyncio.to_thread(query, "SELECT count(*) FROM attempts WHERE kind = 'plant'") == [(3,)]


async def test_transactions_lost_by_the_network_expire_and_are_built_anew(pool: Pool, query: Query) -> None:
    await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    lost = Fault(Action.LIE, "sendTransaction", count=None, result={"status": "PENDING"})
    pool.world.devnet.faults.add(lost)
    stream = pool.pool.Plant(request(block))
    reading = asyncio.ensure_future(_read(stream))

    async def sent() -> bool:
        return (await pool.caught_up()).backend.open_attempts == 2

    await pool.eventually(sent)
    while (await pool.caught_up()).backend.open_attempts:
        await pool.world.devnet.ledger.call(lambda client: client.engine.drop_queue())
        await pool.advance()
        expired = await asyncio.to_thread(query, "SELECT count(*) FROM attempts WHERE status = 'expired'")
        if expired == [(2,)]:
            break
    pool.world.devnet.faults.clear()
    responses = await pool.while_advancing(reading)
    assert (responses[-1].summary.planted, responses[-1].summary.failed) == (2, 0)
    assert {response.event.planted.stake_stroops for response in responses[:-1]} == {STAKE}


async def _read(stream: Any) -> list[pool_pb2.PlantResponse]:
    return [response async for response in stream]


async def test_block_that_turns_over_before_the_plant_applies_costs_no_stake(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    await pool.world.plant_as_stranger(block)
    farm = await pool.world.farm.farm()
    last = await pool.world.rpc.latest_ledger()
    await pool.advance((farm.block.ends_at - last.close_time) // 5 - 18)
    # Taken for the open block with 90 s left; then the network holds it back, and a slow ledger ends the block.
    pool.world.devnet.faults.add(Fault(Action.STATUS, "sendTransaction", count=None))
    reading = asyncio.ensure_future(_read(pool.pool.Plant(request(block))))

    async def sent() -> bool:
        return (await pool.caught_up()).backend.open_attempts == 1

    await pool.eventually(sent)
    await pool.world.devnet.ledger.close_ledger(seconds=100)
    pool.world.devnet.faults.clear()
    responses = await pool.while_advancing(reading)
    assert responses[0].event.failed.reason == common_pb2.FAILURE_REASON_WRONG_BLOCK
    assert responses[-1].summary.failed == 1
    balances = await pool.world.farm.balances([farmer.wallet_address])
    assert balances == {farmer.wallet_address: DEPOSIT}


async def test_plant_too_late_to_be_worked_is_refused(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    await pool.world.plant_as_stranger(block)
    farm = await pool.world.farm.farm()
    last = await pool.world.rpc.latest_ledger()
    await pool.advance((farm.block.ends_at - last.close_time) // 5 - 14)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _read(pool.pool.Plant(request(block)))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await pool.world.farm.balances([farmer.wallet_address]) == {farmer.wallet_address: DEPOSIT}


async def test_pails_that_no_row_knows_are_adopted_and_harvested(
    world: World, start_backend: StartBackend, query: Query
) -> None:
    async with start_backend() as pool:
        farmers = await pool.onboard(2, stroops=DEPOSIT)
        block = await pool.open_block()
        await pool.plant(request(block))
    await asyncio.to_thread(query, BEFORE_THE_PLANTS)
    async with start_backend() as pool:

        async def adopted() -> bool:
            return all([(await pool.farmer(one.farmer_id)).open_stake_stroops == STAKE for one in farmers])

        await pool.until(adopted, ledgers=5)
        await pool.advance(BLOCK_LEDGERS - 12)

        async def worked() -> bool:
            pails = await world.farm.pails([(one.wallet_address, block) for one in farmers])
            return all(entry.pail.worked for entry in pails.values())

        await pool.until(worked, ledgers=15)
        await pool.open_block()
        await world.plant_as_stranger(block + 1)

        async def booked() -> bool:
            return all([(await pool.farmer(one.farmer_id)).earned_stroops > 0 for one in farmers])

        await pool.until(booked, ledgers=10)


@pytest.fixture
def outage(postgres: EmbeddedPostgres, database_url: str) -> Outage:
    """Takes the database out of reach, or gives it back."""
    name = database_url.rsplit("/", 1)[1]

    def switch(*, reachable: bool) -> None:
        with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {reachable}".encode())
            if not reachable:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)
                )

    return switch


async def test_database_out_of_reach_is_said_and_everything_goes_on_once_it_is_back(pool: Pool, outage: Outage) -> None:
    farmers = await pool.onboard(3, stroops=DEPOSIT)
    block = await pool.open_block()
    reading = asyncio.ensure_future(_read(pool.pool.Plant(request(block))))

    async def sent() -> bool:
        return (await pool.caught_up()).backend.open_attempts == 3

    await pool.eventually(sent)
    await asyncio.to_thread(outage, reachable=False)
    await pool.world.devnet.advance(2)
    for call in (pool.pool.Plant(request(block, "r-2")).read(), pool.farmer(farmers[0].farmer_id)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
    assert status.health == status_pb2.HEALTH_DOWN
    await asyncio.to_thread(outage, reachable=True)
    *events, last = await pool.while_advancing(reading)  # the stream of before has only waited
    assert (last.summary.planted, last.summary.failed) == (3, 0)
    assert {response.event.planted.stake_stroops for response in events} == {STAKE}


async def test_paused_farm_takes_no_plants_but_harvests_go_on(pool: Pool) -> None:
    farmers = await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    await pool.plant(request(block))
    await pool.advance(BLOCK_LEDGERS - 12)

    async def worked() -> bool:
        return (await pool.world.farm.pails([(farmers[0].wallet_address, block)])).popitem()[1].pail.worked

    await pool.until(worked, ledgers=15)
    assert await pool.open_block() == block + 1
    await pool.world.plant_as_stranger(block + 1)
    await pool.world.pause()
    await pool.caught_up()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool.plant(request(block + 1, "r-2"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "paused" in (caught.value.details() or "")

    async def booked() -> bool:
        return (await pool.farmer(farmers[0].farmer_id)).earned_stroops > 0

    await pool.until(booked, ledgers=10)


async def test_seeds_sealed_under_another_key_fail_their_plants_alone(
    start_backend: StartBackend, tmp_path: Path
) -> None:
    async with start_backend() as pool:
        await pool.onboard(2, stroops=DEPOSIT)
        block = await pool.open_block()
    other = tmp_path / "other.key"
    create_key_file(other)
    async with start_backend(key_file=other, head_file=tmp_path / "seal.key.head") as pool:
        events, summary = await pool.plant(request(block))
        assert {event.failed.reason for event in events} == {common_pb2.FAILURE_REASON_KEY_UNAVAILABLE}
        assert (summary.planted, summary.failed) == (0, 2)
