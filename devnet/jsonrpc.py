"""JSON-RPC 2.0 over HTTP, as Stellar RPC speaks it."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from devnet.errors import JsonRpcError
from devnet.faults import Dropped, Faults

Params = Mapping[str, Any]
Method = Callable[[Params], Awaitable[dict[str, Any]]]

_log = logging.getLogger(__name__)


class JsonRpcHandler:
    """Answers POST requests with one call or a batch of calls."""

    def __init__(self, methods: Mapping[str, Method], faults: Faults) -> None:
        self._methods = methods
        self._faults = faults

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serves one HTTP request."""
        try:
            body = json.loads(await request.read())
        except ValueError:
            return web.json_response(_refusal(None, JsonRpcError(JsonRpcError.PARSE_ERROR, "not JSON")))
        try:
            answer = await self._all(body)
        except Dropped as dropped:
            return _drop(request, dropped)
        return web.Response(status=204) if answer is None else web.json_response(answer)

    async def _all(self, body: object) -> object:
        if not isinstance(body, list):
            return await self._one(body)
        if not body:
            return _refusal(None, JsonRpcError(JsonRpcError.INVALID_REQUEST, "empty batch"))
        answers = [await self._one(call) for call in body]
        return [answer for answer in answers if answer is not None] or None

    async def _one(self, call: object) -> dict[str, Any] | None:
        if not isinstance(call, dict) or call.get("jsonrpc") != "2.0" or not isinstance(call.get("method"), str):
            return _refusal(None, JsonRpcError(JsonRpcError.INVALID_REQUEST, "not a JSON-RPC 2.0 call"))
        try:
            result = await self._result(call["method"], call.get("params"))
        except JsonRpcError as error:
            return _refusal(call.get("id"), error)
        if "id" not in call:
            return None
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    async def _result(self, name: str, params: object) -> dict[str, Any]:
        method = self._methods.get(name)
        if method is None:
            raise JsonRpcError(JsonRpcError.METHOD_NOT_FOUND, f"method not found: {name}")
        if not isinstance(params, dict | None):
            raise JsonRpcError(JsonRpcError.INVALID_PARAMS, "params must be an object")
        try:
            return await self._faults.around(name, lambda: method(params or {}))
        except (JsonRpcError, Dropped):
            raise
        except Exception as error:
            _log.exception("%s failed", name)
            raise JsonRpcError(JsonRpcError.INTERNAL_ERROR, f"internal error: {error}") from error


def _refusal(call_id: object, error: JsonRpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "error": {"code": error.code, "message": str(error)}}


def _drop(request: web.Request, dropped: Dropped) -> web.Response:
    if dropped.status is not None:
        headers = {} if dropped.retry_after is None else {"Retry-After": str(dropped.retry_after)}
        return web.Response(status=dropped.status, headers=headers)
    if request.transport:
        request.transport.abort()
    return web.Response()


def invalid(message: str) -> JsonRpcError:
    """The refusal of a parameter."""
    return JsonRpcError(JsonRpcError.INVALID_PARAMS, message)


def text(params: Params, name: str) -> str:
    """A parameter that must be a string."""
    value = params.get(name)
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string")
    return value


def integer(params: Params, name: str, default: int = 0) -> int:
    """A parameter that must be a whole number, if it is there."""
    value = params.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise invalid(f"{name} must be a whole number, not below 0")
    return value


def mapping(params: Params, name: str) -> Params:
    """A parameter that must be an object, if it is there."""
    value = params.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object")
    return value


def check_format(params: Params) -> None:
    """Refuses any `xdrFormat` but base64."""
    if params.get("xdrFormat", "base64") not in ("base64", ""):
        raise invalid("xdrFormat must be base64: this ledger answers in nothing else")
