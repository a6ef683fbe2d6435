"""A running backend's status, followed for a live view."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio

from backend.api.client import bearer, open_channel
from kale_chain.model import STROOPS_PER_XLM
from kale_common.live import Glance, Light, PartLight
from kalepool.v1 import status_pb2, status_pb2_grpc

_PAUSE_SECONDS = 1.0
_LIGHTS = {
    status_pb2.HEALTH_UP: Light.UP,
    status_pb2.HEALTH_DEGRADED: Light.DEGRADED,
    status_pb2.HEALTH_DOWN: Light.DOWN,
}
_HEADER = ("pooler", "version", "MH/s", "searches", "takes", "state")


async def glances(address: str, token: str | None) -> AsyncIterator[Glance]:
    """Its status at every closed ledger and change; while it does not answer, why, and it is tried again for ever."""
    title = f"kale-backend at {address}"
    async with open_channel(address, token) as channel:
        stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
        while True:
            try:
                async for update in stub.WatchStatus(status_pb2.WatchStatusRequest(), metadata=bearer(token)):
                    yield glance_of(title, update.status)
                yield Glance(title, problem="it ended the stream")
            except grpc.aio.AioRpcError as error:
                yield Glance(title, problem=f"{error.code().name} {error.details()}")
            await asyncio.sleep(_PAUSE_SECONDS)


def glance_of(title: str, status: status_pb2.Status) -> Glance:
    """What a status says."""
    chain, backend = status.chain, status.backend
    opened = chain.block_opened_ledger_time
    return Glance(
        title=title,
        version=status.version,
        uptime_seconds=status.uptime_seconds,
        ledger_sequence=chain.ledger_sequence,
        block_index=chain.block_index,
        block_age_seconds=max(0, chain.ledger_time - opened) if opened else None,
        farm_paused=chain.farm_paused,
        parts=[PartLight(one.name, _LIGHTS.get(one.health, Light.DOWN), one.detail) for one in status.components],
        figures=[
            ("farmers", str(backend.active_farmers)),
            ("planted", str(backend.planted)),
            ("unworked", str(backend.unworked)),
            ("open pails", str(backend.open_pails)),
            ("in flight", str(backend.open_attempts)),
            ("master", f"{backend.master_balance_stroops / STROOPS_PER_XLM:.2f} XLM"),
            ("poolers", str(len(backend.poolers))),
        ],
        hashes_per_second=sum(one.hashes_per_second for one in backend.poolers),
        header=_HEADER,
        rows=[_row(one) for one in backend.poolers],
    )


def _row(pooler: status_pb2.AttendingPooler) -> list[str]:
    state = "silent" if pooler.silent_ledgers >= 3 else "stopping" if pooler.draining else "attends"  # noqa: PLR2004  (the protocol's number)
    rate = f"{pooler.hashes_per_second / 1e6:.2f}"
    searches = str(pooler.running_searches)
    return [pooler.pooler_id, pooler.version, rate, searches, f"{pooler.max_farmers} farmers", state]
