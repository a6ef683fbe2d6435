"""FarmerService over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from backend.api import limits
from backend.api.handlers import Context
from backend.api.messages import farmer_message, farmer_state, moment
from backend.domain import requests
from backend.domain.farmer import Farmer
from backend.ports.stores import FarmerStore
from backend.services.adjusting import Adjusting
from backend.services.onboarding import Onboarding
from backend.services.stating import Stating
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc, statement_pb2

_SPARE_SECONDS = 0.25
"""Kept of the caller's deadline for the answer's way back."""
_CHUNK_BYTES = 32 * 1024


class FarmerServicer(farmers_pb2_grpc.FarmerServiceServicer):
    """See farmers.proto."""

    def __init__(self, farmers: FarmerStore, onboarding: Onboarding, stating: Stating) -> None:
        self._farmers = farmers
        self._adjusting = Adjusting(farmers)
        self._onboarding = onboarding
        self._stating = stating

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
        farmer = await self._adjusting.change(farmer_id, change)
        return farmers_pb2.UpdateFarmerResponse(farmer=farmer_message(farmer))

    async def GetStatement(  # noqa: N802  (the protocol's name)
        self, request: statement_pb2.GetStatementRequest, context: Context
    ) -> AsyncIterator[statement_pb2.GetStatementResponse]:
        """A farmer's statement, in chunks."""
        del context
        document = await self._stating.document(
            requests.farmer_uuid(request.farmer_id),
            moment("from_time", request.from_time) if request.HasField("from_time") else None,
            moment("to_time", request.to_time) if request.HasField("to_time") else None,
            as_csv=request.format == statement_pb2.STATEMENT_FORMAT_CSV,
        )
        for start in range(0, len(document), _CHUNK_BYTES):
            yield statement_pb2.GetStatementResponse(chunk=document[start : start + _CHUNK_BYTES])

    async def _settled(self, farmer: Farmer, context: Context) -> Farmer:
        remaining = context.time_remaining()
        longest = limits.ONBOARDING_SECONDS
        seconds = longest if remaining is None else max(0.0, min(longest, remaining - _SPARE_SECONDS))
        try:
            async with asyncio.timeout(seconds):
                return await self._onboarding.until_active(farmer)
        except TimeoutError:
            return await self._farmers.get(farmer.farmer_id)
