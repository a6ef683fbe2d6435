"""EventStore's chain: gapless, in order, complete; and what is found when somebody changes the trail."""

import asyncio
from dataclasses import replace

import pytest

from backend.domain.audit import GENESIS, ChainHead, Link, verify
from backend.ports.stores import Stores
from tests.fixtures.rows import Rows
from tests.fixtures.stores import Query

BLOCK = 40


async def links(stores: Stores) -> list[Link]:
    return [link async for link in stores.events.links()]


async def test_empty_trail_has_an_empty_chain(stores: Stores) -> None:
    assert await stores.events.seal() == ChainHead(0, GENESIS)
    assert await links(stores) == []
    found = await verify(stores.events.links())
    assert (found.links, found.fault) == (0, None)


async def test_every_event_gets_a_link_in_order_without_gaps(stores: Stores, rows: Rows) -> None:
    await rows.planted(await rows.farmers(3), BLOCK)
    first = await stores.events.seal()
    await rows.planted(await rows.farmers(2), BLOCK + 1)
    head = await stores.events.seal()
    chain = await links(stores)
    assert [link.number for link in chain] == list(range(1, len(chain) + 1))
    assert (chain[first.number - 1].hash, chain[-1].hash) == (first.hash, head.hash)
    assert len({link.event_id for link in chain}) == len(chain) == head.number
    assert await stores.events.unsealed() == 0
    assert (await verify(stores.events.links(), first)).fault is None


async def test_sealing_at_the_same_time_loses_and_doubles_nothing(stores: Stores, rows: Rows) -> None:
    async def plant_and_seal(block: int) -> None:
        await rows.planted(await rows.farmers(8), block)
        await stores.events.seal()

    await asyncio.gather(*(plant_and_seal(block) for block in range(6)))
    head = await stores.events.seal()
    found = await verify(stores.events.links(), head)
    assert (found.fault, found.links) == (None, 6 * (1 + 8))


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("UPDATE block_events SET data = data || '{\"stake_amount\": 1}' WHERE id = 2", "number 2 (event 2)"),
        ("UPDATE block_events SET block_index = 41 WHERE id = 3", "number 3 (event 3)"),
        ("UPDATE block_events SET created_at = created_at + interval '1 s' WHERE id = 1", "number 1 (event 1)"),
        ("DELETE FROM block_event_links WHERE number = 2", "follows number 1"),
        ("UPDATE block_event_links SET event_id = -event_id WHERE number = 2", "number 2"),
    ],
)
async def test_changed_trail_is_found_out(stores: Stores, rows: Rows, query: Query, tampering: str, fault: str) -> None:
    await rows.planted(await rows.farmers(3), BLOCK)
    await stores.events.seal()
    query(f"SET session_replication_role = replica; {tampering}")
    found = await verify(stores.events.links())
    assert found.fault is not None
    assert fault in found.fault


async def test_chain_written_anew_does_not_match_the_head_outside(stores: Stores, rows: Rows, query: Query) -> None:
    await rows.planted(await rows.farmers(3), BLOCK)
    recorded = await stores.events.seal()
    query(
        "SET session_replication_role = replica; UPDATE block_events SET block_index = 41 WHERE id = 1;"
        "DELETE FROM block_event_links; INSERT INTO block_event_queue SELECT id FROM block_events"
    )
    await stores.events.seal()
    assert (await verify(stores.events.links())).fault is None
    found = await verify(stores.events.links(), recorded)
    assert found.fault is not None
    assert "written anew" in found.fault


async def test_chain_cut_short_is_found_by_the_head_outside(stores: Stores, rows: Rows) -> None:
    await rows.planted(await rows.farmers(3), BLOCK)
    recorded = await stores.events.seal()
    longer = replace(recorded, number=recorded.number + 5)
    found = await verify(stores.events.links(), longer)
    assert found.fault is not None
    assert "links were removed" in found.fault


async def test_event_removed_from_chain_and_queue_is_counted(stores: Stores, rows: Rows, query: Query) -> None:
    await rows.planted(await rows.farmers(2), BLOCK)
    query("SET session_replication_role = replica; DELETE FROM block_event_queue WHERE event_id = 2")
    await stores.events.seal()
    assert await stores.events.unsealed() == 1
