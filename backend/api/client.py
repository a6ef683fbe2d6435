"""What commands ask of a running backend, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc.aio

from backend.api.messages import farmer_state
from backend.errors import BackendError, UnavailableError
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc

_AT_ONCE = 100
"""Calls in flight at a time."""
_OUT_OF_REACH = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


async def create_farmers(
    backend: str,
    request_ids: Sequence[str],
    *,
    stake_basis_points: int,
    harvest_after_blocks: int,
    wait_seconds: float,
    created: Callable[[], None],
    token: str | None = None,
) -> list[dict[str, Any]]:
    """Has a running backend create farmers, one for each request id; `created` is called after each.

    Args:
        backend: Its gRPC address, host:port.
        request_ids: Idempotency keys.
        stake_basis_points: See Farmer.stake_basis_points.
        harvest_after_blocks: See Farmer.harvest_after_blocks.
        wait_seconds: Seconds to wait for the accounts; those that take longer are being onboarded still.
        created: Told of each farmer.
        token: An operator's token, where the backend asks for tokens.

    Returns:
        farmer_id, wallet_address and state of each, in the order of the request ids.

    Raises:
        UnavailableError: the backend, its database or the ledger is out of reach.
        BackendError: it refused.
    """
    slots = asyncio.Semaphore(_AT_ONCE)
    async with grpc.aio.insecure_channel(backend) as channel:
        stub: farmers_pb2_grpc.FarmerServiceAsyncStub = farmers_pb2_grpc.FarmerServiceStub(channel)

        async def create(request_id: str) -> dict[str, Any]:
            request = farmers_pb2.CreateFarmerRequest(
                request_id=request_id,
                stake_basis_points=stake_basis_points,
                harvest_after_blocks=harvest_after_blocks,
            )
            async with slots:
                farmer = (await stub.CreateFarmer(request, timeout=wait_seconds, metadata=bearer(token))).farmer
            created()
            state = farmer_state(farmer.state)
            return {"farmer_id": farmer.farmer_id, "wallet_address": farmer.wallet_address, "state": state}

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(create(request_id)) for request_id in request_ids]
        except* grpc.aio.AioRpcError as errors:
            first = errors.exceptions[0]
            assert isinstance(first, grpc.aio.AioRpcError)
            raise refusal(backend, first) from None
    return [task.result() for task in tasks]


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata that a token is sent in."""
    return () if token is None else (("authorization", f"Bearer {token}"),)


def refusal(backend: str, first: grpc.aio.AioRpcError) -> BackendError:
    """The error for a call that failed."""
    if first.code() in _OUT_OF_REACH:
        return UnavailableError(f"the backend at {backend}: {first.details()}")
    return BackendError(f"the backend at {backend} refused: {first.details()}")
