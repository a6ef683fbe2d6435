"""A pooler's own listeners: status, health, reflection and the plan's route, as a client sees them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from kale_common.errors import ConfigError
from kalepool.v1 import status_pb2, status_pb2_grpc
from pooler.api.server import serving
from tests.fakes.pooler_world import FakeBackend, Rig, World


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    world = World()
    world.model.plant("neighbour", 0, world.ledger)
    async with Rig(world, FakeBackend(world, ["GA", "GB"]), tmp_path) as running:
        yield running


@pytest.fixture
async def ports(rig: Rig) -> AsyncIterator[tuple[int, int]]:
    async with serving(rig.assembly.overview, address="127.0.0.1", grpc_port=0, http_port=0) as bound:
        yield bound


@pytest.fixture
async def channel(ports: tuple[int, int]) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as opened:
        yield opened


async def searching(rig: Rig) -> None:
    await rig.until(lambda: bool(rig.world.plants))
    await rig.close()
    await rig.until(lambda: rig.engine.running == {"GA", "GB"})
    await rig.found("GA", [3])


async def test_the_status_says_what_goes_on(rig: Rig, channel: grpc.aio.Channel) -> None:
    await searching(rig)
    stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
    status = (await stub.GetStatus(status_pb2.GetStatusRequest())).status
    assert status.health == status_pb2.HEALTH_UP
    assert {component.name for component in status.components} == {"stellar", "backend"}
    assert status.chain.ledger_sequence == rig.world.ledger.sequence
    assert status.chain.block_opened_ledger_time == rig.world.model.blocks[0].timestamp
    pooler = status.pooler
    assert (pooler.pooler_id, pooler.phase, pooler.active_farmers, pooler.running_searches) == ("p", "searching", 2, 2)
    searches = {search.farmer_id: search for search in pooler.searches}
    assert searches["id-GA"].best_zeros == 3
    assert not searches["id-GA"].HasField("accepted_zeros")


async def test_the_status_works_while_parts_are_down(rig: Rig, channel: grpc.aio.Channel) -> None:
    rig.world.down, rig.backend.problem = True, "UNAVAILABLE: connection refused"
    stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
    status = (await stub.GetStatus(status_pb2.GetStatusRequest())).status
    assert status.health == status_pb2.HEALTH_DOWN
    details = {component.name: component.detail for component in status.components}
    assert details == {"stellar": "down", "backend": "UNAVAILABLE: connection refused"}


async def test_a_watcher_hears_of_every_ledger(rig: Rig, channel: grpc.aio.Channel) -> None:
    stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
    watch = stub.WatchStatus(status_pb2.WatchStatusRequest())
    async with asyncio.timeout(10):
        first = await watch.read()
        for number in (1, 2):
            await rig.close()
            while (answer := await watch.read()).status.chain.ledger_sequence < rig.world.ledger.sequence:
                pass
            assert answer.status.chain.ledger_sequence == first.status.chain.ledger_sequence + number
    watch.cancel()


async def test_health_and_reflection_are_there_without_files(channel: grpc.aio.Channel) -> None:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    listed = await call.read()
    assert {service.name for service in listed.list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "kalepool.v1.StatusService",
    }


async def test_the_plans_route_speaks_the_plans_words(rig: Rig, ports: tuple[int, int]) -> None:
    await searching(rig)
    url = f"http://127.0.0.1:{ports[1]}/pooler/status"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as answer:
            assert await answer.json() == {
                "status": "mining",
                "currentBlock": 0,
                "activeFarmers": 2,
                "workProcesses": 2,
                "machineLoad": 0.5,
            }
        rig.backend.problem = "down"
        async with session.get(url) as answer:
            assert (await answer.json())["status"] == "degraded"


@pytest.mark.parametrize("listener", ["PORT", "HTTP_PORT"])
async def test_a_port_in_use_is_told_by_its_variable(rig: Rig, ports: tuple[int, int], listener: str) -> None:
    grpc_port, http_port = (ports[0], 0) if listener == "PORT" else (0, ports[1])
    with pytest.raises(ConfigError) as caught:
        async with serving(rig.assembly.overview, address="127.0.0.1", grpc_port=grpc_port, http_port=http_port):
            pytest.fail("bound twice")
    assert caught.value.variable == listener
