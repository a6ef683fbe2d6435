"""gRPC statuses as the pooler's errors: one table, complete."""

import grpc
import grpc.aio
from google.protobuf import message
from google.rpc import error_details_pb2, status_pb2

from kale_chain.errors import Retry
from pooler.errors import BackendError, BackendRefusedError, BackendUnavailableError

_AGAIN = "again"
_DETAILS = "grpc-status-details-bin"

STATUSES: dict[grpc.StatusCode, Retry | str] = {
    grpc.StatusCode.OK: _AGAIN,
    grpc.StatusCode.CANCELLED: _AGAIN,
    grpc.StatusCode.UNKNOWN: _AGAIN,
    grpc.StatusCode.DEADLINE_EXCEEDED: _AGAIN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _AGAIN,
    grpc.StatusCode.ABORTED: _AGAIN,
    grpc.StatusCode.INTERNAL: _AGAIN,
    grpc.StatusCode.UNAVAILABLE: _AGAIN,
    grpc.StatusCode.DATA_LOSS: _AGAIN,
    # The block may be due, or the farm unpaused, a ledger later.
    grpc.StatusCode.FAILED_PRECONDITION: Retry.NEXT_LEDGER,
    grpc.StatusCode.OUT_OF_RANGE: Retry.NEXT_LEDGER,
    # An operator can give this pooler a new token at any time.
    grpc.StatusCode.PERMISSION_DENIED: Retry.NEXT_LEDGER,
    grpc.StatusCode.UNAUTHENTICATED: Retry.NEXT_LEDGER,
    grpc.StatusCode.INVALID_ARGUMENT: Retry.NEVER,
    grpc.StatusCode.NOT_FOUND: Retry.NEVER,
    grpc.StatusCode.ALREADY_EXISTS: Retry.NEVER,
    grpc.StatusCode.UNIMPLEMENTED: Retry.NEVER,
}
"""What a status means: ask again soon, or refused until the next ledger or for ever."""


def translated(error: grpc.aio.AioRpcError) -> BackendError:
    """The pooler's error for a failed call."""
    code, text = error.code(), error.details() or "no details"
    reason, seconds = _details(error)
    meaning = STATUSES[code]
    if isinstance(meaning, Retry):
        return BackendRefusedError(code.name, text, meaning, error_reason=reason)
    return BackendUnavailableError(f"{code.name}: {text}", error_reason=reason, retry_after_seconds=seconds)


def out_of_reach(error: grpc.aio.AioRpcError) -> bool:
    """Whether no backend answered: its own errors carry details, gRPC's do not."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and _packed(error) is None


def answers(error: grpc.aio.AioRpcError) -> bool:
    """Whether a backend took the call and said something, if only no."""
    silent = error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    return not silent or _packed(error) is not None


def _packed(error: grpc.aio.AioRpcError) -> bytes | None:
    values = (value for key, value in error.trailing_metadata() or () if key == _DETAILS)
    return next((value for value in values if isinstance(value, bytes)), None)


def _details(error: grpc.aio.AioRpcError) -> tuple[str, float]:
    """The machine-readable reason (ErrorInfo) and the seconds to wait (RetryInfo); empty and 0 where there are none."""
    reason, seconds = "", 0.0
    try:
        status = status_pb2.Status.FromString(_packed(error) or b"")
        for detail in status.details:
            info, wait = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(wait):
                seconds = wait.retry_delay.ToTimedelta().total_seconds()
    except message.DecodeError:
        return "", 0.0
    return reason, seconds
