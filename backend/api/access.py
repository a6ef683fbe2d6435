"""Who may call which method and route: two tables, and what applies them. What they do not name is refused."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from backend.api.handlers import Context, RpcHandler, wrapped
from backend.domain.access import ANYBODY, PUBLIC, WHOEVER, Principal, Rule, Scope, acting_as
from backend.services.door import Caller, Door

_POOL = "/kalepool.v1.PoolService/"
_FARMERS = "/kalepool.v1.FarmerService/"
_WALLET = "/kalepool.v1.WalletService/"
_STATUS = "/kalepool.v1.StatusService/"
_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

IN_PATH = "{farmer_id}"
"""Where routes name the farmer concerned."""

METHODS: Mapping[str, Rule] = {
    _POOL + "Plant": Rule(Scope.POOL),
    _POOL + "ReportWork": Rule(Scope.POOL),
    _POOL + "ReportBlock": Rule(Scope.POOL),
    _POOL + "Attend": Rule(Scope.POOL),
    _FARMERS + "CreateFarmer": Rule(Scope.OPERATE),
    _FARMERS + "ListFarmers": Rule(Scope.OPERATE),
    _FARMERS + "GetFarmer": Rule(Scope.READ, "farmer_id"),
    _FARMERS + "UpdateFarmer": Rule(Scope.SETTINGS, "farmer.farmer_id"),
    _FARMERS + "GetStatement": Rule(Scope.READ, "farmer_id"),
    _WALLET + "ListDeposits": Rule(Scope.READ, "farmer_id"),
    _WALLET + "ListWithdrawals": Rule(Scope.READ, "farmer_id"),
    _WALLET + "GetWithdrawal": Rule(Scope.READ, "farmer_id"),
    _WALLET + "GetPayout": Rule(Scope.READ, "farmer_id"),
    _WALLET + "Withdraw": Rule(Scope.MONEY, "farmer_id"),
    _WALLET + "SetPayout": Rule(Scope.MONEY, "farmer_id"),
    _WALLET + "Exit": Rule(Scope.MONEY, "farmer_id"),
    _STATUS + "GetStatus": Rule(Scope.STATUS, WHOEVER),
    _STATUS + "WatchStatus": Rule(Scope.STATUS, WHOEVER),
    _HEALTH + "Check": PUBLIC,
    _HEALTH + "List": PUBLIC,
    _HEALTH + "Watch": PUBLIC,
    _REFLECTION + "ServerReflectionInfo": Rule(Scope.STATUS, WHOEVER),
}
"""Every gRPC method of the backend."""

ROUTES: Mapping[tuple[str, str], Rule] = {
    ("POST", "/api/blocks/new"): Rule(Scope.POOL),
    ("POST", "/api/plant/request"): Rule(Scope.POOL),
    ("POST", "/api/work/complete"): Rule(Scope.POOL),
    ("GET", "/api/farmers/{farmer_id}"): Rule(Scope.READ, IN_PATH),
    ("PATCH", "/api/farmers/{farmer_id}"): Rule(Scope.SETTINGS, IN_PATH),
    ("GET", "/api/farmers/{farmer_id}/statement"): Rule(Scope.READ, IN_PATH),
    ("GET", "/api/farmers/{farmer_id}/deposits"): Rule(Scope.READ, IN_PATH),
    ("GET", "/api/farmers/{farmer_id}/withdrawals"): Rule(Scope.READ, IN_PATH),
    ("GET", "/api/farmers/{farmer_id}/withdrawals/{withdrawal_id}"): Rule(Scope.READ, IN_PATH),
    ("POST", "/api/farmers/{farmer_id}/withdrawals"): Rule(Scope.MONEY, IN_PATH),
    ("POST", "/api/farmers/{farmer_id}/exit"): Rule(Scope.MONEY, IN_PATH),
    ("GET", "/api/health"): PUBLIC,
    ("GET", "/livez"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): Rule(Scope.STATUS, WHOEVER),
}
"""Every HTTP route."""


class Guarded:
    """The layer that has every call of a method pass the door; public methods are left alone."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def __call__(self, method: str, handler: RpcHandler) -> RpcHandler:
        """The method, behind the door."""
        rule = METHODS.get(method)
        if rule == PUBLIC:
            return handler
        return wrapped(
            handler,
            answering=functools.partial(self._answering, rule),
            streaming=functools.partial(self._streaming, rule),
        )

    def _answering(self, rule: Rule | None, behaviour: Any) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            with logged(await self._admit(rule, request, context)):
                return await behaviour(request, context)

        return answer

    def _streaming(self, rule: Rule | None, behaviour: Any) -> Any:
        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            await self._admit(rule, request, context)
            caller = _grpc_caller(context)
            async for response in behaviour(request, context):
                await self._door.recheck(caller)  # a revoked token ends the streams it began
                yield response

        return stream

    async def _admit(self, rule: Rule | None, request: Any, context: Context) -> Principal | None:
        farmer_id = None if rule is None else _named(request, rule.farmer)
        return await self._door.admit(rule, _grpc_caller(context), farmer_id)


def access_middleware(door: Door) -> Middleware:
    """A middleware that has every request to a route pass the door."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is None:  # no such route, or not with this verb: it answers that itself
            return await handler(request)
        path, farmer_id = resource.canonical, request.match_info.get("farmer_id")
        rule = ROUTES.get((request.method, path))
        caller = Caller(request.remote or "", request.headers.get("Authorization", ""))
        with logged(await door.admit(rule, caller, farmer_id)):
            return await handler(request)

    return admit


@contextmanager
def logged(principal: Principal | None) -> Iterator[None]:
    """Has whatever is logged or recorded meanwhile name the caller."""
    name = (principal or ANYBODY).name
    with structlog.contextvars.bound_contextvars(caller=name), acting_as(name):
        yield


def _grpc_caller(context: Context) -> Caller:
    metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
    authorization = metadata.get("authorization", "")
    return Caller(_host(context.peer()), str(authorization), context.auth_context())


def _host(peer: str) -> str:
    """The host of gRPC's `ipv4:1.2.3.4:5`, `ipv6:[::1]:5` or `unix:…`."""
    kind, _, rest = peer.partition(":")
    return rest.rpartition(":")[0] if kind in {"ipv4", "ipv6"} else peer


def _named(request: Any, path: str) -> str | None:
    """What a request says at a path of fields; None if it says nothing there."""
    value = request
    for name in path.split("."):
        value = getattr(value, name, None)
    return value if isinstance(value, str) else None
