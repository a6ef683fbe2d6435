"""Status, health, reflection and the plan's JSON routes of a running backend."""

import asyncio
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from devnet.faults import Action, Fault
from kale_chain.hashing import work_hash
from kalepool.v1 import pool_pb2, status_pb2
from tests.fixtures.backend import Pool, World

UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def call(pool: Pool, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an HTTP route."""
    url = f"http://127.0.0.1:{pool.backend.http_port}{path}"
    method = "GET" if body is None else "POST"
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as answer:
        return answer.status, await answer.json()


async def test_plan_routes_farm_a_block(pool: Pool) -> None:
    first, second = await pool.onboard(2, stroops=10_000_000)
    block = await pool.open_block()
    assert await call(pool, "/api/blocks/new", {"blockIndex": block}) == (
        200,
        {"success": True, "blockIndex": block, "recorded": True},
    )
    planting = call(pool, "/api/plant/request", {"blockIndex": block, "requestedFarmers": 10})
    status, answer = await pool.while_advancing(planting)
    assert (status, answer["success"], answer["blockIndex"], answer["failed"]) == (200, True, block, [])
    by_id = {one["farmerId"]: one for one in answer["planted"]}
    assert by_id.keys() == {first.farmer_id, second.farmer_id}
    assert by_id[first.farmer_id]["walletAddress"] == first.wallet_address
    assert by_id[first.farmer_id]["stakeAmount"] == "1000000"
    record = await pool.world.farm.block(block)
    assert record is not None
    results = [
        {
            "farmerId": first.farmer_id,
            "success": True,
            "workHash": work_hash(block, 5, record.entropy, first.wallet_address).hex(),
            "nonce": "5",
        },
        {"farmerId": second.farmer_id, "success": False, "error": "timeout"},
    ]
    report = {"blockIndex": block, "results": results}
    assert await call(pool, "/api/work/complete", report) == (
        200,
        {"success": True, "message": "Work results recorded", "refused": []},
    )
    assert (await call(pool, "/api/work/complete", report))[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/api/plant/request", {}, 400, "INVALID_REQUEST"),
        ("/api/plant/request", [], 400, "INVALID_REQUEST"),
        ("/api/plant/request", {"blockIndex": "1"}, 400, "INVALID_REQUEST"),
        ("/api/plant/request", {"blockIndex": True}, 400, "INVALID_REQUEST"),
        ("/api/plant/request", {"blockIndex": 4_000_000}, 400, "BLOCK_NOT_DUE"),
        ("/api/blocks/new", {"blockIndex": -1}, 400, "INVALID_REQUEST"),
        ("/api/work/complete", {"blockIndex": 1, "results": [1]}, 400, "INVALID_REQUEST"),
        ("/api/work/complete", {"blockIndex": 1, "results": {}}, 400, "INVALID_REQUEST"),
        (
            "/api/work/complete",
            {"blockIndex": 1, "results": [{"farmerId": UNKNOWN, "success": True, "workHash": "xy"}]},
            400,
            "INVALID_REQUEST",
        ),
        ("/api/nothing", {}, 404, "NOT_FOUND"),
    ],
)
async def test_bad_json_request_says_what_is_wrong(pool: Pool, path: str, body: Any, status: int, error: str) -> None:
    got, answer = await call(pool, path, body)
    assert (got, answer["success"], answer["error"]) == (status, False, error)
    assert answer["message"]


async def test_refused_results_are_named(pool: Pool) -> None:
    result = {"farmerId": UNKNOWN, "success": True, "workHash": "00" * 32, "nonce": "1"}
    status, answer = await call(pool, "/api/work/complete", {"blockIndex": 0, "results": [result]})
    assert (status, answer["success"]) == (400, False)
    assert [(one["farmerId"], one["error"]) for one in answer["refused"]] == [(UNKNOWN, "farmer_unknown")]


async def test_health_says_what_is_connected(pool: Pool) -> None:
    await pool.onboard(2)
    assert await call(pool, "/api/health") == (
        200,
        {"status": "healthy", "database": "connected", "stellar": "connected", "activeFarmers": 2},
    )


async def health(pool: Pool, service: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    """What the health service says."""
    stub = health_pb2_grpc.HealthStub(pool.channel)  # type: ignore[no-untyped-call]
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_health_and_status_follow_the_ledger(pool: Pool, world: World) -> None:
    await pool.onboard(1)
    block = await pool.open_block()
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert await health(pool, "kalepool.v1.PoolService") == serving
    world.devnet.faults.add(Fault(Action.STATUS, count=None))

    async def down() -> bool:
        return await health(pool, "kalepool.v1.PoolService") == not_serving

    await pool.eventually(down)
    assert await health(pool, "kalepool.v1.StatusService") == serving
    status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
    assert status.health == status_pb2.HEALTH_DOWN
    assert {part.name: part.health for part in status.components} == {
        "database": status_pb2.HEALTH_UP,
        "stellar": status_pb2.HEALTH_DOWN,
        "master account": status_pb2.HEALTH_UP,
    }
    assert (await call(pool, "/api/health"))[0] == 503
    request = pool_pb2.PlantRequest(request_id="r", pooler_id="p", block_index=block)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool.pool.Plant(request).read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    world.devnet.faults.clear()

    async def up() -> bool:
        return await health(pool, "kalepool.v1.PoolService") == serving

    await pool.eventually(up)


async def test_status_is_sent_again_at_every_closed_ledger(pool: Pool) -> None:
    await pool.caught_up()
    stream = pool.status.WatchStatus(status_pb2.WatchStatusRequest())
    first = (await stream.read()).status  # type: ignore[union-attr]
    await pool.world.devnet.advance(1)
    async with asyncio.timeout(30):
        while (await stream.read()).status.chain.ledger_sequence <= first.chain.ledger_sequence:  # type: ignore[union-attr]
            pass
    stream.cancel()


async def test_reflection_lists_and_describes_the_services(pool: Pool) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(pool.channel)  # type: ignore[no-untyped-call]

    async def asked(**question: str) -> Any:
        stream = stub.ServerReflectionInfo()
        await stream.write(reflection_pb2.ServerReflectionRequest(**question))
        answer = await stream.read()
        await stream.done_writing()
        return answer

    listed = {service.name for service in (await asked(list_services="")).list_services_response.service}
    assert listed >= {
        "kalepool.v1.PoolService",
        "kalepool.v1.FarmerService",
        "kalepool.v1.StatusService",
        "grpc.health.v1.Health",
    }
    described = await asked(file_containing_symbol="kalepool.v1.PoolService")
    file = descriptor_pb2.FileDescriptorProto.FromString(described.file_descriptor_response.file_descriptor_proto[0])
    assert {method.name for method in file.service[0].method} == {
        "Plant",
        "ReportWork",
        "ReportBlock",
        "Attend",
    }


async def test_message_beyond_64_kib_is_refused(pool: Pool) -> None:
    request = pool_pb2.PlantRequest(request_id="x" * 70_000, pooler_id="p", block_index=0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool.pool.Plant(request).read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
