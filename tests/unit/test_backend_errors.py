"""Every error of the backend has its gRPC and HTTP status and its reason."""

from collections.abc import Iterator

import grpc

from backend.api.errors import HTTP_STATUS, STATUS
from backend.api.messages import failure_message, failure_of
from backend.domain.failure import Failure, FailureReason
from backend.errors import BackendError
from kalepool.v1 import common_pb2


def tree(root: type[BackendError]) -> Iterator[type[BackendError]]:
    """An error class and everything below it."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_status_table_names_every_error() -> None:
    assert set(STATUS) == set(tree(BackendError))


def test_every_grpc_status_has_an_http_status() -> None:
    assert set(STATUS.values()) <= set(HTTP_STATUS)


def test_unavailable_is_never_blamed_on_the_caller() -> None:
    unavailable = {kind for kind in STATUS if kind.reason.endswith("_UNAVAILABLE") and kind.reason != "KEY_UNAVAILABLE"}
    assert {STATUS[kind] for kind in unavailable} == {grpc.StatusCode.UNAVAILABLE}


def test_every_failure_reason_exists_in_the_protocol_and_comes_back() -> None:
    for reason in FailureReason:
        failure = Failure(reason, "text")
        assert failure_of(failure_message(failure)) == failure
    names = {name.removeprefix("FAILURE_REASON_") for name in common_pb2.FailureReason.DESCRIPTOR.values_by_name}
    assert names - {"UNSPECIFIED"} == {reason.name for reason in FailureReason}


def test_reason_of_a_newer_pooler_counts_as_internal() -> None:
    message = common_pb2.Failure(message="text")
    message.reason = 999  # type: ignore[assignment]
    assert failure_of(message).reason is FailureReason.INTERNAL
