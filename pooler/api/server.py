"""Both listeners, started and stopped together."""

import contextlib
from collections.abc import AsyncIterator

import grpc.aio
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kale_common.errors import ConfigError
from kalepool.v1 import status_pb2, status_pb2_grpc
from pooler.api.http import application
from pooler.api.status import StatusServicer
from pooler.services.overview import Overview

_STATUS_SERVICE = status_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name
_GRACE_SECONDS = 1.0


@contextlib.asynccontextmanager
async def serving(
    overview: Overview, *, address: str, grpc_port: int, http_port: int
) -> AsyncIterator[tuple[int, int]]:
    """Serves until left; the bound gRPC and HTTP ports.

    Raises:
        ConfigError: If a port is taken.
    """
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    status_pb2_grpc.add_StatusServiceServicer_to_server(StatusServicer(overview), server)
    state = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(state, server)  # type: ignore[no-untyped-call]
    names = (_STATUS_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)  # type: ignore[no-untyped-call]
    bound = _bind(server, address, grpc_port)
    runner = web.AppRunner(application(overview), access_log=None)
    await runner.setup()
    try:
        bound_http = await _listen(runner, address, http_port)
        await server.start()
        for name in ("", _STATUS_SERVICE):
            await state.set(name, health_pb2.HealthCheckResponse.SERVING)
        yield bound, bound_http
    finally:
        await state.enter_graceful_shutdown()
        await server.stop(_GRACE_SECONDS)
        await runner.cleanup()


def _bind(server: grpc.aio.Server, address: str, port: int) -> int:
    host = f"[{address}]" if ":" in address else address
    try:
        return server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise ConfigError("PORT", f"cannot listen on {host}:{port}; is it in use?") from error


async def _listen(runner: web.AppRunner, address: str, port: int) -> int:
    try:
        await web.TCPSite(runner, address, port).start()
    except OSError as error:
        raise ConfigError("HTTP_PORT", f"cannot listen on {address}:{port}: {error.strerror}") from error
    return int(runner.addresses[0][1])
