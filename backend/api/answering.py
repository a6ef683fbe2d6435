"""How calls end: every error becomes a gRPC status with a machine-readable reason, and no call goes on for ever."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from backend.api.errors import status_of
from backend.api.handlers import HEALTH, Context, RpcHandler, wrapped
from backend.api.limits import CALL_SECONDS, LONG_CALLS
from backend.errors import BackendError, DeadlineExceededError, RateLimitedError, SlowReaderError

_log = structlog.get_logger()

ERROR_DOMAIN = "kalepool.v1"
STALL_SECONDS = 30.0
"""How long a message may wait for a peer that reads slowly before its stream is cut."""
_NANOSECONDS = 1_000_000_000
_DETAILS_KEY = "grpc-status-details-bin"


def answered(method: str, handler: RpcHandler) -> RpcHandler:
    """The layer around every method but those of the health service: errors, deadlines, slow readers."""
    if method.startswith(HEALTH):
        return handler
    seconds = LONG_CALLS.get(method, CALL_SECONDS)
    return wrapped(handler, answering=functools.partial(_answering, seconds), streaming=_streaming)


def _answering(seconds: float, behaviour: Any) -> Any:
    async def answer(request: Any, context: Context) -> Any:
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await behaviour(request, context)
        except BackendError as error:
            await _abort(context, error)
        except Exception as error:  # noqa: BLE001  (the last line before the caller; the log has what happened)
            if deadline.expired() and isinstance(error, TimeoutError):
                await _abort(context, DeadlineExceededError(seconds))
            await _abort_unexpected(context)

    return answer


def _streaming(behaviour: Any) -> Any:
    async def stream(request: Any, context: Context) -> None:
        now = asyncio.get_running_loop().time
        stall = asyncio.timeout(None)
        try:
            async with stall, contextlib.aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    # Nothing is lost if the peer does not take it in time: every stream resumes.
                    stall.reschedule(now() + STALL_SECONDS)
                    await context.write(response)
                    stall.reschedule(None)
        except BackendError as error:
            await _abort(context, error)
        except Exception as error:  # noqa: BLE001  (likewise)
            if stall.expired() and isinstance(error, TimeoutError):
                await _abort(context, SlowReaderError(STALL_SECONDS))
            await _abort_unexpected(context)

    return stream


async def _abort(context: Context, error: BackendError) -> NoReturn:
    code = status_of(error)
    if code is grpc.StatusCode.INTERNAL:
        _log.error("a request failed", reason=error.reason, error=str(error))
    info = error_details_pb2.ErrorInfo(
        reason=error.reason, domain=ERROR_DOMAIN, metadata={"retry": error.retry.value, **_fields(error)}
    )
    details = [_packed(info)]
    if isinstance(error, RateLimitedError):
        wait = duration_pb2.Duration()
        wait.FromNanoseconds(int(error.retry_after_seconds * _NANOSECONDS))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=wait)))
    number, _ = code.value
    status = status_pb2.Status(code=number, message=str(error), details=details)
    await context.abort(code, str(error), ((_DETAILS_KEY, status.SerializeToString()),))
    raise AssertionError


async def _abort_unexpected(context: Context) -> NoReturn:
    _log.exception("a fault of the program in a request")
    await context.abort(grpc.StatusCode.INTERNAL, "a fault of the service; its log has the details")
    raise AssertionError


def _packed(message: Any) -> any_pb2.Any:
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail


def _fields(error: BackendError) -> dict[str, str]:
    """The error's own typed fields, as texts."""
    return {name: str(value) for name, value in vars(error).items() if value is not None}
