"""Which gRPC and HTTP status each error has: one table, tested to be complete."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from backend.errors import (
    AttendanceSupersededError,
    BackendError,
    BackupError,
    BlockNotDueError,
    BlockPassedError,
    BooksViolatedError,
    DatabaseRoleError,
    DatabaseUnavailableError,
    FarmerDepartedError,
    FarmPausedError,
    HeadFileError,
    InvalidRequestError,
    KeyDeviceError,
    KeyFileError,
    KeyMissingError,
    LeaseError,
    LeaseHeldError,
    LeaseLostError,
    LedgerUnavailableError,
    MigrationError,
    PeriodOpenError,
    PermissionDeniedError,
    PolicyRefusedError,
    PoolerSilentError,
    PreconditionError,
    QuarantinedError,
    RateLimitedError,
    RequestReusedError,
    SealedSeedError,
    SignerRulesError,
    SignerUnavailableError,
    SponsorLowError,
    StatementError,
    StoreConflictError,
    TransitionError,
    UnauthenticatedError,
    UnavailableError,
    UnknownFarmerError,
    UnknownTokenError,
    VaultError,
)

STATUS: Mapping[type[BackendError], grpc.StatusCode] = {
    BackendError: grpc.StatusCode.INTERNAL,
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownFarmerError: grpc.StatusCode.NOT_FOUND,
    UnknownTokenError: grpc.StatusCode.NOT_FOUND,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    RateLimitedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    RequestReusedError: grpc.StatusCode.ALREADY_EXISTS,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    BlockPassedError: grpc.StatusCode.FAILED_PRECONDITION,
    BlockNotDueError: grpc.StatusCode.FAILED_PRECONDITION,
    FarmPausedError: grpc.StatusCode.FAILED_PRECONDITION,
    FarmerDepartedError: grpc.StatusCode.FAILED_PRECONDITION,
    TransitionError: grpc.StatusCode.FAILED_PRECONDITION,
    AttendanceSupersededError: grpc.StatusCode.ABORTED,
    PeriodOpenError: grpc.StatusCode.FAILED_PRECONDITION,
    StatementError: grpc.StatusCode.INVALID_ARGUMENT,
    SponsorLowError: grpc.StatusCode.FAILED_PRECONDITION,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    DatabaseUnavailableError: grpc.StatusCode.UNAVAILABLE,
    QuarantinedError: grpc.StatusCode.UNAVAILABLE,
    PoolerSilentError: grpc.StatusCode.UNAVAILABLE,
    BooksViolatedError: grpc.StatusCode.UNAVAILABLE,
    LedgerUnavailableError: grpc.StatusCode.UNAVAILABLE,
    SignerUnavailableError: grpc.StatusCode.UNAVAILABLE,
    VaultError: grpc.StatusCode.INTERNAL,
    KeyFileError: grpc.StatusCode.INTERNAL,
    KeyDeviceError: grpc.StatusCode.INTERNAL,
    KeyMissingError: grpc.StatusCode.INTERNAL,
    SealedSeedError: grpc.StatusCode.INTERNAL,
    SignerRulesError: grpc.StatusCode.INTERNAL,
    PolicyRefusedError: grpc.StatusCode.INTERNAL,
    BackupError: grpc.StatusCode.INTERNAL,
    HeadFileError: grpc.StatusCode.INTERNAL,
    LeaseError: grpc.StatusCode.UNAVAILABLE,
    LeaseHeldError: grpc.StatusCode.UNAVAILABLE,
    LeaseLostError: grpc.StatusCode.UNAVAILABLE,
    StoreConflictError: grpc.StatusCode.ABORTED,
    DatabaseRoleError: grpc.StatusCode.INTERNAL,
    MigrationError: grpc.StatusCode.INTERNAL,
}

HTTP_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
}
"""The HTTP statuses that google.rpc.Code names for these."""


def status_of(error: BackendError) -> grpc.StatusCode:
    """The gRPC status of an error."""
    return STATUS[type(error)]
