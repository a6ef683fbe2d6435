"""The backend's PoolService as the services' port: deadlines on every call, a limit on every silence."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kalepool.v1 import pool_pb2, pool_pb2_grpc
from pooler.domain.presence import Notice, State
from pooler.domain.report import Acknowledgement, Report
from pooler.domain.snapshot import Circuit
from pooler.errors import BackendError, BackendRefusedError, BackendSilentError
from pooler.link.endpoint import Address, Line
from pooler.link.faults import answers, out_of_reach, translated
from pooler.link.messages import acknowledgement, notice, plant_message, report_request, state_request
from pooler.ports import PlantMessage, PlantsDone

_ATTENDANCE_SILENCE = 60.0


class _Reads(Protocol):
    async def read(self) -> Any: ...


class GrpcBackend:
    """The backend over a gRPC channel, which reconnects by itself.

    Args:
        line: Gives the channel; another one once this pooler's certificate was renewed.
        pooler_id: This pooler's name.
        timeout: Seconds that a unary call may take and a stream may be silent (API_TIMEOUT_MS).
        token: What the backend knows this pooler by, where it asks for tokens.

    Attributes:
        problem: Why the backend is not up, as last heard; None if it is.
        changed: Called when `problem` changes.
    """

    def __init__(self, line: Line, *, pooler_id: str, timeout: float, token: str | None = None) -> None:
        self._line = line
        self._pooler_id = pooler_id
        self._timeout = timeout
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self.problem: str | None = None
        self.changed: Callable[[], None] = lambda: None

    @property
    def circuits(self) -> Sequence[Circuit]:
        """How the backend's addresses stand."""
        return self._line.circuits

    @property
    def _pool(self) -> "pool_pb2_grpc.PoolServiceAsyncStub":
        stub: pool_pb2_grpc.PoolServiceAsyncStub = pool_pb2_grpc.PoolServiceStub(self._line.channel)
        return stub

    async def plant(self, block_index: int, *, farmers: int, resume_after: int) -> AsyncGenerator[PlantMessage, None]:
        """One stream of a block's plants; ends after `PlantsDone`.

        The request's id is made of pooler and block alone, so that a restarted pooler resumes its own request.

        Raises:
            BackendSilentError: Nothing came for the allowed time.
            BackendUnavailableError: The stream was cut.
            BackendRefusedError: The backend refused the request.
        """
        request = pool_pb2.PlantRequest(
            request_id=f"{self._pooler_id}:{block_index}",
            pooler_id=self._pooler_id,
            block_index=block_index,
            requested_farmers=farmers,
            resume_after=resume_after,
        )
        # The task of a block's plants logs it from here on, as the backend and the RPCs do.
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        with self._watched() as watched:
            call = self._pool.Plant(request, metadata=self._metadata)
            try:
                while (response := await self._read(call)) is not grpc.aio.EOF:
                    self._answered(watched)
                    message = plant_message(response)
                    yield message
                    if isinstance(message, PlantsDone):
                        return
            finally:
                call.cancel()

    async def report_work(self, reports: Sequence[Report]) -> AsyncIterator[Acknowledgement]:
        """Sends reports and yields their acknowledgements, in the order in which they were stored.

        Raises:
            BackendSilentError: Nothing came for the allowed time.
            BackendUnavailableError: The stream was cut.
            BackendRefusedError: The backend refused the stream.
        """
        with self._watched() as watched:
            call = self._pool.ReportWork(self._requests(reports), metadata=self._metadata)
            try:
                for _ in reports:
                    response = await self._read(call)
                    if response is grpc.aio.EOF:
                        return
                    self._answered(watched)
                    yield acknowledgement(response)
            finally:
                call.cancel()

    async def _requests(self, reports: Sequence[Report]) -> AsyncIterator[pool_pb2.ReportWorkRequest]:
        for report in reports:
            yield report_request(report, self._pooler_id)

    async def attend(self, states: AsyncIterator[State]) -> AsyncGenerator[Notice, None]:
        """Tells of this pooler's states, and yields what the backend says, until the stream ends.

        Raises:
            BackendSilentError: Nothing came for long: ledgers close every few seconds.
            BackendUnavailableError: The stream was cut, or this pooler was silent for too long.
            BackendRefusedError: The backend refused it, or knows no attendance.
        """
        with self._watched() as watched:
            requests = (state_request(state, self._pooler_id) async for state in states)
            call = self._pool.Attend(requests, metadata=self._metadata)
            try:
                while (response := await self._read(call, _ATTENDANCE_SILENCE)) is not grpc.aio.EOF:
                    self._answered(watched)
                    yield notice(response)
            finally:
                call.cancel()

    async def report_block(self, block_index: int, *, opened_at: int, ledger: int) -> bool:
        """Tells of a detected block; False if it was told before.

        Raises:
            BackendUnavailableError: No answer in time.
            BackendRefusedError: The backend refused it.
        """
        request = pool_pb2.ReportBlockRequest(
            pooler_id=self._pooler_id, block_index=block_index, opened_ledger_time=opened_at, ledger_sequence=ledger
        )
        with self._watched() as watched:
            answer = await self._pool.ReportBlock(request, timeout=self._timeout, metadata=self._metadata)
            self._answered(watched)
            return answer.recorded

    async def check(self) -> None:
        """Asks for the backend's health.

        Raises:
            BackendUnavailableError: No answer in time, or it does not serve now.
        """
        with self._watched() as watched:
            health = health_pb2_grpc.HealthStub(self._line.channel)  # type: ignore[no-untyped-call]
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout)
            serving = answer.status == health_pb2.HealthCheckResponse.SERVING
            self._answered(watched, None if serving else "it says that it does not serve now")

    async def _read(self, call: _Reads, least: float = 0) -> Any:
        seconds = max(self._timeout, least)
        try:
            return await asyncio.wait_for(call.read(), seconds)
        except TimeoutError as error:
            raise BackendSilentError(f"no message for {seconds:g} s") from error

    @contextlib.contextmanager
    def _watched(self) -> Iterator["_Call"]:
        """Lets a call pass where the circuit does, translates gRPC's errors, and keeps what they say of the backend."""
        call = _Call()
        try:
            call.address = self._line.admit()
            yield call
        except grpc.aio.AioRpcError as error:
            fault = translated(error)
            self._judge(call, error)
            self._heard(None if isinstance(fault, BackendRefusedError) else str(fault))
            raise fault from error
        except BackendError as error:
            if call.address is not None and not call.answered:
                self._line.unanswered(call.address)
            self._heard(str(error))
            raise

    def _judge(self, call: "_Call", error: grpc.aio.AioRpcError) -> None:
        if call.address is None:
            return
        if answers(error):
            self._line.answered(call.address)
        elif not call.answered:  # a stream that breaks later says nothing of the next call
            self._line.unanswered(call.address)
        if out_of_reach(error):
            self._line.leave(call.address)

    def _answered(self, call: "_Call", problem: str | None = None) -> None:
        if call.address is not None and not call.answered:
            call.answered = True
            self._line.answered(call.address)
        self._heard(problem)

    def _heard(self, problem: str | None) -> None:
        changed, self.problem = problem != self.problem, problem
        if changed:
            self.changed()


@dataclass(slots=True)
class _Call:
    """A call under way: where it went, and whether anything came back."""

    address: Address | None = None
    answered: bool = False
