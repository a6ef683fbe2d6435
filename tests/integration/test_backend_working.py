"""Reports of work over a real stream: hashed again, stored once, refused for good reasons, settled from the pail."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest

from kale_chain.hashing import count_zeros, work_hash
from kalepool.v1 import common_pb2, pool_pb2
from tests.fixtures.backend import Pool
from tests.fixtures.stores import Query

UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def planted(pool: Pool) -> tuple[int, bytes, pool_pb2.PlantEvent]:
    """A block, its entropy, and a farmer planted in it."""
    await pool.onboard(1)
    block = await pool.open_block()
    (event,), _ = await pool.plant(pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block))
    record = await pool.world.farm.block(block)
    assert record is not None
    return block, record.entropy, event


def good(block: int, entropy: bytes, event: pool_pb2.PlantEvent, *, nonce: int = 7) -> pool_pb2.ReportWorkRequest:
    """A report whose hash is right."""
    digest = work_hash(block, nonce, entropy, event.wallet_address)
    return pool_pb2.ReportWorkRequest(
        report_id="w-1",
        pooler_id="p-1",
        block_index=block,
        farmer_id=event.farmer_id,
        accepted=pool_pb2.WorkAccepted(work_hash=digest.hex(), nonce=nonce, zeros=count_zeros(digest), gap=3),
    )


async def send(pool: Pool, *reports: pool_pb2.ReportWorkRequest) -> Sequence[pool_pb2.ReportWorkResponse]:
    """The acknowledgements of reports sent on one stream."""
    stream = pool.pool.ReportWork()
    for report in reports:
        await stream.write(report)
    await stream.done_writing()
    return [answer async for answer in stream]


async def test_report_is_stored_once_and_acknowledged_each_time(pool: Pool) -> None:
    report = good(*await planted(pool))
    first, again = await send(pool, report, report)
    assert (first.report_id, first.state) == ("w-1", pool_pb2.REPORT_STATE_STORED)
    assert again.state == pool_pb2.REPORT_STATE_DUPLICATE
    (later,) = await send(pool, report)
    assert later.state == pool_pb2.REPORT_STATE_DUPLICATE
    assert (await pool.caught_up()).backend.unworked == 0


def change(report: pool_pb2.ReportWorkRequest, field: str, value: object) -> None:
    """Sets a field of a report or of its accepted work."""
    target = report.accepted if field in {"work_hash", "nonce", "zeros"} else report
    setattr(target, field, value)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("work_hash", "abc", common_pb2.FAILURE_REASON_HASH_INVALID),
        ("work_hash", "zz" * 32, common_pb2.FAILURE_REASON_HASH_INVALID),
        ("work_hash", "00" * 32, common_pb2.FAILURE_REASON_HASH_INVALID),
        ("nonce", 8, common_pb2.FAILURE_REASON_HASH_INVALID),
        ("zeros", 60, common_pb2.FAILURE_REASON_HASH_INVALID),
        ("farmer_id", UNKNOWN, common_pb2.FAILURE_REASON_FARMER_UNKNOWN),
        ("farmer_id", "f1", common_pb2.FAILURE_REASON_INVALID_REQUEST),
        ("block_index", 4_000_000, common_pb2.FAILURE_REASON_NOT_PLANTED),
        ("report_id", "", common_pb2.FAILURE_REASON_INVALID_REQUEST),
        ("pooler_id", "backend", common_pb2.FAILURE_REASON_INVALID_REQUEST),
    ],
)
async def test_bad_report_is_refused_and_the_stream_stays_open(
    pool: Pool, field: str, value: object, reason: common_pb2.FailureReason.ValueType
) -> None:
    block, entropy, event = await planted(pool)
    bad = good(block, entropy, event)
    change(bad, field, value)
    refused, stored = await send(pool, bad, good(block, entropy, event))
    assert refused.state == pool_pb2.REPORT_STATE_REFUSED
    assert refused.failure.reason == reason
    assert refused.failure.message
    assert stored.state == pool_pb2.REPORT_STATE_STORED


async def test_report_without_outcome_is_refused(pool: Pool) -> None:
    block, entropy, event = await planted(pool)
    report = good(block, entropy, event)
    report.ClearField("accepted")
    (answer,) = await send(pool, report)
    assert answer.failure.reason == common_pb2.FAILURE_REASON_INVALID_REQUEST


async def test_failed_report_is_stored_and_a_later_success_replaces_it(pool: Pool) -> None:
    block, entropy, event = await planted(pool)
    failed = good(block, entropy, event)
    failed.report_id = "w-0"
    failed.failed.reason = common_pb2.FAILURE_REASON_TIMEOUT
    states = [answer.state for answer in await send(pool, failed, good(block, entropy, event), failed)]
    assert states[:2] == [pool_pb2.REPORT_STATE_STORED, pool_pb2.REPORT_STATE_STORED]
    assert states[2] == pool_pb2.REPORT_STATE_DUPLICATE
    assert (await pool.caught_up()).backend.unworked == 0


async def test_success_without_nonce_is_settled_from_the_pail(pool: Pool, query: Query) -> None:
    block, entropy, event = await planted(pool)
    report = good(block, entropy, event)
    report.accepted.ClearField("nonce")
    digest = bytes.fromhex(report.accepted.work_hash)
    (answer,) = await send(pool, report)
    assert answer.state == pool_pb2.REPORT_STATE_STORED_UNVERIFIED
    await pool.advance(2)
    await pool.world.work_as_stranger(event.wallet_address, block, digest, nonce=7)

    async def settled() -> bool:
        rows = await asyncio.to_thread(query, "SELECT status FROM work_results WHERE pooler_id = 'p-1'")
        return rows == [("success",)]

    await pool.until(settled, ledgers=10)


async def test_detected_block_is_recorded_once_for_each_pooler(pool: Pool) -> None:
    block, _, _ = await planted(pool)

    async def report(pooler: str, index: int) -> bool:
        request = pool_pb2.ReportBlockRequest(pooler_id=pooler, block_index=index, opened_ledger_time=1)
        return (await pool.pool.ReportBlock(request)).recorded

    assert [await report("p-1", block), await report("p-1", block), await report("p-2", block)] == [True, False, True]
    for index in (block + 2, block + 4_000):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await report("p-1", index)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
