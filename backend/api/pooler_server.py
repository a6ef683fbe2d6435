"""The poolers' own port: mutual TLS 1.3, and nothing on it but what poolers need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from backend.api.answering import answered
from backend.api.enrolment import ENROLMENT_SERVICE, EnrolmentServicer
from backend.api.handlers import Methods, decoded
from backend.api.limits import SERVER_OPTIONS
from backend.api.peers import Identified
from backend.api.pool import PoolServicer
from backend.api.status import POOL_SERVICE, STATUS_SERVICE, StatusServicer
from backend.ports.trust import CertificateIssuer
from backend.services.trusting import Trusting
from kale_common.errors import ConfigError
from kalepool.v1 import enrolment_pb2_grpc, pool_pb2_grpc, status_pb2_grpc

_MOST_CALLS = 1000


@dataclass(frozen=True, slots=True)
class PoolerServices:
    """What is served to poolers."""

    pool: PoolServicer
    status: StatusServicer
    health: health_pb2_grpc.HealthServicer


class PoolerServer:
    """Serves poolers on `host`:`port`; port 0 lets the system choose (see `port` once started)."""

    def __init__(
        self, host: str, port: int, authority: CertificateIssuer, trusting: Trusting, services: PoolerServices
    ) -> None:
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._authority = authority
        methods = Methods((answered, decoded, Identified(trusting)))
        self._server = grpc.aio.server(handlers=(methods,), options=SERVER_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        self._shown: tuple[bytes, bytes] | None = None
        self.port = port
        pool_pb2_grpc.add_PoolServiceServicer_to_server(services.pool, methods.as_server)
        status_pb2_grpc.add_StatusServiceServicer_to_server(services.status, methods.as_server)
        enrolment = EnrolmentServicer(trusting, authority)
        enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server(enrolment, methods.as_server)
        health_pb2_grpc.add_HealthServicer_to_server(services.health, methods.as_server)  # type: ignore[no-untyped-call]
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        names = (POOL_SERVICE, STATUS_SERVICE, ENROLMENT_SERVICE, health_name, reflection.SERVICE_NAME)
        methods.reflect(names)

    async def start(self) -> None:
        """Binds and serves.

        Raises:
            ConfigError: the port is taken.
        """
        first = self._configuration()
        renewed = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._renewed)  # None means: as before
        credentials = grpc.dynamic_ssl_server_credentials(first, renewed, require_client_authentication=True)
        try:
            self.port = self._server.add_secure_port(self._address, credentials)
        except RuntimeError:
            raise ConfigError(
                "POOLER_PORT", f"cannot listen on {self._address}: the port is taken; choose another"
            ) from None
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, lets running ones end for a while, then cancels them."""
        await self._server.stop(grace_seconds)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        self._shown = self._authority.server()
        return grpc.ssl_server_certificate_configuration([self._shown], root_certificates=self._authority.certificate)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC at every handshake: the server's certificate if it is another by now."""
        return None if self._authority.server() == self._shown else self._configuration()
