"""A real pooler process on a real ledger with the real engine: faults of the RPC, and a kill in mid-block."""

import asyncio

import aiohttp
import grpc.aio
import pytest

from kale_chain.hashing import work_hash
from kale_chain.model import Pail
from kalepool.v1 import pool_pb2, status_pb2, status_pb2_grpc
from tests.fixtures.farmyard import Farmyard
from tests.fixtures.pool_service import PoolService
from tests.fixtures.pooler_command import SECONDS, Command

FARMERS = 2


class Field:
    """Planted farmers, the block they are in, and the pooler's settings."""

    def __init__(self, yard: Farmyard, service: PoolService, farmers: list[str], index: int, opened: int) -> None:
        self.yard = yard
        self.service = service
        self.farmers = farmers
        self.index = index
        self.opened = opened

    async def pails(self) -> list[Pail]:
        """The farmers' Pails."""
        found = await self.yard.reader.pails([(farmer, self.index) for farmer in self.farmers])
        return [found[farmer, self.index].pail for farmer in self.farmers]

    async def until(self, age: int, port: int) -> None:
        """Closes ledgers until the block's age, each seen by the pooler (at `port`) before the next."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(SECONDS):
            stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
            watch = stub.WatchStatus(status_pb2.WatchStatusRequest())
            while (last := await self.yard.rpc.latest_ledger()).close_time < self.opened + age:
                await self.yard.devnet.advance(1)
                while (await watch.read()).status.chain.ledger_sequence <= last.sequence:
                    pass
            watch.cancel()

    async def reported(self) -> dict[str, pool_pb2.ReportWorkRequest]:
        """The reports, once there is one of each farmer."""
        async with asyncio.timeout(SECONDS):
            while len(reports := {report.farmer_id: report for report in self.service.reports}) < len(self.farmers):
                self.service.changed.clear()
                await self.service.changed.wait()
        return reports


@pytest.fixture
async def field(farmyard: Farmyard, funded: Command, pool_service: PoolService) -> Field:
    farmers = await farmyard.onboard(FARMERS)
    index = await farmyard.next_block()
    landed = await farmyard.land(*[await farmyard.plant(farmer, 0, index) for farmer in farmers])
    events = [
        pool_pb2.PlantEvent(
            number=number,
            block_index=index,
            farmer_id=f"farmer-{number}",
            wallet_address=farmer.address,
            planted=pool_pb2.Planted(ledger_sequence=plant.ledger, transaction_hash=plant.hash),
        )
        for number, (farmer, plant) in enumerate(zip(farmers, landed, strict=True), 1)
    ]
    summary = pool_pb2.PlantSummary(block_index=index, planted=FARMERS, last_number=FARMERS)
    pool_service.plants = [pool_pb2.PlantResponse(event=event) for event in events]
    pool_service.plants.append(pool_pb2.PlantResponse(summary=summary))
    funded.env["BACKEND_API_URL"] = pool_service.url
    block = await farmyard.reader.block(index)
    assert block is not None
    return Field(farmyard, pool_service, [farmer.address for farmer in farmers], index, block.timestamp)


async def check_reports(field: Field) -> None:
    """Every report tells what the Pail holds, with a nonce that gives the hash."""
    block = await field.yard.reader.block(field.index)
    assert block is not None
    reports = await field.reported()
    for number, (farmer, pail) in enumerate(zip(field.farmers, await field.pails(), strict=True), 1):
        report = reports[f"farmer-{number}"]
        accepted = report.accepted
        assert report.WhichOneof("outcome") == "accepted", report
        assert (accepted.zeros, accepted.gap) == (pail.zeros, pail.gap)
        assert bytes.fromhex(accepted.work_hash) == work_hash(field.index, accepted.nonce, block.entropy, farmer)
        assert accepted.ledger_sequence == pail.sequence + accepted.gap


async def test_a_pooler_killed_in_mid_block_loses_nothing(field: Field, funded: Command) -> None:
    async with funded.running() as (process, ready):
        await field.until(225, ready["grpc_port"])
        insured = [pail.zeros for pail in await field.pails()]
        process.kill()
        await process.wait()
    assert None not in insured
    async with funded.running() as (_, ready):
        await field.until(290, ready["grpc_port"])
        await check_reports(field)
    for before, pail in zip(insured, await field.pails(), strict=True):
        assert before is not None
        assert pail.zeros is not None
        assert pail.zeros > before
        assert pail.gap == 57
    assert [block.block_index for block in field.service.blocks] == [field.index] * 2
    asked = {request.request_id for request in field.service.requests}
    # The next block is asked for a little before it can open.
    assert f"pooler:{field.index}" in asked
    assert asked <= {f"pooler:{field.index}", f"pooler:{field.index + 1}"}


@pytest.mark.parametrize("age", [215, 275])
async def test_an_rpc_that_fails_while_work_is_due_costs_no_work(field: Field, funded: Command, age: int) -> None:
    async with funded.running() as (_, ready):
        await field.until(age, ready["grpc_port"])
        faults = [
            {"method": "sendTransaction", "action": "drop", "count": 2},
            {"method": "getLedgerEntries", "action": "error", "count": 1},
            {"method": "getTransactions", "action": "error", "count": 1},
        ]
        async with aiohttp.ClientSession() as session:
            for fault in faults:
                async with session.post(f"{field.yard.devnet.url}/devnet/faults", json=fault) as answer:
                    assert answer.status == 200, await answer.text()
        await field.until(295, ready["grpc_port"])
        await check_reports(field)
