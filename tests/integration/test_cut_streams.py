"""Streams cut at every message's end and at random bytes: nothing is lost, and nothing comes or is stored twice."""

import asyncio
import random
from pathlib import Path

from kalepool.v1 import pool_pb2
from pooler.domain.assignment import Assignment, Failure, Reason
from pooler.domain.report import Report
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from pooler.services.assigning import Assigning
from pooler.services.reporting import Reporting
from pooler.state.journal import SqliteJournal
from tests.fixtures.backend import PATIENCE_SECONDS, Pool
from tests.fixtures.cutting import CuttingProxy, cutting
from tests.fixtures.stores import Query

FARMERS = 5
POOLER = "p"
SEED = 7


class Session:
    """A pooler's own services for plants and reports, over the proxy, from an empty journal.

    Attributes:
        taken: The plants it was told of, in order.
        received_with_plants: Bytes of the server's on the last connection once the last plant had come.
    """

    def __init__(self, proxy: CuttingProxy, directory: Path, block: int) -> None:
        self._proxy = proxy
        self._directory = directory
        self._block = block
        self.taken: list[Assignment] = []
        self.received_with_plants = 0

    async def run(self) -> None:
        """Takes every plant of the block and has a report on each acknowledged."""
        with SqliteJournal(self._directory, farm="farm", pooler_id=POOLER) as journal:
            async with (
                asyncio.timeout(PATIENCE_SECONDS),
                Line(f"http://127.0.0.1:{self._proxy.port}") as line,
                asyncio.TaskGroup() as tasks,
            ):
                backend = GrpcBackend(line, pooler_id=POOLER, timeout=5)
                assigning = Assigning(
                    backend, journal, farmers=0, take=self.taken.append, ready=self._ready, tasks=tasks
                )
                assigning.ask(self._block)
                while assigning.asking:  # noqa: ASYNC110  (the service has no event to wait for)
                    await asyncio.sleep(0.01)
                self.received_with_plants = len(self._proxy.received)
                reporting = Reporting(backend, journal)
                reporting_task = tasks.create_task(reporting.run())
                failure = Failure(Reason.TIMEOUT, "a test")
                await reporting.report([Report.of(POOLER, assignment, failure) for assignment in self.taken])
                while await journal.unacknowledged_count():  # noqa: ASYNC110  (likewise)
                    await asyncio.sleep(0.01)
                reporting_task.cancel()

    async def _ready(self) -> None:
        pass


async def test_nothing_is_lost_or_doubled_wherever_a_connection_is_cut(
    pool: Pool, tmp_path: Path, query: Query
) -> None:
    await pool.onboard(FARMERS)
    block = await pool.open_block()
    request = pool_pb2.PlantRequest(request_id=f"{POOLER}:{block}", pooler_id=POOLER, block_index=block)
    events, _ = await pool.plant(request)
    expected = [event.farmer_id for event in events]
    async with cutting(pool.backend.grpc_port) as proxy:
        whole = Session(proxy, tmp_path / "whole", block)
        await whole.run()
        assert [one.farmer_id for one in whole.taken] == expected
        ends, length = proxy.data_ends(), len(proxy.received)
        # The plants, the summary and the acknowledgements; several may share a frame.
        assert len(ends) >= FARMERS
        chosen = random.Random(SEED)
        offsets = sorted({*ends, *(end - 1 for end in ends), *(chosen.randrange(1, length) for _ in range(15))})
        cuts = 0
        for offset in offsets:
            proxy.cut_at = offset
            cut = Session(proxy, tmp_path / str(offset), block)
            await cut.run()
            # Reports answered together need fewer bytes than reports answered one by one, so that a session can be
            # over before a late offset; none is before its plants have come.
            assert proxy.cut_at is None or offset > whole.received_with_plants, f"not cut at byte {offset}"
            cuts += proxy.cut_at is None
            assert [one.farmer_id for one in cut.taken] == expected, f"cut at byte {offset}"
        assert cuts > sum(offset <= whole.received_with_plants for offset in offsets), "no cut among the reports"
    assert query("SELECT count(*), count(DISTINCT farmer_id) FROM work_results") == [(FARMERS, FARMERS)]
    assert query("SELECT count(*) FROM plant_transactions") == [(FARMERS,)]
    assert query("SELECT count(*) FROM block_events WHERE event_type = 'work_failed'") == [(FARMERS,)]
