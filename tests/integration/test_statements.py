"""Statements end to end: farmed on a real ledger, signed, fetched in every way, verified from the chain alone."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest

from backend.domain.statement import closing_of, read_document
from backend.vault.statement_key import StatementKey, signed_by
from kale_chain.hashing import work_hash
from kalepool.v1 import farmers_pb2, pool_pb2, statement_pb2, status_pb2, wallet_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, Pool, StartBackend, World
from tests.fixtures.payouts import outsiders, to, until_ended, wallet, withdraw

KALE = 10_000_000


async def run(pool: Pool, *words: str | Path) -> tuple[int, str, str]:
    """`kale-backend …`: exit code, output, errors."""
    environment = {**os.environ, "KALE_BACKEND": f"127.0.0.1:{pool.backend.grpc_port}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend", *map(str, words)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def document(pool: Pool, farmer_id: str, **more: Any) -> bytes:
    request = statement_pb2.GetStatementRequest(farmer_id=farmer_id, **more)
    return b"".join([part.chunk async for part in pool.farmers.GetStatement(request)])


async def farm_a_block(pool: Pool, farmers: list[farmers_pb2.Farmer]) -> None:
    """Plants for all, works for all, and waits until all is harvested."""
    block = await pool.open_block()
    events, summary = await pool.plant(pool_pb2.PlantRequest(request_id=f"r{block}", pooler_id="p", block_index=block))
    assert summary.planted == len(events) == len(farmers)
    record = await pool.world.farm.block(block)
    assert record is not None
    await pool.advance(5)
    for farmer in farmers:
        digest = work_hash(block, 5, record.entropy, farmer.wallet_address)
        await pool.world.work_as_stranger(farmer.wallet_address, block, digest, nonce=5)
    await pool.advance(BLOCK_LEDGERS)
    next_block = await pool.open_block()
    await pool.world.plant_as_stranger(next_block)

    async def harvested() -> bool:
        found = [await pool.farmer(farmer.farmer_id) for farmer in farmers]
        return all(one.open_stake_stroops == 0 for one in found)

    await pool.until(harvested)


async def test_statement_of_a_farmed_block_is_proven_by_the_chain(pool: Pool, tmp_path: Path) -> None:
    farmers = await pool.onboard(2, stroops=10 * KALE)
    await farm_a_block(pool, farmers)
    farmer = await pool.farmer(farmers[0].farmer_id)
    file, table = tmp_path / "statement.json", tmp_path / "statement.csv"
    code, _, errors = await run(pool, "farmer", "statement", farmer.farmer_id, "--output", file)
    assert code == 0, errors
    found = read_document(file.read_bytes())
    status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
    assert found.public_key.hex() == status.backend.statement_public_key
    assert signed_by(found.public_key, found.signature, found.message)
    statement = found.statement
    assert [entry.kind for entry in statement.entries] == ["deposit", "stake", "harvest"]
    assert not any(statement.opening.values())
    assert statement.closing == statement.opening | {"available": farmer.balance_stroops}
    assert closing_of(statement.opening, statement.entries) == statement.closing
    assert statement.entries[1].fee
    assert statement.entries[1].amounts == {"available": -KALE, "staked": KALE}

    period = {"from_time": statement.begins, "to_time": statement.ends}
    again = await document(pool, farmer.farmer_id, **period)
    assert again == file.read_bytes()
    table.write_bytes(await document(pool, farmer.farmer_id, format=statement_pb2.STATEMENT_FORMAT_CSV, **period))
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{pool.backend.http_port}/api/farmers/{farmer.farmer_id}/statement"
        times = {"from": statement.begins.isoformat(), "to": statement.ends.isoformat()}
        async with session.get(url, params=times) as answer:
            assert await answer.read() == again

    verify = ("verify-statement", file, "--rpc-url", pool.world.devnet.url, "--json")
    code, output, errors = await run(pool, *verify, "--key", found.public_key.hex(), "--csv", table)
    assert code == 0, output + errors
    verdict = json.loads(output)
    assert (verdict["proven"], verdict["transactions_read"], verdict["unproven"]) == (3, 3, [])

    # A pool that hides the plant, and signs what is left.
    entries = [statement.entries[0], statement.entries[2]]
    left = replace(statement, entries=entries, closing=closing_of(statement.opening, entries))
    forged = tmp_path / "forged.json"
    forged.write_bytes(left.signed(StatementKey(b"\x01" * 32)))
    verify = ("verify-statement", forged, "--rpc-url", pool.world.devnet.url, "--key", found.public_key.hex())
    code, output, _ = await run(pool, *verify)
    assert code == 1
    assert "a movement is missing" in output
    assert "it is signed with the key" in output


async def test_statement_of_a_farmer_who_paid_and_left_is_proven_to_the_end(
    world: World, start_backend: StartBackend, tmp_path: Path
) -> None:
    treasury, payee = await outsiders(world, 2)
    async with start_backend(pool_cut_basis_points=1000, pool_cut_address=treasury.address) as pool:
        farmers = await pool.onboard(2, stroops=10 * KALE)
        await world.plant_as_stranger(await pool.open_block())  # the cut is taken from the next block on
        await farm_a_block(pool, farmers)
        farmer_id = farmers[0].farmer_id
        asked = (await withdraw(pool, farmer_id, "w", 3 * KALE, to(payee.address))).withdrawal
        await until_ended(pool, asked)
        await wallet(pool).Exit(
            wallet_pb2.ExitRequest(farmer_id=farmer_id, idempotency_key="x", destination=to(payee.address))
        )

        async def departed() -> bool:
            return (await pool.farmer(farmer_id)).state == farmers_pb2.FARMER_STATE_DEPARTED

        await pool.until(departed)
        file = tmp_path / "statement.json"
        file.write_bytes(await document(pool, farmer_id))
        statement = read_document(file.read_bytes()).statement
        code, output, errors = await run(pool, "verify-statement", file, "--rpc-url", pool.world.devnet.url, "--json")
    assert code == 0, output + errors
    kinds = {entry.kind for entry in statement.entries}
    assert kinds == {"deposit", "stake", "harvest", "cut", "withdrawal", "cut_paid"}
    assert not any(statement.closing.values())
    verdict = json.loads(output)
    assert (verdict["proven"], verdict["unproven"]) == (len(statement.entries), [])
    paid_out = sum(entry.amounts["external"] for entry in statement.entries if entry.kind == "withdrawal")
    cut = sum(entry.amounts["external"] for entry in statement.entries if entry.kind == "cut_paid")
    rewards = -sum(entry.amounts.get("mint", 0) for entry in statement.entries)
    assert paid_out + cut == 10 * KALE + rewards
    assert cut == rewards // 10


async def test_periods_join_without_a_gap_and_cannot_end_in_the_future(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1, stroops=10 * KALE)
    first = read_document(await document(pool, farmer.farmer_id)).statement
    await pool.world.deposit(farmer.wallet_address, 5)
    await pool.caught_up()
    second = read_document(await document(pool, farmer.farmer_id, from_time=first.ends)).statement
    assert (first.closing, second.closing["available"]) == (second.opening, 10 * KALE + 5)
    assert [entry.amounts for entry in second.entries] == [{"available": 5, "external": -5}]
    later = datetime.now(UTC) + timedelta(hours=1)
    for period, code in (
        ({"to_time": later}, grpc.StatusCode.FAILED_PRECONDITION),
        ({"from_time": second.ends, "to_time": first.ends}, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await document(pool, farmer.farmer_id, **period)
        assert caught.value.code() is code
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await document(pool, "00000000-0000-4000-8000-000000000000")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
