"""StatusService of a pooler."""

from collections.abc import AsyncIterator
from typing import Any

from kale_chain.breaker import CircuitState
from kale_common.version import VERSION
from kalepool.v1 import status_pb2, status_pb2_grpc
from pooler.domain.snapshot import Snapshot
from pooler.services.overview import Overview

_CIRCUITS = {
    CircuitState.CLOSED: status_pb2.CIRCUIT_STATE_CLOSED,
    CircuitState.OPEN: status_pb2.CIRCUIT_STATE_OPEN,
    CircuitState.HALF_OPEN: status_pb2.CIRCUIT_STATE_HALF_OPEN,
}


def status_message(snapshot: Snapshot) -> status_pb2.Status:
    """A snapshot as the protocol says it."""
    return status_pb2.Status(
        version=VERSION,
        uptime_seconds=snapshot.uptime_seconds,
        health=_health(None if snapshot.healthy else ""),
        components=[
            status_pb2.Component(name=part.name, health=_health(part.problem), detail=part.problem or "")
            for part in snapshot.parts
        ],
        chain=status_pb2.ChainStatus(
            ledger_sequence=snapshot.ledger.sequence,
            ledger_time=snapshot.ledger.close_time,
            block_index=snapshot.block_index,
            block_opened_ledger_time=snapshot.block_opened_at,
            farm_paused=snapshot.farm_paused,
        ),
        pooler=status_pb2.PoolerStatus(
            pooler_id=snapshot.pooler_id,
            phase=snapshot.phase,
            active_farmers=len(snapshot.farmers),
            running_searches=snapshot.running_searches,
            hashes_per_second=snapshot.hashes_per_second,
            machine_load=snapshot.machine_load,
            unacknowledged_reports=snapshot.unacknowledged_reports,
            fee_balance_stroops=snapshot.fee_balance_stroops,
            searches=[
                status_pb2.FarmerSearch(
                    farmer_id=farmer.farmer_id,
                    best_zeros=farmer.best_zeros or 0,
                    accepted_zeros=farmer.accepted_zeros,
                    hashes=farmer.hashes,
                )
                for farmer in snapshot.farmers
            ],
            backends=[
                status_pb2.BackendAddress(address=one.address, circuit=_CIRCUITS[one.state], in_use=one.in_use)
                for one in snapshot.circuits
            ],
        ),
    )


def _health(problem: str | None) -> status_pb2.Health.ValueType:
    return status_pb2.HEALTH_UP if problem is None else status_pb2.HEALTH_DOWN


class StatusServicer(status_pb2_grpc.StatusServiceServicer):
    """Answers from the overview; works while the backend or the RPC is down."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    async def GetStatus(  # noqa: N802 - the protocol's name
        self, _request: status_pb2.GetStatusRequest, _context: Any
    ) -> status_pb2.GetStatusResponse:
        """The present status."""
        return status_pb2.GetStatusResponse(status=status_message(self._overview.snapshot()))

    async def WatchStatus(  # noqa: N802 - the protocol's name
        self, _request: status_pb2.WatchStatusRequest, _context: Any
    ) -> AsyncIterator[status_pb2.WatchStatusResponse]:
        """The present status, then the newest at every ledger and change of health."""
        while True:
            bell = self._overview.bell
            yield status_pb2.WatchStatusResponse(status=status_message(self._overview.snapshot()))
            await bell.wait()
