"""A farmer and its settings as JSON."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from backend.api.json_body import Body, field_of, read_body
from backend.domain import requests
from backend.domain.farmer import Farmer, FarmerChange, FarmerState
from backend.errors import InvalidRequestError
from backend.ports.stores import FarmerStore
from backend.services.adjusting import Adjusting
from backend.services.stating import Stating

_PATHS = {
    "stakePercentage": "stake_basis_points",
    "fixedStake": "fixed_stake_stroops",
    "harvestAfterBlocks": "harvest_after_blocks",
    "status": "state",
    "labels": "labels",
}
_BASIS_POINTS_PER_PERCENT = 100
_MEDIA = {"json": "application/json", "csv": "text/csv"}
_ROUNDING = 1e-6


class FarmerRoutes:
    """Handlers of the routes under `/api/farmers/{farmer_id}`."""

    def __init__(self, farmers: FarmerStore, stating: Stating) -> None:
        self._farmers = farmers
        self._adjusting = Adjusting(farmers)
        self._stating = stating

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        path = "/api/farmers/{farmer_id}"
        return [
            web.get(path, self.show, allow_head=False),
            web.patch(path, self.change),
            web.get(f"{path}/statement", self.statement, allow_head=False),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """The farmer; amounts are stroops written as strings."""
        farmer = await self._farmers.get(requests.farmer_uuid(request.match_info["farmer_id"]))
        return web.json_response(farmer_values(farmer))

    async def change(self, request: web.Request) -> web.Response:
        """`{stakePercentage?, fixedStake?, harvestAfterBlocks?, status?, labels?}`: changes those given."""
        farmer_id = requests.farmer_uuid(request.match_info["farmer_id"])
        farmer = await self._adjusting.change(farmer_id, _change(await read_body(request)))
        return web.json_response(farmer_values(farmer))

    async def statement(self, request: web.Request) -> web.Response:
        """`?from=&to=&format=json|csv`: the farmer's statement; times such as 2026-11-24 or 2026-11-24T12:00:00Z."""
        form = request.query.get("format", "json")
        if form not in _MEDIA:
            raise InvalidRequestError("format", f"{form[:64]!r} is none of {', '.join(_MEDIA)}")
        document = await self._stating.document(
            requests.farmer_uuid(request.match_info["farmer_id"]),
            requests.time("from", request.query.get("from")),
            requests.time("to", request.query.get("to")),
            as_csv=form == "csv",
        )
        return web.Response(body=document, content_type=_MEDIA[form], charset="utf-8")


def farmer_values(farmer: Farmer) -> dict[str, Any]:
    """A farmer as JSON."""
    fixed = farmer.fixed_stake_stroops
    return {
        "farmerId": str(farmer.farmer_id),
        "walletAddress": farmer.address,
        "status": farmer.state.value,
        "stakePercentage": farmer.stake_basis_points / _BASIS_POINTS_PER_PERCENT,
        "fixedStake": None if fixed is None else str(fixed),
        "harvestAfterBlocks": farmer.harvest_after_blocks,
        "balance": str(farmer.balance_stroops),
        "earned": str(farmer.earned_stroops),
        "openStake": str(farmer.open_stake_stroops),
        "lostStake": str(farmer.lost_stake_stroops),
        "lastPlantedBlock": farmer.last_planted_block,
        "labels": dict(farmer.labels),
        "createdAt": farmer.created_at.isoformat(),
        "updatedAt": farmer.updated_at.isoformat(),
    }


def _change(body: Body) -> FarmerChange:
    unknown = sorted(set(body) - set(_PATHS))
    if unknown:
        raise InvalidRequestError(unknown[0][:64], f"is no setting; there are {', '.join(_PATHS)}")
    return requests.farmer_change(
        paths=[_PATHS[name] for name in body],
        stake_basis_points=_basis_points(body),
        fixed_stake_stroops=_stroops(field_of(body, "fixedStake", str, "0")),
        harvest_after_blocks=field_of(body, "harvestAfterBlocks", int, 1),
        state=_state(field_of(body, "status", str, FarmerState.ACTIVE.value)),
        labels=_labels(field_of(body, "labels", dict, {})),
    )


def _basis_points(body: Body) -> int:
    percent = body.get("stakePercentage", 0)
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        raise InvalidRequestError("stakePercentage", "must be a number")
    points = round(percent * _BASIS_POINTS_PER_PERCENT)
    if abs(points - percent * _BASIS_POINTS_PER_PERCENT) > _ROUNDING:
        raise InvalidRequestError("stakePercentage", "has more than two decimals")
    return points


def _stroops(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(2**63)):
        raise InvalidRequestError("fixedStake", "must be stroops: a whole number written as a string")
    return int(text)


def _state(text: str) -> FarmerState:
    try:
        return FarmerState(text)
    except ValueError:
        raise InvalidRequestError("status", f"{text[:64]!r} is none of active, inactive, departed") from None


def _labels(labels: dict[Any, Any]) -> dict[str, str]:
    for name, value in labels.items():
        if not isinstance(value, str):
            raise InvalidRequestError("labels", f"the value of {str(name)[:64]!r} must be a string")
    return labels
