"""The gRPC server: the pool's services, health and reflection on one port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # re-exported without saying so
from grpc_reflection.v1alpha import reflection

from backend.api.access import Guarded
from backend.api.answering import answered
from backend.api.certificate import EdgeCertificate
from backend.api.farmers import FarmerServicer
from backend.api.handlers import Methods, decoded
from backend.api.limits import SERVER_OPTIONS
from backend.api.pool import PoolServicer
from backend.api.status import FARMER_SERVICE, POOL_SERVICE, STATUS_SERVICE, WALLET_SERVICE, HealthSink, StatusServicer
from backend.api.wallet import WalletServicer
from backend.services.door import Door
from kale_common.errors import ConfigError
from kalepool.v1 import farmers_pb2_grpc, pool_pb2_grpc, status_pb2_grpc, wallet_pb2_grpc

_MOST_CALLS = 1000


@dataclass(frozen=True, slots=True)
class Servicers:
    """What the server serves."""

    pool: PoolServicer
    farmers: FarmerServicer
    status: StatusServicer
    wallet: WalletServicer


class GrpcServer:
    """Serves on `host`:`port`; port 0 lets the system choose (see `port` once started)."""

    def __init__(
        self, host: str, port: int, servicers: Servicers, door: Door, tls: EdgeCertificate | None = None
    ) -> None:
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        methods = Methods((answered, decoded, Guarded(door)))
        self._server = grpc.aio.server(handlers=(methods,), options=SERVER_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        self._health = health_aio.HealthServicer()
        self.port = port
        self._tls = tls
        pool_pb2_grpc.add_PoolServiceServicer_to_server(servicers.pool, methods.as_server)
        farmers_pb2_grpc.add_FarmerServiceServicer_to_server(servicers.farmers, methods.as_server)
        status_pb2_grpc.add_StatusServiceServicer_to_server(servicers.status, methods.as_server)
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(servicers.wallet, methods.as_server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods.as_server)  # type: ignore[no-untyped-call]
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        names = (POOL_SERVICE, FARMER_SERVICE, STATUS_SERVICE, WALLET_SERVICE, health_name, reflection.SERVICE_NAME)
        methods.reflect(names)

    @property
    def health_servicer(self) -> Any:
        """Answers for the health of the services, on every port."""
        return self._health

    @property
    def health(self) -> HealthSink:
        """Takes the health of the services."""
        sink: HealthSink = self._health
        return sink

    async def start(self) -> None:
        """Binds and serves.

        Raises:
            ConfigError: the port is taken, or the certificate cannot be used.
        """
        try:
            if self._tls is None:
                self.port = self._server.add_insecure_port(self._address)
            else:
                self.port = self._server.add_secure_port(self._address, self._tls.for_grpc())
        except RuntimeError:
            raise ConfigError("PORT", f"cannot listen on {self._address}: the port is taken; choose another") from None
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, lets running ones end for a while, then cancels them; health says NOT_SERVING first."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)
