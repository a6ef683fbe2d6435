"""PoolService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog

from backend.api.attend import attend
from backend.api.handlers import Context
from backend.api.messages import acknowledgement_message, report_of
from backend.api.peers import check_pooler
from backend.api.plants import Replays, plant_message
from backend.domain import requests
from backend.domain.failure import Failure, FailureReason
from backend.errors import InvalidRequestError
from backend.services.attending import Attending
from backend.services.planting import Planting
from backend.services.working import Acknowledgement, ReportOutcome, Working
from kalepool.v1 import pool_pb2, pool_pb2_grpc

_HASH_FIELDS = frozenset({"work_hash", "nonce", "zeros"})


class PoolServicer(pool_pb2_grpc.PoolServiceServicer):
    """See pool.proto."""

    def __init__(self, planting: Planting, working: Working, attending: Attending) -> None:
        self._planting = planting
        self._working = working
        self._attending = attending
        self._replays = Replays()

    async def Plant(  # noqa: N802  (the protocol's name)
        self, request: pool_pb2.PlantRequest, context: Context
    ) -> AsyncIterator[pool_pb2.PlantResponse]:
        """Plants, and streams each plant as it becomes final."""
        del context
        command = requests.plant_request(
            request_id=request.request_id,
            pooler_id=request.pooler_id,
            block_index=request.block_index,
            requested_farmers=request.requested_farmers,
        )
        check_pooler(command.pooler_id)
        replay = self._replays.after(command, request.resume_after)
        if replay is not None:
            self._attending.check(command.pooler_id)
            for message in replay:
                yield message
            return
        # Every log line and RPC call that comes of it names it.
        with structlog.contextvars.bound_contextvars(request_id=command.request_id):
            await self._planting.request(command)
        sent = []
        async for event in self._planting.events(command, request.resume_after):
            message = plant_message(event)
            sent.append(message)
            yield message
        if request.resume_after == 0:
            self._replays.keep(command, sent)

    async def ReportWork(  # noqa: N802  (the protocol's name)
        self, request_iterator: AsyncIterator[pool_pb2.ReportWorkRequest], context: Context
    ) -> AsyncIterator[pool_pb2.ReportWorkResponse]:
        """Acknowledges each report once it is stored, in order."""
        del context
        async for message in request_iterator:
            yield acknowledgement_message(await self._acknowledge(message))

    async def ReportBlock(  # noqa: N802  (the protocol's name)
        self, request: pool_pb2.ReportBlockRequest, context: Context
    ) -> pool_pb2.ReportBlockResponse:
        """Records a detected block."""
        del context
        requests.block_report(
            pooler_id=request.pooler_id,
            block_index=request.block_index,
            opened_ledger_time=request.opened_ledger_time,
            ledger_sequence=request.ledger_sequence,
        )
        check_pooler(request.pooler_id)
        recorded = await self._working.report_block(
            request.pooler_id,
            request.block_index,
            opened_at=request.opened_ledger_time,
            ledger=request.ledger_sequence,
        )
        return pool_pb2.ReportBlockResponse(recorded=recorded)

    async def Attend(  # noqa: N802  (the protocol's name)
        self, request_iterator: AsyncIterator[pool_pb2.AttendRequest], context: Context
    ) -> AsyncIterator[pool_pb2.AttendResponse]:
        """A pooler's presence."""
        del context
        async for message in attend(self._attending, request_iterator):
            yield message

    async def _acknowledge(self, message: pool_pb2.ReportWorkRequest) -> Acknowledgement:
        """A malformed report is refused like any other that can never be accepted: the stream stays open."""
        try:
            report = report_of(message)
        except InvalidRequestError as error:
            reason = FailureReason.HASH_INVALID if error.field in _HASH_FIELDS else FailureReason.INVALID_REQUEST
            return Acknowledgement(message.report_id, ReportOutcome.REFUSED, Failure(reason, str(error)))
        check_pooler(report.pooler_id)
        return await self._working.report(report)
