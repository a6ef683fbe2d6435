"""What commands ask of a running backend, over gRPC."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc.aio

from backend.api.messages import farmer_state
from backend.errors import BackendError, UnavailableError
from kale_common.errors import ConfigError
from kale_common.onboarding import CALLS_AT_ONCE, CHANNEL_OPTIONS
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc

CA_VARIABLE = "KALE_BACKEND_CA"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
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
        backend: Where it is; see open_channel.
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
    slots = asyncio.Semaphore(CALLS_AT_ONCE)
    async with open_channel(backend, token, CHANNEL_OPTIONS) as channel:
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


def open_channel(backend: str, token: str | None, options: Sequence[tuple[str, str]] = ()) -> grpc.aio.Channel:
    """A channel to a running backend.

    Args:
        backend: host:port, or https://host:port where it speaks TLS. KALE_BACKEND_CA may name a file with the authority
            (PEM) to trust instead of the system's.
        token: A token that will be sent over it, which must not cross a network in clear.
        options: gRPC's channel options.

    Raises:
        ConfigError: it would, or the file cannot be read.
    """
    parts = urlsplit(backend if "://" in backend else f"http://{backend}")
    target = parts.netloc
    if parts.scheme == "https":
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(_authority()), options=options)
    if token is not None and parts.hostname not in _THIS_MACHINE:
        raise ConfigError("KALE_BACKEND", f"a token would cross the network in clear; use https://{target}")
    return grpc.aio.insecure_channel(target, options=options)


def _authority() -> bytes | None:
    """The authority to trust; None: the system's."""
    name = os.environ.get(CA_VARIABLE)
    if not name:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(CA_VARIABLE, f"cannot read {name}: {error.strerror}") from None


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata that a token is sent in."""
    return () if token is None else (("authorization", f"Bearer {token}"),)


def refusal(backend: str, first: grpc.aio.AioRpcError) -> BackendError:
    """The error for a call that failed."""
    if first.code() in _OUT_OF_REACH:
        return UnavailableError(f"the backend at {backend}: {first.details()}")
    return BackendError(f"the backend at {backend} refused: {first.details()}")
