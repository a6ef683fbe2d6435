"""gRPC statuses as the pooler's errors: one table, complete."""

import grpc
import grpc.aio

from kale_chain.errors import Retry
from pooler.errors import BackendError, BackendRefusedError, BackendUnavailableError

_AGAIN = "again"

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
    code, details = error.code(), error.details() or "no details"
    meaning = STATUSES[code]
    if isinstance(meaning, Retry):
        return BackendRefusedError(code.name, details, meaning)
    return BackendUnavailableError(f"{code.name}: {details}")


def out_of_reach(error: grpc.aio.AioRpcError) -> bool:
    """Whether no backend answered: its own errors carry details, gRPC's do not."""
    told = {key for key, _ in error.trailing_metadata() or ()}
    return error.code() is grpc.StatusCode.UNAVAILABLE and "grpc-status-details-bin" not in told
