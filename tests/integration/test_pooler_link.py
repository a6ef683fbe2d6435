"""The link to the backend over real gRPC: streams, silences, cuts, statuses."""

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest

from kale_chain.errors import Retry
from kalepool.v1 import common_pb2, pool_pb2
from pooler.domain.assignment import Accepted, Assignment, Failure, Find, Reason
from pooler.domain.report import Acknowledgement, Report
from pooler.errors import BackendRefusedError, BackendSilentError, BackendUnavailableError
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from pooler.link.faults import STATUSES
from pooler.link.messages import REASONS
from pooler.ports import PlantedEvent, PlantFailedEvent, PlantMessage, PlantsDone
from tests.fixtures.pool_service import PoolService, stored

FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
BIGGEST = 2**64 - 1


def planted(number: int, *, address: str = FARMER) -> pool_pb2.PlantResponse:
    event = pool_pb2.PlantEvent(
        number=number,
        block_index=7,
        farmer_id=f"farmer {number}",
        wallet_address=address,
        planted=pool_pb2.Planted(stake_stroops=5, ledger_sequence=1_000),
    )
    return pool_pb2.PlantResponse(event=event)


def not_planted(number: int) -> pool_pb2.PlantResponse:
    failure = common_pb2.Failure(reason=common_pb2.FAILURE_REASON_INSUFFICIENT_BALANCE, message="too little")
    event = pool_pb2.PlantEvent(number=number, block_index=7, farmer_id=f"farmer {number}", failed=failure)
    return pool_pb2.PlantResponse(event=event)


SUMMARY = pool_pb2.PlantResponse(summary=pool_pb2.PlantSummary(block_index=7, planted=1, failed=1, last_number=2))


def report(number: int, outcome: Accepted | Failure | None = None) -> Report:
    accepted = Accepted(6, 55, Find(6, BIGGEST, b"\x00\x00\x00" + b"\x01" * 29), "ab" * 32, 1_055)
    assignment = Assignment(7, f"farmer-{number}", FARMER, 1_000, 5)
    return Report.of("p", assignment, outcome or accepted)


@pytest.fixture
async def backend(pool_service: PoolService) -> AsyncIterator[GrpcBackend]:
    async with Line(pool_service.url) as channel:
        yield GrpcBackend(channel, pooler_id="p", timeout=30)


@pytest.fixture
async def impatient(pool_service: PoolService) -> AsyncIterator[GrpcBackend]:
    async with Line(pool_service.url) as channel:
        yield GrpcBackend(channel, pooler_id="p", timeout=0.3)


async def plants(
    backend: GrpcBackend, resume_after: int = 0, into: list[PlantMessage] | None = None
) -> list[PlantMessage]:
    received = [] if into is None else into
    async for message in backend.plant(7, farmers=10, resume_after=resume_after):
        received.append(message)
    return received


async def test_plants_arrive_as_they_were_sent(backend: GrpcBackend, pool_service: PoolService) -> None:
    pool_service.plants = [planted(1), not_planted(2), SUMMARY]
    assert await plants(backend) == [
        PlantedEvent(1, Assignment(7, "farmer 1", FARMER, 1_000, 5)),
        PlantFailedEvent(2, "farmer 2", "INSUFFICIENT_BALANCE", "too little"),
        PlantsDone(1, 1),
    ]
    (request,) = pool_service.requests
    assert (request.request_id, request.pooler_id, request.block_index) == ("p:7", "p", 7)
    assert (request.requested_farmers, request.resume_after) == (10, 0)


async def test_a_stream_is_resumed_after_the_last_number(backend: GrpcBackend, pool_service: PoolService) -> None:
    pool_service.plants = [planted(1), not_planted(2), SUMMARY]
    assert len(await plants(backend, resume_after=1)) == 2
    assert pool_service.requests[0].resume_after == 1


async def test_an_address_that_is_none_is_a_failed_plant(backend: GrpcBackend, pool_service: PoolService) -> None:
    pool_service.plants = [planted(1, address="GNOBODY"), SUMMARY]
    (event, _) = await plants(backend)
    assert isinstance(event, PlantFailedEvent)
    assert event.reason == "INVALID_ADDRESS"


@pytest.mark.parametrize("cut_after", [0, 1, 2])
async def test_a_stream_cut_by_a_fault_is_unavailable(
    backend: GrpcBackend, pool_service: PoolService, cut_after: int
) -> None:
    pool_service.plants = [planted(1), not_planted(2), SUMMARY]
    pool_service.cut_after, pool_service.cut_with = cut_after, grpc.StatusCode.UNAVAILABLE
    received: list[PlantMessage] = []
    with pytest.raises(BackendUnavailableError, match="cut by the test"):
        await plants(backend, into=received)
    assert len(received) == cut_after
    assert backend.problem is not None
    assert await plants(backend) != []
    assert backend.problem is None


async def test_a_stream_that_just_ends_has_no_summary(backend: GrpcBackend, pool_service: PoolService) -> None:
    pool_service.plants = [planted(1), SUMMARY]
    pool_service.cut_after = 1
    assert len(await plants(backend)) == 1


async def test_a_silent_stream_is_given_up_and_cancelled(impatient: GrpcBackend, pool_service: PoolService) -> None:
    pool_service.plants, pool_service.silent = [planted(1)], True
    with pytest.raises(BackendSilentError):
        await plants(impatient)
    async with asyncio.timeout(30):
        await pool_service.cancelled.wait()


@pytest.mark.parametrize(
    ("status", "retry"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, Retry.NEXT_LEDGER),
        (grpc.StatusCode.INVALID_ARGUMENT, Retry.NEVER),
        (grpc.StatusCode.ALREADY_EXISTS, Retry.NEVER),
    ],
)
async def test_a_refusal_says_when_to_ask_again(
    backend: GrpcBackend, pool_service: PoolService, status: grpc.StatusCode, retry: Retry
) -> None:
    pool_service.plants = [SUMMARY]
    pool_service.cut_after, pool_service.cut_with = 0, status
    with pytest.raises(BackendRefusedError, match="cut by the test") as caught:
        await plants(backend)
    assert (caught.value.retry, caught.value.code) == (retry, status.name)
    assert backend.problem is None, "a backend that refuses is up"


async def test_reports_are_sent_whole_and_acknowledged(backend: GrpcBackend, pool_service: PoolService) -> None:
    refused = pool_pb2.ReportWorkResponse(
        report_id="p:7:farmer-2",
        state=pool_pb2.REPORT_STATE_REFUSED,
        failure=common_pb2.Failure(reason=common_pb2.FAILURE_REASON_HASH_INVALID, message="no such hash"),
    )
    answers = {"p:7:farmer-1": None, "p:7:farmer-2": refused}
    pool_service.acknowledge = lambda sent: answers.get(sent.report_id) or stored(sent)
    failed = report(2, Failure(Reason.TIMEOUT, "too late"))
    got = [answer async for answer in backend.report_work([report(1), failed])]
    assert got == [Acknowledgement("p:7:farmer-1", None), Acknowledgement("p:7:farmer-2", "no such hash")]
    accepted, lost = pool_service.reports
    assert accepted.accepted.nonce == BIGGEST
    assert accepted.accepted.work_hash == "000000" + "01" * 29
    assert (accepted.accepted.zeros, accepted.accepted.gap, accepted.accepted.ledger_sequence) == (6, 55, 1_055)
    assert (lost.failed.reason, lost.failed.message) == (common_pb2.FAILURE_REASON_TIMEOUT, "too late")


async def test_reports_that_are_not_acknowledged_in_time_raise(
    impatient: GrpcBackend, pool_service: PoolService
) -> None:
    pool_service.acknowledge, pool_service.silent = lambda _: None, True
    with pytest.raises(BackendSilentError):
        [answer async for answer in impatient.report_work([report(1)])]


async def test_a_block_is_recorded_once(backend: GrpcBackend, pool_service: PoolService) -> None:
    assert await backend.report_block(7, opened_at=1_000, ledger=5)
    assert not await backend.report_block(7, opened_at=1_000, ledger=5)
    (block, _) = pool_service.blocks
    assert (block.pooler_id, block.opened_ledger_time, block.ledger_sequence) == ("p", 1_000, 5)


async def test_a_call_without_answer_ends_at_its_deadline(impatient: GrpcBackend, pool_service: PoolService) -> None:
    pool_service.silent = True
    with pytest.raises(BackendUnavailableError, match="DEADLINE_EXCEEDED"):
        await impatient.report_block(7, opened_at=1_000, ledger=5)


async def test_health_is_asked_for(backend: GrpcBackend) -> None:
    heard: list[str | None] = []
    backend.problem = "not heard of yet"
    backend.changed = lambda: heard.append(backend.problem)
    await backend.check()
    assert heard == [None]


async def test_a_backend_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with Line(f"http://127.0.0.1:{port}") as channel:
            backend = GrpcBackend(channel, pooler_id="p", timeout=2)
            with pytest.raises(BackendUnavailableError):
                await backend.check()
            with pytest.raises(BackendUnavailableError):
                await plants(backend)
            assert backend.problem is not None


def test_every_status_and_every_reason_has_a_meaning() -> None:
    assert set(STATUSES) == set(grpc.StatusCode)
    assert set(REASONS) == set(Reason)
    for reason, number in REASONS.items():
        assert common_pb2.FailureReason.Name(number) == f"FAILURE_REASON_{reason.value}"
