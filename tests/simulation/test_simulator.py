"""The simulator itself: made-up time, the same trace for the same seed, shards that go on where they stopped."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kale_chain.tx import Bounds, FarmCalls, fee_bump
from simulator import loop
from simulator.bugs import BUGS
from simulator.calls import CallReader, FarmCall
from simulator.chain import Chain
from simulator.cli import app
from simulator.errors import StuckError, Violation
from simulator.shards import Results, Shard, run_shard, shards_of
from simulator.weather import CALM
from simulator.world import simulate

TRACE = "from simulator.world import simulate; print(simulate('a trace', 12).trace)"


def test_waiting_takes_no_time() -> None:
    async def wait() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert loop.run(wait()) == pytest.approx(86_400)


def test_what_waits_for_ever_is_an_error() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError):
        loop.run(wait())


def test_executor_runs_at_once() -> None:
    assert loop.run(asyncio.to_thread(lambda: 7)) == 7


def test_same_seed_gives_the_same_trace_in_any_process() -> None:
    traces = {
        subprocess.run(
            [sys.executable, "-c", TRACE],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
    assert traces != {simulate("another", 12).trace + "\n"}


def test_in_fair_weather_nothing_is_lost_and_one_backend_lives() -> None:
    outcome = simulate("fair", 12, CALM)
    assert (outcome.violation, outcome.lost, outcome.lives, outcome.struck) == (None, 0, 1, {})
    assert outcome.pails >= 30
    assert outcome.checks >= 30


def test_shards_cover_every_block_once() -> None:
    shards = shards_of(7, 1001, size=250)
    assert [shard.blocks for shard in shards] == [250, 250, 250, 250, 1]
    assert len({shard.seed for shard in shards}) == 5
    assert shards == shards_of(7, 1001, size=250)


def test_finished_shards_are_not_run_again(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    result = run_shard(Shard("a shard", 2))
    results.add(result)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"shard": {"seed": "cut o')
    assert results.finished() == {Shard("a shard", 2): result}


def test_violation_ends_the_command_with_1_and_tells_what_replays_it(tmp_path: Path) -> None:
    bug = next(bug for bug in BUGS if bug.name == "other stake signed")
    arguments = ["--blocks", "10", "--shard", "5", "--results", str(tmp_path / "results.jsonl"), "--json"]
    with bug.patch():
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["violations"], told["blocks"]) == (1, 5)
    assert told["found"][0]["what"].startswith("plant without pail in block ")
    assert told["found"][0]["replay"] == "python -m simulator --replay 1.0 --blocks 5 --store memory"
    assert Results(tmp_path / "results.jsonl").finished() == {}


def test_violation_comes_back_from_another_process() -> None:
    violation = Violation("a check", 3, "what was found")
    again = pickle.loads(pickle.dumps(violation))  # noqa: S301
    assert (str(again), again.check, again.block_index) == (str(violation), "a check", 3)


def test_plant_is_read_with_the_block_it_was_built_for() -> None:
    chain = Chain(temporary_ttl=600)
    farmer = chain.signer("faucet")
    call = FarmCalls(chain.identity).plant(
        farmer=farmer.address, stake=12, block_index=249, sequence=1, bounds=Bounds(max_ledger=9)
    )
    read = CallReader(chain.identity.farm_id).read(fee_bump(call.signed_by(farmer), farmer).envelope)
    assert read == FarmCall("plant", farmer.address, 12, 249)
