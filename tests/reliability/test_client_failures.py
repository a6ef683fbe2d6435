"""Poolers that lie, repeat or do not read, and clients that are no clients: nobody else notices."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp
import pytest

from kale_chain.hashing import count_zeros, work_hash
from kalepool.v1 import common_pb2, pool_pb2, status_pb2
from tests.fixtures.backend import Pool
from tests.fixtures.farming import (
    DEPOSIT,
    Farmers,
    brought_home,
    open_next_block,
    planted,
    request,
    to_backstop,
    worked,
)

STREAMS = 50
CONNECTIONS = 100
NONCE = 7
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def report(pool: Pool, block: int, entropy: bytes, farmers: Farmers) -> Sequence[pool_pb2.ReportWorkResponse]:
    """Reports an accepted work of every farmer, whose hash is right, whatever the ledger holds."""
    stream = pool.pool.ReportWork()
    for farmer in farmers:
        digest = work_hash(block, NONCE, entropy, farmer.wallet_address)
        accepted = pool_pb2.WorkAccepted(work_hash=digest.hex(), nonce=NONCE, zeros=count_zeros(digest), gap=3)
        await stream.write(
            pool_pb2.ReportWorkRequest(
                report_id=f"w-{block}-{farmer.farmer_id}",
                pooler_id="p-1",
                block_index=block,
                farmer_id=farmer.farmer_id,
                accepted=accepted,
            )
        )
    await stream.done_writing()
    return [answer async for answer in stream]


async def entropy_of(pool: Pool, block: int) -> bytes:
    record = await pool.world.farm.block(block)
    assert record is not None
    return record.entropy


async def test_lying_pooler_costs_no_stake(pool: Pool) -> None:
    """Its hashes are right, but it never sent them: the pails, not the reports, decide what the backstop works."""
    block, farmers = await planted(pool, 3)
    answers = await report(pool, block, await entropy_of(pool, block), farmers)
    assert {answer.state for answer in answers} == {pool_pb2.REPORT_STATE_STORED}
    await to_backstop(pool)
    assert not await worked(pool, block, farmers)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    await brought_home(pool, block, farmers)


async def test_replaying_pooler_changes_nothing(pool: Pool) -> None:
    """It repeats an old request and old reports in the next block, also under that block's number."""
    block, farmers = await planted(pool, 2)
    entropy = await entropy_of(pool, block)
    await report(pool, block, entropy, farmers)
    await to_backstop(pool)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    await open_next_block(pool, block, "r-2")
    before = [event async for event in pool.pool.Plant(request(block))]
    assert [event.event.number for event in before[:-1]] == [1, 2]  # what was, and nothing new
    assert {one.state for one in await report(pool, block, entropy, farmers)} == {pool_pb2.REPORT_STATE_DUPLICATE}
    replayed = await report(pool, block + 1, entropy, farmers)
    assert {one.failure.reason for one in replayed} == {common_pb2.FAILURE_REASON_HASH_INVALID}

    async def booked() -> bool:
        return all([(await pool.farmer(farmer.farmer_id)).earned_stroops for farmer in farmers])

    await pool.until(booked, ledgers=10)


async def test_slow_stream_reader_holds_up_nobody(pool: Pool) -> None:
    farmers = await pool.onboard(3, stroops=DEPOSIT)
    block = await pool.open_block()
    watching = [pool.status.WatchStatus(status_pb2.WatchStatusRequest()) for _ in range(STREAMS)]
    unread = pool.pool.Plant(request(block))
    _, summary = await pool.plant(request(block, "r-2"))  # its stream tells of the same plants once they are final
    assert (summary.planted, summary.failed) == (3, 0)
    await to_backstop(pool)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    answers = [answer async for answer in unread]
    assert [answer.event.number for answer in answers[:-1]] == [1, 2, 3]
    assert answers[-1].summary.planted == 3
    for stream in watching:
        stream.cancel()
    await brought_home(pool, block, farmers)


def noise(chance: random.Random) -> bytes:
    """Bytes without any sense."""
    return chance.randbytes(2_000)


def broken_frames(chance: random.Random) -> bytes:
    """The beginning of HTTP/2, and then frames of any length, kind and content."""
    frames = (chance.randbytes(9) + chance.randbytes(chance.randrange(200)) for _ in range(20))
    return HTTP2_PREFACE + b"".join(frames)


def half_a_request(chance: random.Random) -> bytes:
    """The beginning of a request that never comes."""
    return b"POST /api/plant/request HTTP/1.1\r\nContent-Length: %d\r\n" % chance.randrange(1_000)


@contextlib.asynccontextmanager
async def attacked(port: int, nonsense: Callable[[random.Random], bytes]) -> AsyncIterator[None]:
    """Inside, many connections to the port have sent nonsense, and stay open as long as the server lets them."""
    chance = random.Random(1)
    writers = []
    for _ in range(CONNECTIONS):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(nonsense(chance))
        writers.append(writer)
    try:
        yield
    finally:
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


@pytest.mark.parametrize("nonsense", [noise, broken_frames, half_a_request])
async def test_malformed_and_slow_clients_disturb_no_honest_one(
    pool: Pool, nonsense: Callable[[random.Random], bytes]
) -> None:
    farmers = await pool.onboard(2, stroops=DEPOSIT)
    block = await pool.open_block()
    async with attacked(pool.backend.grpc_port, nonsense), attacked(pool.backend.http_port, nonsense):
        events, summary = await pool.plant(request(block))
        assert (summary.planted, summary.failed) == (2, 0)
        assert {event.farmer_id for event in events} == {farmer.farmer_id for farmer in farmers}
        assert await health(pool) == {"database": "connected", "stellar": "connected"}


async def health(pool: Pool) -> dict[str, Any]:
    """What the JSON route says of the backend's connections."""
    url = f"http://127.0.0.1:{pool.backend.http_port}/api/health"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        said = await answer.json()
    return {name: said[name] for name in ("database", "stellar")}
