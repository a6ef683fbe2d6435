"""The live views draw what a status says."""

import json
from collections.abc import AsyncIterator

import pytest
from rich.console import Console

from backend.api import status_client as of_backend
from kale_common.live import Glance, LiveView, graph, show
from kalepool.v1 import status_pb2
from pooler.api import status_client as of_pooler

CHAIN = status_pb2.ChainStatus(
    ledger_sequence=77, ledger_time=1_100, block_index=9, block_opened_ledger_time=1_000, farm_paused=False
)
DOWN = status_pb2.Component(name="stellar", health=status_pb2.HEALTH_DOWN, detail="no answer from the RPC")


def drawn(view: LiveView) -> str:
    console = Console(width=120, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def backend_status() -> status_pb2.Status:
    pooler = status_pb2.AttendingPooler(pooler_id="north", version="1", hashes_per_second=2.5e6, silent_ledgers=4)
    backend = status_pb2.BackendStatus(
        active_farmers=12, planted=11, unworked=2, open_attempts=3, master_balance_stroops=5 * 10**9, poolers=[pooler]
    )
    return status_pb2.Status(version="0.1", uptime_seconds=90_061, components=[DOWN], chain=CHAIN, backend=backend)


def pooler_status() -> status_pb2.Status:
    searches = [
        status_pb2.FarmerSearch(farmer_id="one", best_zeros=7, accepted_zeros=6, hashes=1_000),
        status_pb2.FarmerSearch(farmer_id="two", best_zeros=5, hashes=2_000_000),
    ]
    pooler = status_pb2.PoolerStatus(phase="searching", hashes_per_second=3e6, machine_load=0.9, searches=searches)
    return status_pb2.Status(chain=CHAIN, pooler=pooler)


def test_backend_is_drawn_with_block_farmers_poolers_and_faults() -> None:
    view = LiveView()
    view.take(of_backend.glance_of("kale-backend", backend_status()))
    text = drawn(view)
    for part in ("block 9", "ledger 77", "200 s left", "planted 11", "in flight 3", "500.00 XLM", "1 d 01:01:01"):
        assert part in text, part
    assert "no answer from the RPC" in text
    assert any("north" in line and "2.50" in line and "silent" in line for line in text.splitlines())


def test_pooler_is_drawn_with_zeros_of_each_farmer() -> None:
    view = LiveView()
    view.take(of_pooler.glance_of("kale-pooler", pooler_status()))
    text = drawn(view)
    rows = [line.split() for line in text.splitlines() if "one" in line or "two" in line]
    assert [row[1:5] for row in rows if row[1] in {"one", "two"}] == [
        ["one", "7", "6", "1,000"],
        ["two", "5", "–", "2,000,000"],
    ]
    assert "worked 1" in text
    assert "3.00 MH/s" in text


def test_lost_connection_keeps_the_rates_and_says_why() -> None:
    view = LiveView()
    view.take(Glance("kale-pooler", hashes_per_second=1.0))
    view.take(Glance("kale-pooler", hashes_per_second=2.0))
    view.take(Glance("kale-pooler", problem="UNAVAILABLE"))
    assert "no answer, trying again: UNAVAILABLE" in drawn(view)
    assert "▄█" in drawn(view) or "▅█" in drawn(view)


def test_graph_is_scaled_to_its_greatest_value() -> None:
    assert graph([0.0, 1.0, 2.0, 4.0]) == "▁▃▅█"
    assert graph([]) == graph([0.0]) == ""


async def glances() -> AsyncIterator[Glance]:
    yield Glance("a", problem="not yet")
    yield Glance("a", block_index=5)
    yield Glance("a", block_index=6)


async def test_once_waits_for_the_first_answer(capsys: pytest.CaptureFixture[str]) -> None:
    await show(glances(), once=True, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["problem"], line["block_index"]) for line in lines] == [("not yet", 0), (None, 5)]
