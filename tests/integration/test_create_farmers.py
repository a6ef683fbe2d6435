"""Creating many farmers over one connection: calls are held back, and refused ones come again."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest

from backend.api.client import create_farmers
from backend.api.limits import SERVER_OPTIONS
from backend.errors import BackendError
from kale_common.onboarding import CALLS_AT_ONCE
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc

MANY = 3 * CALLS_AT_ONCE


class Farmers(farmers_pb2_grpc.FarmerServiceServicer):
    """Answers each request id at its second try, after all who are let in at once have come."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code = code
        self.tries = Counter[str]()
        self.running = 0
        self.most = 0
        self._full = asyncio.Event()

    async def CreateFarmer(self, request: farmers_pb2.CreateFarmerRequest, context: Any) -> Any:  # noqa: N802
        self.tries[request.request_id] += 1
        if self.tries[request.request_id] == 1:
            await context.abort(self.code, "try again")
        self.running += 1
        self.most = max(self.most, self.running)
        if self.running == CALLS_AT_ONCE:
            self._full.set()
        await self._full.wait()
        self.running -= 1
        farmer = farmers_pb2.Farmer(farmer_id=request.request_id, state=farmers_pb2.FARMER_STATE_ACTIVE)
        return farmers_pb2.CreateFarmerResponse(farmer=farmer)


async def created(farmers: Farmers, count: int = MANY) -> list[str]:
    """The ids of the farmers that a backend of this kind is asked for."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    farmers_pb2_grpc.add_FarmerServiceServicer_to_server(farmers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        made = await create_farmers(
            f"127.0.0.1:{port}",
            [str(number) for number in range(count)],
            stake_basis_points=0,
            harvest_after_blocks=1,
            wait_seconds=60,
            created=lambda: None,
        )
    finally:
        await server.stop(0)
    return [one["farmer_id"] for one in made]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED], ids=str)
async def test_many_farmers_are_created_though_every_call_is_refused_once(code: grpc.StatusCode) -> None:
    farmers = Farmers(code)
    assert await created(farmers) == [str(number) for number in range(MANY)]
    assert set(farmers.tries.values()) == {2}
    assert farmers.most == CALLS_AT_ONCE


async def test_refusal_for_good_is_told_at_once() -> None:
    farmers = Farmers(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(BackendError, match="refused: try again"):
        await created(farmers, count=1)
    assert set(farmers.tries.values()) == {1}
