"""Deposits of a running backend, recognised from the ledger; and farmers made by the command."""

import asyncio
import json
import sys

import grpc
import pytest

from kalepool.v1 import wallet_pb2, wallet_pb2_grpc
from tests.fixtures.backend import Pool

DEPOSIT = 100 * 10_000_000


def wallet(pool: Pool) -> "wallet_pb2_grpc.WalletServiceAsyncStub":
    """A client of the wallet's service."""
    return wallet_pb2_grpc.WalletServiceStub(pool.channel)


async def command(pool: Pool, *words: str) -> tuple[int, str, str]:
    """Runs `kale-backend farmer …` against the pool while ledgers close."""
    address = f"127.0.0.1:{pool.backend.grpc_port}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend", "farmer", *words, "--backend", address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await pool.while_advancing(process.communicate(), ledgers=200)
    return process.returncode or 0, out.decode(), err.decode()


async def test_deposits_are_listed_with_transaction_and_sender(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    faucet = pool.world.devnet.scenario.faucet
    await pool.world.apply(
        faucet,
        lambda sequence, bounds: pool.world.classic.payment(
            source=faucet.public_key,
            destination=farmer.wallet_address,
            stroops=3,
            sequence=sequence,
            bounds=bounds,
            memo_hash=b"\x01" * 32,
        ),
    )
    await pool.world.pay_xlm(farmer.wallet_address, 5)
    await pool.caught_up()
    page = await wallet(pool).ListDeposits(wallet_pb2.ListDepositsRequest(farmer_id=farmer.farmer_id, page_size=1))
    (last,) = page.deposits
    assert (last.amount_stroops, last.sender, last.memo) == (3, faucet.public_key, "hash:" + "01" * 32)
    applied = await pool.world.rpc.transaction(last.transaction_hash)
    assert applied is not None
    assert applied.ledger == last.ledger_sequence
    rest = await wallet(pool).ListDeposits(
        wallet_pb2.ListDepositsRequest(farmer_id=farmer.farmer_id, page_token=page.next_page_token)
    )
    assert [(one.amount_stroops, one.memo) for one in rest.deposits] == [(DEPOSIT, "")]
    assert rest.next_page_token == ""
    assert (await pool.farmer(farmer.farmer_id)).balance_stroops == DEPOSIT + 3


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (wallet_pb2.ListDepositsRequest(farmer_id="7"), grpc.StatusCode.INVALID_ARGUMENT),
        (
            wallet_pb2.ListDepositsRequest(farmer_id="00000000-0000-4000-8000-000000000000"),
            grpc.StatusCode.NOT_FOUND,
        ),
    ],
)
async def test_deposits_of_nobody_are_refused(
    pool: Pool, request_: wallet_pb2.ListDepositsRequest, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await wallet(pool).ListDeposits(request_)
    assert caught.value.code() is code


async def test_command_creates_fifty_farmers_and_a_repeat_creates_none(pool: Pool) -> None:
    words = ("create", "--count", "50", "--request-id", "batch", "--stake-percentage", "2.5", "--json")
    code, out, err = await command(pool, *words)
    assert code == 0, err
    made = json.loads(out)["farmers"]
    assert len({one["wallet_address"] for one in made}) == 50
    assert {one["state"] for one in made} == {"active"}
    farmer = await pool.farmer(made[7]["farmer_id"])
    assert (farmer.wallet_address, farmer.stake_basis_points) == (made[7]["wallet_address"], 250)
    assert len(await pool.world.farm.balances([one["wallet_address"] for one in made])) == 50
    code, out, _ = await command(pool, *words)
    assert (code, json.loads(out)["farmers"]) == (0, made)


async def test_command_says_that_no_backend_answers() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend", "farmer", "create", "--backend", "127.0.0.1:1", "--timeout", "1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 3
    assert "the backend at 127.0.0.1:1" in err.decode()
