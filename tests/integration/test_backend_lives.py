"""Lives of pails on a ledger with short ones: alarms, extensions, sweeps, and what is lost in the end."""

import asyncio

import pytest

from backend.db.attempts import SqlAttemptStore
from backend.db.database import Database
from backend.db.harvests import SqlHarvestStore
from backend.domain.failure import Failure, FailureReason
from backend.domain.settlement import HarvestClosed
from devnet.faults import Action, Fault
from kalepool.v1 import farmers_pb2, pool_pb2, status_pb2
from tests.fixtures.backend import Pool, StartBackend, World
from tests.fixtures.stores import Query

DEPOSIT = 100 * 10_000_000
STAKE = DEPOSIT // 10
LIFE = 200
"""Ledgers that a pail lives: three blocks and a bit."""


async def shorten_lives(world: World, ledgers: int) -> None:
    """Entries made from now on live so long."""
    await world.devnet.ledger.call(lambda client: client.engine.set_min_temporary_ttl(ledgers))


async def planted(pool: Pool, count: int, *, blocks: int = 1) -> tuple[int, list[farmers_pb2.Farmer]]:
    """A block with so many farmers planted."""
    farmers = await pool.onboard(count, stroops=DEPOSIT, blocks=blocks)
    block = await pool.open_block()
    request = pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block)
    _, summary = await pool.plant(request)
    assert summary.planted == count
    return block, farmers


async def worked(pool: Pool, block: int, farmers: list[farmers_pb2.Farmer]) -> bool:
    """Whether every pail has an accepted work."""
    pails = await pool.world.farm.pails([(farmer.wallet_address, block) for farmer in farmers])
    return len(pails) == len(farmers) and all(entry.pail.worked for entry in pails.values())


async def ends(pool: Pool, block: int, farmers: list[farmers_pb2.Farmer]) -> list[int]:
    """The last ledgers of the block and of the pails."""
    _, blocks = await pool.world.farm.dated_blocks([block])
    pails = await pool.world.farm.pails([(farmer.wallet_address, block) for farmer in farmers])
    return [entry.live_until for entry in (*blocks.values(), *pails.values())]


async def harvested(pool: Pool, farmers: list[farmers_pb2.Farmer]) -> bool:
    """Whether every farmer has earned something, and has no stake open or lost."""
    now = [await pool.farmer(farmer.farmer_id) for farmer in farmers]
    return all(one.earned_stroops and not one.open_stake_stroops and not one.lost_stake_stroops for one in now)


async def recorded(query: Query, *kinds: str) -> list[tuple[object, ...]]:
    """Events of these types and the percent in them, in order."""
    names = ", ".join(f"'{kind}'" for kind in kinds)
    return await asyncio.to_thread(
        query,
        f"SELECT event_type, data ->> 'percent', data ->> 'pails' FROM block_events "  # noqa: S608  (our own names)
        f"WHERE event_type IN ({names}) ORDER BY id",
    )


async def harvest_component(pool: Pool) -> str | None:
    """What the status says of unharvested pails."""
    status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
    return next((one.detail for one in status.components if one.name == "harvests"), None)


async def test_lives_are_extended_while_nobody_opens_the_next_block(pool: Pool, query: Query) -> None:
    await shorten_lives(pool.world, LIFE)
    block, farmers = await planted(pool, 2)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
    before = await ends(pool, block, farmers)
    assert await harvest_component(pool) in (None, "")

    async def extended() -> bool:
        return min(await ends(pool, block, farmers)) > max(before)

    await pool.until(extended, ledgers=LIFE)
    last = await pool.world.rpc.latest_ledger()
    assert last.sequence < min(before) - LIFE // 4, "the last quarter of the life was reached"
    await pool.advance(LIFE // 2)  # beyond the life the pails were born with
    await pool.world.plant_as_stranger(block + 1)
    await pool.until(lambda: harvested(pool, farmers), ledgers=10)
    events = await recorded(query, "life_alarm", "life_extended")
    assert events == [("life_alarm", "25", "2"), ("life_alarm", "50", "2"), ("life_extended", None, "2")]


async def test_alarms_are_raised_while_nothing_can_be_sent_and_the_pails_are_saved_in_time(
    pool: Pool, query: Query
) -> None:
    await shorten_lives(pool.world, LIFE)
    block, farmers = await planted(pool, 2)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 1)
    pool.world.devnet.faults.add(Fault(Action.STATUS, "sendTransaction", count=None))
    (end, *_) = sorted(await ends(pool, block, farmers))

    async def alarmed() -> bool:
        return ("life_alarm", "75", "2") in await recorded(query, "life_alarm")

    await pool.until(alarmed, ledgers=LIFE)
    assert await recorded(query, "life_alarm", "life_extended") == [
        ("life_alarm", "25", "2"),
        ("life_alarm", "50", "2"),
        ("life_alarm", "75", "2"),
    ]

    async def said() -> bool:
        detail = "2 unharvested pails with stakes of 20 KALE have used up to 75 % of their lives"
        return await harvest_component(pool) == detail

    await pool.eventually(said)
    pool.world.devnet.faults.clear()
    await pool.until(lambda: harvested(pool, farmers), ledgers=LIFE // 4)
    assert (await pool.world.rpc.latest_ledger()).sequence <= end

    async def calm() -> bool:
        return await harvest_component(pool) is None

    await pool.until(calm, ledgers=5)


@pytest.mark.parametrize("lost", [True, False])
async def test_harvest_closed_wrongly_is_pending_again_after_a_start(
    start_backend: StartBackend, application_url: str, query: Query, *, lost: bool
) -> None:
    async with start_backend() as pool:
        block, farmers = await planted(pool, 2)
        await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
    await close_wrongly(application_url, lost=lost)
    async with start_backend() as pool:
        await pool.open_block()
        await pool.world.plant_as_stranger(block + 1)
        await pool.until(lambda: harvested(pool, farmers), ledgers=10)
    assert await recorded(query, "harvest_reopened") == [("harvest_reopened", None, None)] * 2


async def test_harvest_closed_wrongly_is_pending_again_within_an_hour(
    pool: Pool, application_url: str, query: Query
) -> None:
    await shorten_lives(pool.world, 2_000)
    block, farmers = await planted(pool, 2)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
    await close_wrongly(application_url, lost=True)
    await pool.advance(300)
    assert await recorded(query, "harvest_reopened") == []
    for _ in range(5):
        await pool.advance(100)

    async def reopened() -> bool:
        return len(await recorded(query, "harvest_reopened")) == 2

    await pool.eventually(reopened)
    await pool.world.plant_as_stranger(block + 1)
    await pool.until(lambda: harvested(pool, farmers), ledgers=10)


async def close_wrongly(application_url: str, *, lost: bool) -> None:
    """Has the rows say that the pails are gone, as the first backend to hold the lease would."""
    database = Database(application_url, max_connections=2)
    database.fence = 1
    wrong = Failure(FailureReason.EXPIRED, "as a wrong answer had it")
    closed = [HarvestClosed(pail.harvest_id, lost, wrong) for pail in await SqlHarvestStore(database).open_pails()]
    await SqlAttemptStore(database).apply(closed)
    await database.close()


async def test_pails_of_a_removed_block_are_lost_and_said_so_at_once(pool: Pool, query: Query) -> None:
    block, farmers = await planted(pool, 2, blocks=2)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 1)
    await pool.world.expire(block)
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 2)

    async def lost() -> bool:
        now = [await pool.farmer(farmer.farmer_id) for farmer in farmers]
        return all(one.lost_stake_stroops == STAKE for one in now)

    await pool.until(lost, ledgers=10)
    rows = await asyncio.to_thread(query, "SELECT DISTINCT error_message FROM harvest_transactions")
    assert rows == [("the farm's owner removed the block; the stake is lost",)]
    assert await asyncio.to_thread(query, "SELECT count(*) FROM attempts WHERE kind = 'extension'") == [(0,)]
