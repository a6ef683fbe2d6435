"""FarmerService over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from backend.api.messages import farmer_message, farmer_state
from backend.domain import requests
from backend.domain.farmer import Farmer
from backend.ports.stores import FarmerStore
from backend.services.onboarding import Onboarding
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc

_SPARE_SECONDS = 0.25
"""Kept of the caller's deadline for the answer's way back."""

Context = grpc.aio.ServicerContext[Any, Any]


class FarmerServicer(farmers_pb2_grpc.FarmerServiceServicer):
    """See farmers.proto."""

    def __init__(self, farmers: FarmerStore, onboarding: Onboarding) -> None:
        self._farmers = farmers
        self._onboarding = onboarding

    async def CreateFarmer(  # noqa: N802  (the protocol's name)
        self, request: farmers_pb2.CreateFarmerRequest, context: Context
    ) -> farmers_pb2.CreateFarmerResponse:
        """Creates a farmer and waits for its account, as long as the caller does."""
        request_id, stake, blocks = requests.new_farmer_settings(
            request_id=request.request_id,
            stake_basis_points=request.stake_basis_points if request.HasField("stake_basis_points") else None,
            harvest_after_blocks=request.harvest_after_blocks if request.HasField("harvest_after_blocks") else None,
        )
        farmer = await self._onboarding.create(request_id, stake, blocks)
        return farmers_pb2.CreateFarmerResponse(farmer=farmer_message(await self._settled(farmer, context)))

    async def GetFarmer(  # noqa: N802  (the protocol's name)
        self, request: farmers_pb2.GetFarmerRequest, context: Context
    ) -> farmers_pb2.GetFarmerResponse:
        """One farmer."""
        del context
        farmer = await self._farmers.get(requests.farmer_uuid(request.farmer_id))
        return farmers_pb2.GetFarmerResponse(farmer=farmer_message(farmer))

    async def ListFarmers(  # noqa: N802  (the protocol's name)
        self, request: farmers_pb2.ListFarmersRequest, context: Context
    ) -> farmers_pb2.ListFarmersResponse:
        """A page of farmers."""
        del context
        size, after = requests.farmer_page(page_size=request.page_size, page_token=request.page_token)
        farmers = await self._farmers.page(after=after, state=farmer_state(request.state), size=size + 1)
        more = len(farmers) > size
        return farmers_pb2.ListFarmersResponse(
            farmers=[farmer_message(farmer) for farmer in farmers[:size]],
            next_page_token=str(farmers[size - 1].farmer_id) if more else "",
        )

    async def UpdateFarmer(  # noqa: N802  (the protocol's name)
        self, request: farmers_pb2.UpdateFarmerRequest, context: Context
    ) -> farmers_pb2.UpdateFarmerResponse:
        """Changes settings."""
        del context
        farmer_id = requests.farmer_uuid(request.farmer.farmer_id)
        change = requests.farmer_change(
            paths=tuple(request.update_mask.paths),
            stake_basis_points=request.farmer.stake_basis_points,
            harvest_after_blocks=request.farmer.harvest_after_blocks,
            state=farmer_state(request.farmer.state),
            fixed_stake_stroops=request.farmer.fixed_stake_stroops,
            labels=dict(request.farmer.labels),
        )
        farmer = await self._farmers.update(farmer_id, change)
        return farmers_pb2.UpdateFarmerResponse(farmer=farmer_message(farmer))

    async def _settled(self, farmer: Farmer, context: Context) -> Farmer:
        remaining = context.time_remaining()
        seconds = None if remaining is None else max(0.0, remaining - _SPARE_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                return await self._onboarding.until_active(farmer)
        except TimeoutError:
            return await self._farmers.get(farmer.farmer_id)
