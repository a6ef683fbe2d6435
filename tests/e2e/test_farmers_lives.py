"""Whole lives of farmers: onboarded, funded, farmed, paid and gone; books, chain and statements agree to the stroop.

`make lives FARMERS=50 BLOCKS=5` does the same with more of both.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from backend.domain.statement import closing_of, read_document
from kalepool.v1 import farmers_pb2, pool_pb2, statement_pb2, wallet_pb2
from tests.fixtures.backend import Pool, StartBackend, World
from tests.fixtures.payouts import in_order, outsiders, to, until_ended, wallet, withdraw, work
from tests.fixtures.stores import Query

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

FARMERS = int(os.environ.get("LIVES_FARMERS", "4"))
BLOCKS = int(os.environ.get("LIVES_BLOCKS", "2"))
PROVEN = 4
"""Statements that are proven from the chain, each by a process of its own."""
KALE = 10_000_000
DEPOSIT = 100 * KALE
PAID = 15 * KALE
CUT = 750
LATEST_SECONDS = 150


async def plant(pool: Pool, farmers: Sequence[farmers_pb2.Farmer], name: str) -> int:
    """Plants in the next block; every farmer that stays is planted."""
    farm, last = await pool.world.farm.farm(), await pool.world.rpc.latest_ledger()
    if last.close_time > farm.block.timestamp + LATEST_SECONDS:  # a first block that nobody opened, too old by now
        await pool.advance(max(0, -(-(farm.block.ends_at - last.close_time) // 5)))
    block = await pool.open_block()
    request = pool_pb2.PlantRequest(request_id=name, pooler_id="p-1", block_index=block)
    _, summary = await pool.plant(request)
    assert (summary.planted, summary.failed) == (len(farmers), 0)
    return block


async def leave(pool: Pool, farmers: Sequence[farmers_pb2.Farmer], address: str) -> list[wallet_pb2.Withdrawal]:
    """Has farmers leave."""
    requests = [
        wallet_pb2.ExitRequest(farmer_id=one.farmer_id, idempotency_key="bye", destination=to(address))
        for one in farmers
    ]
    return [(await wallet(pool).Exit(request)).withdrawal for request in requests]


async def reserved(world: World) -> int:
    """XLM that the master account cannot spend."""
    master = world.devnet.scenario.master.public_key
    return (await world.farm.accounts([master]))[master].reserved_stroops


async def proven(pool: Pool, farmer: farmers_pb2.Farmer, folder: Path) -> None:
    """A farmer's statement ends with what the books say, and the chain proves it."""
    request = statement_pb2.GetStatementRequest(farmer_id=farmer.farmer_id)
    document = b"".join([part.chunk async for part in pool.farmers.GetStatement(request)])
    statement = read_document(document).statement
    assert closing_of(statement.opening, statement.entries) == statement.closing
    assert statement.closing.get("available", 0) == (await pool.farmer(farmer.farmer_id)).balance_stroops
    file = folder / f"{farmer.farmer_id}.json"
    file.write_bytes(document)
    words = ("verify-statement", str(file), "--rpc-url", pool.world.devnet.url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_farmers_come_farm_are_paid_and_leave_and_everything_agrees(
    world: World, start_backend: StartBackend, query: Query, tmp_path: Path
) -> None:
    began = time.monotonic()
    payee, treasury = await outsiders(world, 2)
    settings = {
        "pool_cut_basis_points": CUT,
        "pool_cut_address": treasury.address,
        "withdrawal_farmer_day_stroops": 0,
        "withdrawal_pool_day_stroops": 0,
        "harvest_channels": max(20, FARMERS),
    }
    before = await reserved(world)
    async with start_backend(**settings) as pool:
        farmers = await pool.onboard(FARMERS, stroops=DEPOSIT)
        assert await reserved(world) == before + FARMERS * 15_000_000
        leavers, stayers = farmers[: FARMERS // 2], farmers[FARMERS // 2 :]
        payments: list[wallet_pb2.Withdrawal] = []
        exits: list[wallet_pb2.Withdrawal] = []
        for number in range(BLOCKS):
            block = await plant(pool, farmers, f"r-{number}")
            if number == 0:  # paid while their pails are in the ground
                payments = [
                    (await withdraw(pool, one.farmer_id, "w-1", PAID, to(payee.address))).withdrawal for one in leavers
                ]
                payments = await until_ended(pool, *payments)
            if number == BLOCKS - 1:
                exits = await leave(pool, leavers, payee.address)
            await work(pool, farmers, block)
        await work(pool, stayers, await plant(pool, stayers, "r-after"))
        ended = [*payments, *await until_ended(pool, *exits)]
        assert {one.state for one in ended} == {wallet_pb2.WITHDRAWAL_STATE_PAID}
        await in_order(pool, query)
        assert await reserved(world) == before + len(stayers) * 15_000_000
        for farmer in (*leavers[: PROVEN // 2], *stayers[: PROVEN // 2]):
            await proven(pool, farmer, tmp_path)

        last = await leave(pool, stayers, payee.address)
        await pool.open_block()
        await world.plant_as_stranger((await world.farm.farm()).index + 1)
        ended += await until_ended(pool, *last)
        await in_order(pool, query)
        assert await reserved(world) == before
        lives = [await pool.farmer(one.farmer_id) for one in farmers]
    assert {one.state for one in lives} == {farmers_pb2.FARMER_STATE_DEPARTED}
    earned = sum(one.earned_stroops for one in lives)
    lost = sum(one.lost_stake_stroops for one in lives)
    held = await world.farm.balances([payee.address, treasury.address])
    assert held[payee.address] == sum(one.amount_stroops for one in ended)
    assert held[treasury.address] == sum(one.cut_stroops for one in ended) > 0
    assert sum(held.values()) == FARMERS * DEPOSIT + earned
    assert (lost, [one.balance_stroops for one in lives]) == (0, [0] * FARMERS)
    assert await world.farm.accounts([one.wallet_address for one in lives]) == {}
    print(  # noqa: T201  (shown by `make lives`)
        f"\n{FARMERS} farmers, {BLOCKS + 1} blocks: {earned / KALE:.7f} KALE earned, "
        f"{held[treasury.address] / KALE:.7f} of it the pool's cut, {len(ended)} payments, "
        f"reserves back, {time.monotonic() - began:.0f} s"
    )
