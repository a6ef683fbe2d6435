"""The client library over real gRPC: circuits, addresses, retry, and what the backend says for programs."""

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from backend.api import server
from backend.api.limits import SERVER_OPTIONS
from backend.domain.rate import Rate
from backend.services.door import Door
from kale_chain.breaker import FAILURES_TO_OPEN, CircuitState
from kalepool.v1 import pool_pb2
from pooler.domain.assignment import Assignment, Failure, Reason
from pooler.domain.presence import State
from pooler.domain.report import Report
from pooler.errors import BackendUnavailableError
from pooler.link.backend import GrpcBackend
from pooler.link.client import PoolClient, connect
from pooler.link.endpoint import Line
from pooler.ports import PlantFailedEvent, PlantsDone
from tests.fixtures.edge import servicers
from tests.fixtures.pool_service import PoolService, stored
from tests.fixtures.tokens import MemoryTokens

ROOT = Path(__file__).resolve().parents[2]
FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
async def client(pool_service: PoolService) -> AsyncIterator[PoolClient]:
    async with connect(pool_service.url, pooler_id="p", deadline=30) as made:
        yield made


def event(number: int) -> pool_pb2.PlantResponse:
    plant = pool_pb2.PlantEvent(number=number, block_index=7, farmer_id=f"farmer {number}")
    plant.failed.message = "too little"
    return pool_pb2.PlantResponse(event=plant)


SUMMARY = pool_pb2.PlantResponse(summary=pool_pb2.PlantSummary(block_index=7, failed=2, last_number=2))


async def fail(backend: GrpcBackend, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BackendUnavailableError):
            await backend.check()


async def test_circuit_opens_after_three_calls_without_answer_and_spares_the_network(nobody: str) -> None:
    async with Line(nobody) as line:
        backend = GrpcBackend(line, pooler_id="p", timeout=5)
        await fail(backend, FAILURES_TO_OPEN)
        (circuit,) = backend.circuits
        assert (circuit.address, circuit.state, circuit.in_use) == (nobody[7:], CircuitState.OPEN, True)
        with pytest.raises(BackendUnavailableError, match="left alone"):
            await backend.check()
        assert backend.problem is not None
        assert "left alone" in backend.problem


async def test_circuit_closes_once_a_call_after_the_pause_is_answered(nobody: str, pool_service: PoolService) -> None:
    async with Line(nobody) as line:
        backend = GrpcBackend(line, pooler_id="p", timeout=5)
        await fail(backend, FAILURES_TO_OPEN)
        line.address.breaker._clock = lambda: float("inf")  # the pause is over
        assert line.circuits[0].state is CircuitState.HALF_OPEN
        async with Line(pool_service.url) as other:
            line.channel, other.channel = other.channel, line.channel  # and somebody is there
            await backend.check()
            line.channel, other.channel = other.channel, line.channel
        assert line.circuits[0].state is CircuitState.CLOSED


async def test_refusals_never_open_the_circuit(pool_service: PoolService) -> None:
    pool_service.cut_with = grpc.StatusCode.FAILED_PRECONDITION
    async with Line(pool_service.url) as line:
        backend = GrpcBackend(line, pooler_id="p", timeout=30)
        for _ in range(FAILURES_TO_OPEN + 1):
            with pytest.raises(Exception, match="refused by the test"):
                await backend.report_block(7, opened_at=1, ledger=1)
        assert line.circuits[0].state is CircuitState.CLOSED


async def test_next_address_takes_over_at_once(nobody: str, pool_service: PoolService) -> None:
    async with Line(f"{nobody},{pool_service.url}") as line:
        backend = GrpcBackend(line, pooler_id="p", timeout=30)
        await fail(backend, 1)
        await backend.check()
        assert [circuit.in_use for circuit in line.circuits] == [False, True]


async def test_plants_resume_over_cut_streams(client: PoolClient, pool_service: PoolService) -> None:
    pool_service.plants = [event(1), event(2), SUMMARY]
    pool_service.cut_after, pool_service.cut_with = 1, grpc.StatusCode.UNAVAILABLE
    async with asyncio.timeout(30):
        got = [message async for message in client.plants(7, farmers=3)]
    failed = [PlantFailedEvent(number, f"farmer {number}", "UNSPECIFIED", "too little") for number in (1, 2)]
    assert got == [*failed, PlantsDone(0, 2)]
    assert [request.resume_after for request in pool_service.requests] == [0, 1]


async def test_a_connection_that_is_too_old_ends_after_its_grace_and_the_stream_resumes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The backend's own server, with an age of parts of a second instead of hours."""
    ages = {"grpc.max_connection_age_ms": 300, "grpc.max_connection_age_grace_ms": 100}
    assert ages.keys() <= dict(SERVER_OPTIONS).keys()
    monkeypatch.setattr(server, "SERVER_OPTIONS", tuple((dict(SERVER_OPTIONS) | ages).items()))
    service = PoolService()
    service.plants, service.silent = [event(1)], True
    door = Door(MemoryTokens(), required=False, rate=Rate(per_second=1000, burst=1000))
    backend = server.GrpcServer("127.0.0.1", 0, replace(servicers(), pool=cast("Any", service)), door)
    await backend.start()
    async with connect(f"http://127.0.0.1:{backend.port}", pooler_id="p", deadline=30) as pool, asyncio.timeout(30):
        got = []
        async for message in pool.plants(7):
            got.append(message)
            service.plants = [event(1), event(2), SUMMARY]
    await backend.stop(0)
    assert [request.resume_after for request in service.requests] == [0, 1]
    assert len(got) == 3


async def test_reports_are_sent_until_each_is_acknowledged(client: PoolClient, pool_service: PoolService) -> None:
    """The stream ends before the second is acknowledged; only that is sent again."""
    assignments = [Assignment(7, f"farmer-{number}", FARMER, 1_000, 5) for number in (1, 2)]
    reports = [Report.of("p", assignment, Failure(Reason.TIMEOUT, "a test")) for assignment in assignments]
    unheard = {reports[1].report_id}

    def acknowledge(sent: pool_pb2.ReportWorkRequest) -> pool_pb2.ReportWorkResponse | None:
        if sent.report_id in unheard:
            unheard.remove(sent.report_id)
            return None
        return stored(sent)

    pool_service.acknowledge = acknowledge
    async with asyncio.timeout(30):
        answers = await client.report(reports)
    assert [answer.report_id for answer in answers] == [report.report_id for report in reports]
    assert [sent.report_id for sent in pool_service.reports] == [reports[0].report_id, *[reports[1].report_id] * 2]


async def test_attendance_answers_every_notice_and_is_opened_anew(
    client: PoolClient, pool_service: PoolService
) -> None:
    pool_service.notices = [[1, 2], [1]]
    seen: list[int] = []
    async with asyncio.timeout(30):
        async for notice in client.attend(lambda: State(0, 5, 1e6, 0, 0.0, 0, draining=False)):
            seen.append(notice.number)
            if len(seen) == 3:
                break
        while len(pool_service.states) < 4:
            await pool_service.heard()
    assert seen == [1, 2, 1]
    assert [state.acknowledged for state in pool_service.states] == [0, 1, 2, 0]
    assert {(state.pooler_id, state.max_farmers) for state in pool_service.states} == {("p", 5)}


async def test_backend_may_say_how_long_to_wait_and_why(pool_service: PoolService) -> None:
    wait = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000))
    info = error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain="kalepool.v1")
    status = status_pb2.Status(code=8, message="slower", details=[packed(info), packed(wait)])
    pool_service.refusal = (grpc.StatusCode.RESOURCE_EXHAUSTED, status.SerializeToString())
    async with Line(pool_service.url) as line:
        with pytest.raises(BackendUnavailableError, match="slower") as caught:
            await GrpcBackend(line, pooler_id="p", timeout=30).report_block(7, opened_at=1, ledger=1)
    assert (caught.value.error_reason, caught.value.retry_after_seconds) == ("RATE_LIMITED", 1.5)


async def test_program_of_the_documentation_runs(pool_service: PoolService, tmp_path: Path) -> None:
    planted = pool_pb2.PlantEvent(number=1, block_index=7, farmer_id="one", wallet_address=FARMER)
    planted.planted.ledger_sequence = 1_000
    pool_service.plants, pool_service.notices = [pool_pb2.PlantResponse(event=planted), event(2), SUMMARY], [[1], [2]]
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/protocol.md").read_text(), flags=re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    environment = os.environ | {"BACKEND_API_URL": pool_service.url, "PYTHONPATH": str(ROOT)}
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(tmp_path / "program.py"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await running.communicate()
    assert running.returncode == 0
    assert {f"planted {FARMER}", "not planted: UNSPECIFIED", "acknowledged mine:7:one"} <= set(
        said.decode().splitlines()
    )


def packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail
