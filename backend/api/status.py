"""StatusService and the standard health service over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from grpc_health.v1 import health_pb2

from backend.api.handlers import Context
from backend.api.messages import status_message
from backend.services.attending import Attending
from backend.services.status import Health, StatusBoard
from kale_common.version import VERSION
from kalepool.v1 import farmers_pb2, pool_pb2, status_pb2, status_pb2_grpc, wallet_pb2

POOL_SERVICE = pool_pb2.DESCRIPTOR.services_by_name["PoolService"].full_name
FARMER_SERVICE = farmers_pb2.DESCRIPTOR.services_by_name["FarmerService"].full_name
WALLET_SERVICE = wallet_pb2.DESCRIPTOR.services_by_name["WalletService"].full_name
STATUS_SERVICE = status_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name

_NEEDS: Mapping[str, frozenset[str]] = {
    "": frozenset({"database", "stellar"}),
    POOL_SERVICE: frozenset({"database", "stellar"}),
    FARMER_SERVICE: frozenset({"database"}),
    WALLET_SERVICE: frozenset({"database"}),
    STATUS_SERVICE: frozenset(),
}
"""The components without which a service does not serve."""


class StatusServicer(status_pb2_grpc.StatusServiceServicer):
    """See status.proto."""

    def __init__(self, board: StatusBoard, attending: Attending, statement_key: bytes) -> None:
        self._board = board
        self._attending = attending
        self._version = VERSION
        self._statement_key = statement_key.hex()

    async def GetStatus(  # noqa: N802  (the protocol's name)
        self, request: status_pb2.GetStatusRequest, context: Context
    ) -> status_pb2.GetStatusResponse:
        """The present status."""
        del request, context
        return status_pb2.GetStatusResponse(status=await self._message())

    async def WatchStatus(  # noqa: N802  (the protocol's name)
        self, request: status_pb2.WatchStatusRequest, context: Context
    ) -> AsyncIterator[status_pb2.WatchStatusResponse]:
        """The present status, and again at every change."""
        del request, context
        while True:
            seen = self._board.changed.count
            yield status_pb2.WatchStatusResponse(status=await self._message())
            await self._board.changed.after(seen)

    async def _message(self) -> status_pb2.Status:
        message = status_message(await self._board.status(), self._version, self._attending.poolers)
        message.backend.statement_public_key = self._statement_key
        return message


class HealthSink(Protocol):
    """What takes the health of services: the health service's own servicer."""

    async def set(self, service: str, status: Any) -> None:
        """Has `service` answered with `status` from now on."""


async def follow_health(servicer: HealthSink, board: StatusBoard) -> None:
    """Keeps the health service's answers as the components are, for ever."""
    while True:
        seen = board.changed.count
        down = {component.name for component in board.components if component.health is Health.DOWN}
        checked = bool(board.components)
        for service, needs in _NEEDS.items():
            serves = not needs or (checked and not needs & down)
            state = health_pb2.HealthCheckResponse.SERVING if serves else health_pb2.HealthCheckResponse.NOT_SERVING
            await servicer.set(service, state)
        await board.changed.after(seen)
