"""A farmer's settings, changed by command and as JSON, and planted by."""

import asyncio
import json
import os
import sys
from typing import Any

import aiohttp

from kalepool.v1 import pool_pb2
from tests.fixtures.backend import Pool

KALE = 10_000_000


async def run(pool: Pool, *words: str) -> tuple[int, str, str]:
    """`kale-backend farmer …`: exit code, output, errors."""
    environment = {**os.environ, "KALE_BACKEND": f"127.0.0.1:{pool.backend.grpc_port}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend", "farmer", *words),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def patch(pool: Pool, farmer_id: str, body: Any) -> tuple[int, dict[str, Any]]:
    url = f"http://127.0.0.1:{pool.backend.http_port}/api/farmers/{farmer_id}"
    async with aiohttp.ClientSession() as session, session.patch(url, json=body) as answer:
        return answer.status, await answer.json()


async def test_next_block_is_planted_by_the_changed_settings(pool: Pool) -> None:
    fixed, all_in, resting = await pool.onboard(3, stroops=10 * KALE)
    code, output, errors = await run(
        pool, "update", fixed.farmer_id, "--fixed-stake", "2.5", "--label", "team=a", "--json"
    )
    assert code == 0, errors
    changed = json.loads(output)
    assert (changed["fixed_stake_stroops"], changed["labels"], changed["state"]) == (
        "25000000",
        {"team": "a"},
        "active",
    )
    status, body = await patch(pool, all_in.farmer_id, {"fixedStake": str(1_000 * KALE), "harvestAfterBlocks": 2})
    assert (status, body["fixedStake"], body["harvestAfterBlocks"]) == (200, str(1_000 * KALE), 2)
    assert (await patch(pool, resting.farmer_id, {"status": "inactive"}))[0] == 200
    block = await pool.open_block()
    request = pool_pb2.PlantRequest(request_id="r", pooler_id="p", block_index=block)
    events, summary = await pool.plant(request)
    stakes = {event.farmer_id: event.planted.stake_stroops for event in events}
    assert stakes == {fixed.farmer_id: 25_000_000, all_in.farmer_id: 10 * KALE}
    assert summary.planted == 2
    _, listed, _ = await run(pool, "list", "--json")
    states = {one["farmer_id"]: one["state"] for one in json.loads(listed)}
    assert states == {fixed.farmer_id: "active", all_in.farmer_id: "active", resting.farmer_id: "inactive"}


async def test_wrong_settings_are_named_and_change_nothing(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1)
    for body, field in (
        ({"stakePercentage": 10.005}, "stakePercentage"),
        ({"stakePercentage": "10"}, "stakePercentage"),
        ({"stakePercentage": 100.01}, "stake_basis_points"),
        ({"stakePercentage": 1, "fixedStake": "1"}, "update_mask"),
        ({"fixedStake": 5}, "fixedStake"),
        ({"fixedStake": "-5"}, "fixedStake"),
        ({"fixedStake": str(2**63)}, "fixed_stake_stroops"),
        ({"status": "onboarding"}, "state"),
        ({"status": "gone"}, "status"),
        ({"labels": {"a": 1}}, "labels"),
        ({"balance": "1"}, "balance"),
        ({}, "update_mask"),
    ):
        status, answer = await patch(pool, farmer.farmer_id, body)
        assert (status, field in answer["message"]) == (400, True), (body, answer)
    for words, message in (
        (("--stake-percentage", "x"), "not a number"),
        (("--stake-percentage", "10.001"), "10.001"),
        (("--fixed-stake", "-1"), "-1"),
        (("--label", "team"), "name=value"),
        ((), "update_mask"),
    ):
        code, _, errors = await run(pool, "update", farmer.farmer_id, *words)
        assert (code > 0, message in errors) == (True, True), errors
    assert await pool.farmer(farmer.farmer_id) == farmer
