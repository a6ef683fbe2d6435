"""A pooler that knows two backends over one database: when one is killed, the block is completed with the other."""

import asyncio
import socket
from pathlib import Path

from kalepool.v1 import pool_pb2
from pooler.domain.assignment import Assignment, Failure, Reason
from pooler.domain.report import Report
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from pooler.ports import PlantedEvent
from pooler.services.assigning import Assigning
from pooler.services.reporting import Reporting
from pooler.state.journal import SqliteJournal
from tests.fixtures.backend import PATIENCE_SECONDS, Pool, StartBackend
from tests.fixtures.stores import Query


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def nothing() -> None:
    """Ready at once."""


async def block_completed(pool: Pool, line: Line, directory: Path, block: int) -> list[Assignment]:
    """Takes every plant of a block through a pooler's own services and delivers a report on each."""
    taken: list[Assignment] = []
    backend = GrpcBackend(line, pooler_id="p", timeout=5)
    with SqliteJournal(directory, farm="farm", pooler_id="p") as journal:
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
            assigning = Assigning(backend, journal, farmers=0, take=taken.append, ready=nothing, tasks=tasks)
            assigning.ask(block)
            while assigning.asking:
                await pool.advance()
                await asyncio.sleep(0.05)
            reporting = Reporting(backend, journal)
            delivering = tasks.create_task(reporting.run())
            reports = [Report.of("p", assignment, Failure(Reason.TIMEOUT, "a test")) for assignment in taken]
            await reporting.report(reports)
            while await journal.unacknowledged_count():  # noqa: ASYNC110  (the journal has no event to wait for)
                await asyncio.sleep(0.02)
            delivering.cancel()
    return taken


async def test_pooler_goes_over_to_the_other_backend_and_completes_the_block(
    start_backend: StartBackend, tmp_path: Path, query: Query
) -> None:
    ports = free_port(), free_port()
    async with Line(",".join(f"http://127.0.0.1:{port}" for port in ports)) as line:
        async with start_backend(port=ports[0]) as first:
            await first.onboard(3)
            block = await first.open_block()
            stream = GrpcBackend(line, pooler_id="p", timeout=60).plant(block, farmers=0, resume_after=0)

            async def one() -> object:
                return await anext(stream)

            assert isinstance(await first.while_advancing(one()), PlantedEvent)
            await stream.aclose()
        async with start_backend(port=ports[1]) as second:
            taken = await block_completed(second, line, tmp_path / "journal", block)
            events, _ = await second.plant(
                pool_pb2.PlantRequest(request_id=f"p:{block}", pooler_id="p", block_index=block)
            )
    assert [one.farmer_id for one in taken] == [event.farmer_id for event in events]
    assert len(taken) == 3
    assert query("SELECT count(*) FROM plant_transactions") == [(3,)]
    assert query("SELECT count(*) FROM work_results") == [(3,)]
