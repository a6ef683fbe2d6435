"""What others demand of payments: a memo with each, and the leave of KALE's issuer to hold and to move it."""

import asyncio

import grpc
import pytest
from stellar_sdk import MuxedAccount

from devnet.faults import Action, Fault
from kalepool.v1 import farmers_pb2, pool_pb2, wallet_pb2
from tests.fixtures.backend import Pool
from tests.fixtures.payouts import (
    as_it_is,
    demand_memos,
    freeze,
    in_order,
    outsiders,
    to,
    unfreeze,
    until_ended,
    wallet,
    withdraw,
    work,
)
from tests.fixtures.stores import Query

KALE = 10_000_000
DEPOSIT = 100 * KALE
PAID = wallet_pb2.WITHDRAWAL_STATE_PAID
REFUSED = wallet_pb2.WITHDRAWAL_STATE_REFUSED
FAILED = wallet_pb2.WITHDRAWAL_STATE_FAILED


async def refusal(pool: Pool, farmer: farmers_pb2.Farmer, key: str, destination: wallet_pb2.Destination) -> str:
    """What a withdrawal is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await withdraw(pool, farmer.farmer_id, key, KALE, destination)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return caught.value.details() or ""


async def held(pool: Pool, address: str) -> int:
    """KALE that the ledger shows."""
    return (await pool.world.farm.balances([address]))[address]


async def test_who_demands_a_memo_is_paid_with_one_only(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (exchange,) = await outsiders(pool.world)
    await demand_memos(pool.world, exchange)
    await pool.caught_up()
    assert "without a memo" in await refusal(pool, farmer, "w-1", to(exchange.address))
    assert await asyncio.to_thread(query, "SELECT * FROM withdrawals") == []
    muxed = MuxedAccount(exchange.address, 7).account_muxed
    assert muxed is not None
    for number, destination in enumerate((to(exchange.address, memo_text="customer 7"), to(muxed))):
        asked = (await withdraw(pool, farmer.farmer_id, f"memo-{number}", KALE, destination)).withdrawal
        (paid,) = await until_ended(pool, asked)
        assert paid.state == PAID, paid
        applied = await pool.world.rpc.transaction(paid.transaction_hash)
        assert applied is not None
        other = applied.counterparty(pool.world.identity, farmer.wallet_address, received=False)
        assert (other.address, str(other.memo)) == (destination.address, ("text:customer 7", "None")[number])
    assert await held(pool, exchange.address) == 2 * KALE
    await in_order(pool, query)


async def test_frozen_destination_is_refused_and_paid_once_it_is_authorised_again(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    await freeze(pool.world, payee.address)
    await pool.caught_up()
    assert "does not let the account" in await refusal(pool, farmer, "w-1", to(payee.address))
    assert await asyncio.to_thread(query, "SELECT * FROM withdrawals") == []
    await unfreeze(pool.world, payee.address)
    await pool.caught_up()
    asked = (await withdraw(pool, farmer.farmer_id, "w-1", DEPOSIT, to(payee.address))).withdrawal
    (paid,) = await until_ended(pool, asked)
    assert (paid.state, await held(pool, payee.address)) == (PAID, DEPOSIT)
    await in_order(pool, query)


async def test_destination_frozen_while_it_is_paid_loses_nothing(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    await pool.caught_up()
    asked = (await withdraw(pool, farmer.farmer_id, "w-1", DEPOSIT, to(payee.address))).withdrawal
    # What is sent gets lost until the destination is frozen.
    pool.world.devnet.faults.add(Fault(Action.ERROR, "sendTransaction", count=None))

    async def sending() -> bool:
        return (await as_it_is(pool, asked)).state == wallet_pb2.WITHDRAWAL_STATE_SENDING

    await pool.until(sending)
    pool.world.devnet.faults.clear()
    await freeze(pool.world, payee.address)
    (ended,) = await until_ended(pool, asked)
    assert (ended.state, ended.failure_reason) == (FAILED, "destination_not_authorised")
    assert "does not let the destination hold KALE" in ended.failure_message
    assert (await pool.farmer(farmer.farmer_id)).balance_stroops == DEPOSIT
    await unfreeze(pool.world, payee.address)
    await pool.caught_up()
    again = (await withdraw(pool, farmer.farmer_id, "w-2", DEPOSIT, to(payee.address))).withdrawal
    (paid,) = await until_ended(pool, again)
    assert (paid.state, await held(pool, payee.address)) == (PAID, DEPOSIT)
    await in_order(pool, query)


async def test_frozen_farmer_keeps_everything_and_goes_on_once_it_is_unfrozen(pool: Pool, query: Query) -> None:
    frozen, free = await pool.onboard(2, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    block = await pool.open_block()
    await pool.plant(pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block))
    await work(pool, [frozen, free], block)
    await freeze(pool.world, frozen.wallet_address)
    await pool.caught_up()
    assert "has frozen the farmer's account" in await refusal(pool, frozen, "w-1", to(payee.address))
    assert await pool.open_block() == block + 1
    _, summary = await pool.plant(pool_pb2.PlantRequest(request_id="r-2", pooler_id="p-1", block_index=block + 1))
    assert (summary.planted, summary.failed) == (1, 1)

    async def tried() -> bool:
        ended = await asyncio.to_thread(query, "SELECT status FROM attempts WHERE kind = 'harvest' ORDER BY status")
        return [status for (status,) in ended if status != "open"] == ["failed", "succeeded"]

    await pool.until(tried)
    waiting = await pool.farmer(frozen.farmer_id)
    assert (waiting.earned_stroops, waiting.lost_stake_stroops) == (0, 0)
    assert (await pool.farmer(free.farmer_id)).earned_stroops > 0
    await unfreeze(pool.world, frozen.wallet_address)

    async def harvested() -> bool:
        return (await pool.farmer(frozen.farmer_id)).earned_stroops > 0

    await pool.until(harvested)
    kept = await pool.farmer(frozen.farmer_id)
    everything = kept.balance_stroops
    assert (everything, kept.lost_stake_stroops) == (DEPOSIT + kept.earned_stroops, 0)
    leaving = wallet_pb2.ExitRequest(farmer_id=frozen.farmer_id, idempotency_key="bye", destination=to(payee.address))
    (paid,) = await until_ended(pool, (await wallet(pool).Exit(leaving)).withdrawal)
    assert (paid.state, await held(pool, payee.address)) == (PAID, everything)
    await in_order(pool, query)
