"""A hundred harvests in one ledger, each in a transaction of its own over its own channel account."""

import asyncio

from kalepool.v1 import pool_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, StartBackend
from tests.fixtures.stores import Query

FARMERS = 110
IN_ONE_LEDGER = 100


async def test_hundred_harvests_land_in_one_ledger(start_backend: StartBackend, query: Query) -> None:
    async with start_backend(harvest_channels=120, db_max_connections=5) as pool:
        await pool.onboard(FARMERS)
        block = await pool.open_block()
        _, summary = await pool.plant(pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block))
        assert (summary.planted, summary.failed) == (FARMERS, 0)
        await pool.advance(BLOCK_LEDGERS // 2)

        async def count(kind: str) -> int:
            found = await asyncio.to_thread(
                query,
                "SELECT coalesce(max(n), 0), coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM attempts"  # noqa: S608
                f" WHERE kind = '{kind}' AND status = 'succeeded' GROUP BY result_ledger) AS ledgers",
            )
            most[kind] = int(found[0][0])
            return int(found[0][1])

        async def worked() -> bool:
            return await count("work") == FARMERS

        async def harvested() -> bool:
            return await count("harvest") == FARMERS

        async def queued() -> bool:
            ledger = pool.world.devnet.ledger
            return await ledger.call(lambda client: client.engine.queued()) >= IN_ONE_LEDGER

        most: dict[str, int] = {}
        await pool.until(worked, ledgers=30)
        assert await pool.open_block() == block + 1
        await pool.world.plant_as_stranger(block + 1)
        # The next ledger takes what was sent by then: on a slow machine not yet everything.
        await pool.eventually(queued)
        await pool.until(harvested, ledgers=8)
        assert most["harvest"] >= IN_ONE_LEDGER
