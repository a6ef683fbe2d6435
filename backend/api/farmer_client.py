"""What the commands about one farmer ask of a running backend, over gRPC."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc.aio
from google.protobuf.json_format import MessageToDict

from backend.api.client import bearer, open_channel, refusal
from backend.api.messages import farmer_state
from backend.domain.farmer import FarmerState
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc, statement_pb2

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FarmerSettings:
    """Settings to change; None leaves one as it is."""

    stake_basis_points: int | None = None
    fixed_stake_stroops: int | None = None
    harvest_after_blocks: int | None = None
    state: FarmerState | None = None
    labels: Mapping[str, str] | None = None


class FarmerClient:
    """FarmerService of the backend at `address` (see open_channel).

    Every method raises UnavailableError if the backend, its database or the ledger is out of reach, and BackendError if
    it refuses.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self._address = address
        self._token = token
        self._metadata = bearer(token)

    async def get(self, farmer_id: str) -> dict[str, Any]:
        """One farmer."""
        async with self._stub() as stub:
            request = farmers_pb2.GetFarmerRequest(farmer_id=farmer_id)
            return _values((await stub.GetFarmer(request, **self._options())).farmer)

    async def all(self) -> Sequence[dict[str, Any]]:
        """Every farmer, oldest first."""
        farmers, token = [], ""
        async with self._stub() as stub:
            while True:
                request = farmers_pb2.ListFarmersRequest(page_size=500, page_token=token)
                page = await stub.ListFarmers(request, **self._options())
                farmers += [_values(farmer) for farmer in page.farmers]
                token = page.next_page_token
                if not token:
                    return farmers

    async def update(self, farmer_id: str, settings: FarmerSettings) -> dict[str, Any]:
        """Changes settings; the farmer as stored."""
        request = farmers_pb2.UpdateFarmerRequest(farmer=farmers_pb2.Farmer(farmer_id=farmer_id))
        for name in ("stake_basis_points", "fixed_stake_stroops", "harvest_after_blocks"):
            value = getattr(settings, name)
            if value is not None:
                setattr(request.farmer, name, value)
                request.update_mask.paths.append(name)
        if settings.state is not None:
            request.farmer.state = farmers_pb2.FarmerState.Value(f"FARMER_STATE_{settings.state.name}")
            request.update_mask.paths.append("state")
        if settings.labels is not None:
            request.farmer.labels.update(settings.labels)
            request.update_mask.paths.append("labels")
        async with self._stub() as stub:
            return _values((await stub.UpdateFarmer(request, **self._options())).farmer)

    async def statement(self, farmer_id: str, begins: datetime | None, ends: datetime | None, *, as_csv: bool) -> bytes:
        """A farmer's statement: the signed document, or comma-separated values."""
        form = statement_pb2.STATEMENT_FORMAT_CSV if as_csv else statement_pb2.STATEMENT_FORMAT_JSON
        request = statement_pb2.GetStatementRequest(farmer_id=farmer_id, format=form)
        if begins is not None:
            request.from_time.FromDatetime(begins)
        if ends is not None:
            request.to_time.FromDatetime(ends)
        async with self._stub() as stub:
            chunks = [part.chunk async for part in stub.GetStatement(request, **self._options())]
        return b"".join(chunks)

    @contextlib.asynccontextmanager
    async def _stub(self) -> AsyncIterator[farmers_pb2_grpc.FarmerServiceAsyncStub]:
        async with open_channel(self._address, self._token) as channel:
            try:
                yield farmers_pb2_grpc.FarmerServiceStub(channel)
            except grpc.aio.AioRpcError as error:
                raise refusal(self._address, error) from None

    def _options(self) -> dict[str, Any]:
        return {"timeout": _PATIENCE_SECONDS, "metadata": self._metadata}


def _values(farmer: farmers_pb2.Farmer) -> dict[str, Any]:
    """A farmer as JSON: the protocol's names, amounts as strings of stroops."""
    values = MessageToDict(farmer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    state = farmer_state(farmer.state)
    return {**values, "state": None if state is None else state.value}
