"""A running pooler's status, followed for a live view."""

import asyncio
from collections.abc import AsyncIterator

import grpc.aio

from kale_chain.model import STROOPS_PER_XLM
from kale_common.live import Glance, Light, PartLight
from kalepool.v1 import status_pb2, status_pb2_grpc

_PAUSE_SECONDS = 1.0
_LIGHTS = {
    status_pb2.HEALTH_UP: Light.UP,
    status_pb2.HEALTH_DEGRADED: Light.DEGRADED,
    status_pb2.HEALTH_DOWN: Light.DOWN,
}
_HEADER = ("farmer", "best zeros", "accepted", "hashes")


async def glances(address: str) -> AsyncIterator[Glance]:
    """Its status at every closed ledger and change; while it does not answer, why, and it is tried again for ever."""
    title = f"kale-pooler at {address}"
    async with grpc.aio.insecure_channel(address) as channel:
        stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
        while True:
            try:
                async for update in stub.WatchStatus(status_pb2.WatchStatusRequest()):
                    yield glance_of(title, update.status)
                yield Glance(title, problem="it ended the stream")
            except grpc.aio.AioRpcError as error:
                yield Glance(title, problem=f"{error.code().name} {error.details()}")
            await asyncio.sleep(_PAUSE_SECONDS)


def glance_of(title: str, status: status_pb2.Status) -> Glance:
    """What a status says."""
    chain, pooler = status.chain, status.pooler
    opened = chain.block_opened_ledger_time
    worked = sum(one.HasField("accepted_zeros") for one in pooler.searches)
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
            ("phase", pooler.phase),
            ("farmers", str(pooler.active_farmers)),
            ("worked", str(worked)),
            ("searches", str(pooler.running_searches)),
            ("load", f"{pooler.machine_load:.0%}"),
            ("reports waiting", str(pooler.unacknowledged_reports)),
            ("fee account", f"{pooler.fee_balance_stroops / STROOPS_PER_XLM:.2f} XLM"),
        ],
        hashes_per_second=pooler.hashes_per_second,
        header=_HEADER,
        rows=[_row(one) for one in pooler.searches],
    )


def _row(search: status_pb2.FarmerSearch) -> list[str]:
    accepted = str(search.accepted_zeros) if search.HasField("accepted_zeros") else "–"
    return [search.farmer_id, str(search.best_zeros), accepted, f"{search.hashes:,}"]
