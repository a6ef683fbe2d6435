"""The protocol's edges: peers of other versions, readers that do not read, messages that are none."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from backend.api import answering
from backend.api.answering import answered
from backend.api.handlers import Methods
from backend.api.limits import MAX_MESSAGE_BYTES, SERVER_OPTIONS
from kalepool.v1 import common_pb2, pool_pb2
from pooler.link.messages import acknowledgement, notice, plant_message
from pooler.ports import PlantedEvent, PlantFailedEvent
from tests.fixtures.backend import PATIENCE_SECONDS, Pool
from tests.fixtures.grpc_errors import reason_of

FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
PLANT = "/kalepool.v1.PoolService/Plant"
REPORT_WORK = "/kalepool.v1.PoolService/ReportWork"
ATTEND = "/kalepool.v1.PoolService/Attend"
FUTURE_FIELD, FUTURE_VALUE = 1999, 977


def files() -> list[descriptor_pb2.FileDescriptorProto]:
    """Copies of the protocol's files, those they depend on first."""
    copies = []
    for module in (common_pb2, pool_pb2):
        copy = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(copy)
        copies.append(copy)
    return copies


def newer() -> list[descriptor_pb2.FileDescriptorProto]:
    """The protocol of a later version: another field in every message, another value in every enumeration."""
    copies = files()
    for copy in copies:
        for message in copy.message_type:
            kind = descriptor_pb2.FieldDescriptorProto
            message.field.add(name="later", number=FUTURE_FIELD, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
        for enumeration in copy.enum_type:
            enumeration.value.add(name=f"{enumeration.name.upper()}_LATER", number=FUTURE_VALUE)
    return copies


def older() -> list[descriptor_pb2.FileDescriptorProto]:
    """The protocol before leases: no attendance, no generation."""
    copies = files()
    pool = copies[1]
    for message in pool.message_type:
        if message.name == "PlantEvent":
            kept = [field for field in message.field if field.name != "lease_generation"]
            del message.field[:]
            message.field.extend(kept)
    methods = [method for method in pool.service[0].method if method.name != "Attend"]
    del pool.service[0].method[:]
    pool.service[0].method.extend(methods)
    return copies


class Copy:
    """Messages of a copy of the protocol, apart from ours."""

    def __init__(self, copies: list[descriptor_pb2.FileDescriptorProto]) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for copy in copies:
            self._pool.Add(copy)  # type: ignore[attr-defined]

    def of(self, name: str) -> type[Any]:
        """A message's class."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"kalepool.v1.{name}"))


def as_ours(message: Message, kind: type[Any]) -> Any:
    """What we read of a message of another version."""
    return kind.FromString(message.SerializeToString())


def test_pooler_understands_a_newer_backend() -> None:
    copy = Copy(newer())
    failed = copy.of("PlantResponse")()
    failed.event.number = 7
    failed.event.farmer_id = "f"
    failed.event.wallet_address = FARMER
    failed.event.failed.reason = FUTURE_VALUE
    failed.event.failed.message = "something new"
    failed.event.later = "x"
    read = plant_message(as_ours(failed, pool_pb2.PlantResponse))
    assert read == PlantFailedEvent(7, "f", f"REASON_{FUTURE_VALUE}", "something new")
    answer = copy.of("ReportWorkResponse")(report_id="r", state=FUTURE_VALUE, later="x")
    assert acknowledgement(as_ours(answer, pool_pb2.ReportWorkResponse)).refused is None
    unknown = copy.of("AttendResponse")(number=3, ledger_sequence=9, later="x")
    assert notice(as_ours(unknown, pool_pb2.AttendResponse)).number == 3


def test_pooler_understands_an_older_backend() -> None:
    planted = Copy(older()).of("PlantResponse")()
    planted.event.number = 1
    planted.event.block_index = 5
    planted.event.farmer_id = "f"
    planted.event.wallet_address = FARMER
    planted.event.planted.ledger_sequence = 9
    read = plant_message(as_ours(planted, pool_pb2.PlantResponse))
    assert isinstance(read, PlantedEvent)
    assert read.assignment.generation == 1


@pytest.mark.parametrize("version", [newer, older])
async def test_backend_serves_poolers_of_other_versions(pool: Pool, version: Any) -> None:
    copy = Copy(version())
    await pool.onboard(1)
    block = await pool.open_block()
    request = copy.of("PlantRequest")(request_id="r", pooler_id="p", block_index=block)
    if version is newer:
        request.later = "x"
    answer = copy.of("PlantResponse")
    call = pool.channel.unary_stream(
        PLANT, request_serializer=lambda message: message.SerializeToString(), response_deserializer=answer.FromString
    )

    async def read() -> list[Any]:
        return [response async for response in call(request)]

    planted, summary = await pool.while_advancing(read())
    assert (planted.event.block_index, summary.summary.planted) == (block, 1)
    report = copy.of("ReportWorkRequest")(report_id="w", pooler_id="p", block_index=block)
    report.farmer_id = planted.event.farmer_id
    report.failed.reason = FUTURE_VALUE if version is newer else 12
    acknowledged = await reported(pool, report.SerializeToString())
    assert acknowledged.state == pool_pb2.REPORT_STATE_STORED


async def reported(pool: Pool, message: bytes) -> pool_pb2.ReportWorkResponse:
    """The acknowledgement of a report given as bytes."""
    call = pool.channel.stream_stream(REPORT_WORK, response_deserializer=pool_pb2.ReportWorkResponse.FromString)()
    await call.write(message)
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await call.read()
    call.cancel()
    assert isinstance(answer, pool_pb2.ReportWorkResponse)
    return answer


async def test_malformed_and_oversized_messages_are_refused_and_the_backend_goes_on(pool: Pool) -> None:
    """The same ten thousand times runs as benches/protocol_load.py."""
    random = [secrets.token_bytes(length) for length in (1, 7, 100, 5_000) for _ in range(10)]
    codes = set()
    for message in [*random, bytes(MAX_MESSAGE_BYTES + 1)]:
        for method in (PLANT, ATTEND):
            call = pool.channel.stream_stream(method)()
            try:
                await call.write(message)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while await call.read() is not grpc.aio.EOF:
                        pass
            except grpc.aio.AioRpcError as error:
                codes.add(error.code())
    assert codes == {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,  # longer than a message may be, by gRPC itself
    }
    assert await pool.caught_up()


async def read_to_the_end(call: Any) -> None:
    """Reads a stream until it ends; raises what it ended with."""
    while await call.read() is not grpc.aio.EOF:
        pass


class Flood(grpc.GenericRpcHandler):
    """A stream that never ends, of messages as long as may be.

    Attributes:
        given_up: Set once the server sends no more.
    """

    def __init__(self) -> None:
        self.given_up = asyncio.Event()

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        async def flood(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(MAX_MESSAGE_BYTES)
            finally:
                self.given_up.set()

        return grpc.unary_stream_rpc_method_handler(flood)


@asynccontextmanager
async def flooding(flood: Flood) -> AsyncIterator[str]:
    """A server that sends more than anybody reads."""
    methods = Methods((answered,))
    methods.add_generic_rpc_handlers((flood,))
    server = grpc.aio.server(handlers=(methods,), options=SERVER_OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_reader_that_does_not_read_is_cut_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "STALL_SECONDS", 0.2)
    flood = Flood()
    async with flooding(flood) as address, grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_stream(PLANT)(b"")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await call.read()
            await flood.given_up.wait()
            with pytest.raises(grpc.aio.AioRpcError) as cut:
                await read_to_the_end(call)
    assert (cut.value.code(), reason_of(cut.value)) == (grpc.StatusCode.UNAVAILABLE, "SLOW_READER")
