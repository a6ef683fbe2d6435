"""Every method and route there is has a rule, and is refused without a token unless that rule says otherwise."""

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import grpc
import grpc.aio
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from backend.api.access import METHODS, ROUTES, logged
from backend.api.farmer_routes import FarmerRoutes
from backend.api.http import http_application
from backend.api.observing import ObservingRoutes
from backend.api.server import GrpcServer
from backend.api.wallet_http import wallet_routes
from backend.domain.access import PUBLIC, WHOEVER, Role, Scope, digest_of, new_token
from backend.domain.access import SCOPES_OF as SCOPES
from backend.domain.rate import Rate
from backend.errors import UnauthenticatedError
from backend.services.door import Caller, Door
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc
from tests.fixtures.edge import NO_STORES, NOTHING, servicers
from tests.fixtures.tokens import MemoryTokens

FARMER = uuid4()
GENEROUS = Rate(per_second=1000, burst=1000)


@pytest.fixture
def tokens() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def door(tokens: MemoryTokens, clock: list[float]) -> Door:
    return Door(tokens, required=True, rate=GENEROUS, clock=lambda: clock[0])


@pytest.fixture
async def channel(door: Door) -> AsyncIterator[grpc.aio.Channel]:
    server = GrpcServer("127.0.0.1", 0, servicers(), door)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened
    await server.stop(0)


async def reflected(channel: grpc.aio.Channel, token: str) -> dict[str, descriptor_pb2.MethodDescriptorProto]:
    """Every method the server says it has, by full name."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
    stream = stub.ServerReflectionInfo(metadata=[("authorization", f"Bearer {token}")])

    async def ask(**question: str) -> Any:
        await stream.write(reflection_pb2.ServerReflectionRequest(**question))
        return await stream.read()

    methods = {}
    for service in (await ask(list_services="")).list_services_response.service:
        answer = await ask(file_containing_symbol=service.name)
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            for one in file.service:
                if f"{file.package}.{one.name}" == service.name:
                    methods |= {f"/{service.name}/{method.name}": method for method in one.method}
    await stream.done_writing()
    return methods


async def call(channel: grpc.aio.Channel, name: str, method: Any, token: str | None, request: bytes = b"") -> Any:
    """Calls any method with raw bytes; its status."""
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    kind = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
    opened = getattr(channel, "_".join(kind))(name)
    argument = iter([request]) if method.client_streaming else request
    running = opened(argument, metadata=metadata, timeout=10)
    if method.server_streaming:
        try:
            await running.read()
        except grpc.aio.AioRpcError as error:
            return error.code()
        running.cancel()
        return grpc.StatusCode.OK
    return await running.code()


async def test_every_method_has_a_rule_and_is_refused_without_a_token(
    channel: grpc.aio.Channel, tokens: MemoryTokens
) -> None:
    methods = await reflected(channel, tokens.add(SCOPES[Role.OPERATOR]))
    assert set(methods) == set(METHODS)
    for name, method in methods.items():
        code = await call(channel, name, method, None)
        expected = METHODS[name] != PUBLIC
        assert (code is grpc.StatusCode.UNAUTHENTICATED) == expected, (name, code)


async def test_every_method_refuses_a_token_without_its_scope(channel: grpc.aio.Channel, tokens: MemoryTokens) -> None:
    methods = await reflected(channel, tokens.add(SCOPES[Role.OPERATOR]))
    for name, rule in METHODS.items():
        if rule != PUBLIC:
            poor = tokens.add(frozenset(Scope) - {cast("Scope", rule.scope)})
            code = await call(channel, name, methods[name], poor)
            assert code is grpc.StatusCode.PERMISSION_DENIED, (name, code)


async def test_farmers_token_reaches_its_own_farmer_alone(channel: grpc.aio.Channel, tokens: MemoryTokens) -> None:
    token = tokens.add(SCOPES[Role.FARMER], FARMER)
    stub: farmers_pb2_grpc.FarmerServiceAsyncStub = farmers_pb2_grpc.FarmerServiceStub(channel)
    codes = []
    for farmer_id in (FARMER, uuid4()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetFarmer(
                farmers_pb2.GetFarmerRequest(farmer_id=str(farmer_id)), metadata=[("authorization", f"Bearer {token}")]
            )
        codes.append(caught.value.code())
    assert codes == [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED]


async def test_every_method_of_one_farmer_reads_the_farmer_from_a_field_that_exists() -> None:
    for name, rule in METHODS.items():
        if rule.farmer in ("", WHOEVER):
            continue
        service, method = name.lstrip("/").split("/")
        descriptor: Any = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method]  # type: ignore[no-untyped-call]
        *parents, leaf = rule.farmer.split(".")
        message = descriptor.input_type
        for parent in parents:
            message = message.fields_by_name[parent].message_type
        assert leaf in message.fields_by_name, name


@pytest.mark.parametrize(
    "authorization",
    ["Basic abc", "Bearer", "Bearer kale_short", pytest.param(f"Bearer {new_token()}", id="unknown"), "Bearer \u00e9"],
)
async def test_bad_token_is_refused_and_not_repeated(door: Door, authorization: str) -> None:
    client = await http_client(door)
    async with client:
        answer = await client.post("/api/blocks/new", headers={"Authorization": authorization}, json={})
        text = await answer.text()
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert authorization == "Bearer" or authorization.partition(" ")[2] not in text


def application_behind(door: Door) -> web.Application:
    observing = ObservingRoutes(cast("Any", SimpleNamespace(components=())), NOTHING, NOTHING)
    application = http_application(NOTHING, NOTHING, NOTHING, FarmerRoutes(NOTHING, NOTHING), door)
    application.add_routes([*wallet_routes(NO_STORES, NOTHING), *observing.routes()])
    return application


async def http_client(door: Door) -> TestClient[web.Request, web.Application]:
    return TestClient(TestServer(application_behind(door), host="127.0.0.1"))


async def test_every_route_has_a_rule_and_is_refused_without_a_token(door: Door) -> None:
    client = await http_client(door)
    found = set()
    async with client:
        application = cast("TestServer", client.server).app
        for route in application.router.routes():
            assert route.resource is not None
            if route.method == "HEAD":
                continue
            key = (route.method, route.resource.canonical)
            found.add(key)
            answer = await client.request(route.method, re.sub(r"\{\w+\}", str(FARMER), route.resource.canonical))
            assert (answer.status == 401) == (ROUTES[key] != PUBLIC), key
        assert found == set(ROUTES)
        assert (await client.get("/api/none")).status == 404


async def test_unlisted_route_is_refused_even_to_an_operator(door: Door, tokens: MemoryTokens) -> None:
    application = application_behind(door)

    async def secret(_request: web.Request) -> web.Response:
        return web.Response(text="secret")

    application.router.add_get("/api/forgotten", secret)
    token = tokens.add(SCOPES[Role.OPERATOR])
    async with TestClient(TestServer(application, host="127.0.0.1")) as client:
        answer = await client.get("/api/forgotten", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 403
        assert "secret" not in await answer.text()


async def test_revoked_token_is_refused_a_second_later(door: Door, tokens: MemoryTokens, clock: list[float]) -> None:
    token = tokens.add(SCOPES[Role.POOLER])
    headers = {"Authorization": f"Bearer {token}"}
    async with await http_client(door) as client:
        assert (await client.post("/api/blocks/new", headers=headers, json={})).status == 400
        tokens.revoke_text(token)
        clock[0] += 1
        assert (await client.post("/api/blocks/new", headers=headers, json={})).status == 401


async def test_known_token_is_good_for_a_while_when_the_database_is_away(
    door: Door, tokens: MemoryTokens, clock: list[float]
) -> None:
    known, other = (tokens.add(SCOPES[Role.POOLER]) for _ in range(2))

    async def status(client: TestClient[web.Request, web.Application], token: str) -> int:
        answer = await client.post("/api/blocks/new", headers={"Authorization": f"Bearer {token}"}, json={})
        return answer.status

    async with await http_client(door) as client:
        assert await status(client, known) == 400
        tokens.away = True
        clock[0] += 200
        assert [await status(client, token) for token in (known, other)] == [400, 503]
        clock[0] += 200
        assert await status(client, known) == 503


async def test_stream_ends_when_its_token_is_revoked_and_not_when_the_database_is_away(
    door: Door, tokens: MemoryTokens, clock: list[float]
) -> None:
    token = tokens.add(SCOPES[Role.POOLER])
    caller = Caller("127.0.0.1", f"Bearer {token}")
    assert await door.admit(METHODS["/kalepool.v1.PoolService/Plant"], caller, None) is not None
    tokens.away = True
    clock[0] += 1000
    await door.recheck(caller)
    tokens.away = False
    tokens.revoke_text(token)
    with pytest.raises(UnauthenticatedError):
        await door.recheck(caller)


async def test_log_names_the_caller(tokens: MemoryTokens) -> None:
    text = tokens.add(SCOPES[Role.OPERATOR])
    digest = digest_of(text)
    assert digest is not None
    stored = await tokens.find(digest)
    assert stored is not None
    with (
        logged(stored.principal),
        structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines,
    ):
        structlog.get_logger().info("settings changed")
    assert lines[0]["caller"] == str(stored.token_id)
    assert text not in str(lines)


async def test_fast_client_is_told_when_to_come_back_and_others_are_served(tokens: MemoryTokens) -> None:
    door = Door(tokens, required=True, rate=Rate(per_second=0.5, burst=2), clock=lambda: 0.0)
    fast, other = (tokens.add(SCOPES[Role.POOLER]) for _ in range(2))
    async with await http_client(door) as client:
        answers = [
            await client.post("/api/blocks/new", headers={"Authorization": f"Bearer {token}"}, json={})
            for token in (fast, fast, fast, other)
        ]
        assert (await answers[2].json())["error"] == "RATE_LIMITED"
    assert [answer.status for answer in answers] == [400, 400, 429, 400]
    assert answers[2].headers["Retry-After"] == "2"


async def test_fast_grpc_client_is_told_when_to_come_back(tokens: MemoryTokens) -> None:
    door = Door(tokens, required=False, rate=Rate(per_second=0.5, burst=1), clock=lambda: 0.0)
    server = GrpcServer("127.0.0.1", 0, servicers(), door)
    await server.start()
    codes: list[grpc.StatusCode] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        stub: farmers_pb2_grpc.FarmerServiceAsyncStub = farmers_pb2_grpc.FarmerServiceStub(opened)
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetFarmer(farmers_pb2.GetFarmerRequest(farmer_id=str(FARMER)))
            codes.append(caught.value.code())
    await server.stop(0)
    assert codes == [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED]
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


async def test_guesses_of_tokens_are_slowed_by_address(tokens: MemoryTokens) -> None:
    door = Door(tokens, required=True, rate=Rate(per_second=1, burst=3), clock=lambda: 0.0)
    async with await http_client(door) as client:
        statuses = [
            (await client.post("/api/blocks/new", headers={"Authorization": f"Bearer {new_token()}"})).status
            for _ in range(5)
        ]
    assert statuses == [401, 401, 401, 429, 429]
    assert tokens.looked_up == 3


async def test_large_body_is_refused(door: Door, tokens: MemoryTokens) -> None:
    headers = {"Authorization": f"Bearer {tokens.add(SCOPES[Role.POOLER])}"}
    async with await http_client(door) as client:
        answer = await client.post("/api/blocks/new", headers=headers, data=b" " * 70_000)
        assert answer.status == 413
