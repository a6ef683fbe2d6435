"""Exits and the pool's cut on the real ledger: everything is paid, the account ends, the reserve comes back."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest

from kalepool.v1 import farmers_pb2, pool_pb2, wallet_pb2
from tests.fixtures.backend import Pool, StartBackend
from tests.fixtures.payouts import as_it_is, in_order, outsiders, to, until_ended, wallet, withdraw, work
from tests.fixtures.stores import Query

KALE = 10_000_000
DEPOSIT = 100 * KALE
RESERVE = 15_000_000
"""Stroops of XLM that the sponsor locks for a farmer: two base reserves for the account, one for the trustline."""


def leave(farmer_id: str, address: str | None, key: str = "bye") -> wallet_pb2.ExitRequest:
    """A request to leave."""
    return wallet_pb2.ExitRequest(
        farmer_id=farmer_id, idempotency_key=key, destination=None if address is None else to(address)
    )


async def reserved(pool: Pool) -> int:
    """XLM that the master account cannot spend."""
    master = pool.world.devnet.scenario.master.public_key
    return (await pool.world.farm.accounts([master]))[master].reserved_stroops


async def farm(pool: Pool, farmers: Sequence[farmers_pb2.Farmer], request_id: str) -> int:
    """Plants in the next block and has the backstop work the pails of these farmers; the block."""
    block = await pool.open_block()
    await pool.plant(pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block))
    await work(pool, farmers, block)
    return block


async def test_exit_waits_for_the_last_harvest_pays_everything_and_returns_the_reserve(
    pool: Pool, query: Query
) -> None:
    leaver, other = await pool.onboard(2, stroops=DEPOSIT, blocks=20)
    (payee,) = await outsiders(pool.world)
    before = await reserved(pool)
    block = await farm(pool, [leaver, other], "r-1")
    request = leave(leaver.farmer_id, payee.address)
    begun = await wallet(pool).Exit(request)
    assert begun.withdrawal.state == wallet_pb2.WITHDRAWAL_STATE_REQUESTED
    assert "1 pails" in begun.waits_for
    farm_block = (await pool.world.farm.farm()).block
    assert begun.expected_ledger_time >= farm_block.ends_at
    assert (await pool.farmer(leaver.farmer_id)).state == farmers_pb2.FARMER_STATE_INACTIVE
    assert (await wallet(pool).Exit(request)).withdrawal.withdrawal_id == begun.withdrawal.withdrawal_id
    back = farmers_pb2.UpdateFarmerRequest(
        farmer=farmers_pb2.Farmer(farmer_id=leaver.farmer_id, state=farmers_pb2.FARMER_STATE_ACTIVE)
    )
    back.update_mask.paths.append("state")
    for refused in (pool.farmers.UpdateFarmer(back), withdraw(pool, leaver.farmer_id, "w", KALE, to(payee.address))):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await refused
        assert "is leaving" in (caught.value.details() or "")
    assert await pool.open_block() == block + 1
    events, _ = await pool.plant(pool_pb2.PlantRequest(request_id="r-2", pooler_id="p-1", block_index=block + 1))
    assert [event.farmer_id for event in events] == [other.farmer_id]
    (paid,) = await until_ended(pool, begun.withdrawal)
    assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID, paid
    gone = await pool.farmer(leaver.farmer_id)
    assert (gone.state, gone.balance_stroops) == (farmers_pb2.FARMER_STATE_DEPARTED, 0)
    assert await pool.world.farm.accounts([leaver.wallet_address]) == {}
    assert await pool.world.farm.balances([payee.address]) == {payee.address: DEPOSIT + gone.earned_stroops}
    assert paid.amount_stroops == DEPOSIT + gone.earned_stroops > DEPOSIT
    assert await reserved(pool) == before - RESERVE
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await wallet(pool).Exit(leave(leaver.farmer_id, payee.address, "again"))
    assert "has left the pool" in (caught.value.details() or "")
    await in_order(pool, query)


async def test_exit_takes_along_what_arrives_at_its_end_and_xlm(pool: Pool, query: Query) -> None:
    (leaver,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    await pool.world.pay_xlm(leaver.wallet_address, 7)
    await pool.caught_up()
    before = (await pool.world.farm.accounts([payee.address]))[payee.address].balance_stroops
    # Nothing is sent while a block is about to open, but all is set aside.
    farm_block = (await pool.world.farm.farm()).block
    last = await pool.world.rpc.latest_ledger()
    await pool.advance((farm_block.ends_at - 15 - last.close_time) // 5)
    begun = (await wallet(pool).Exit(leave(leaver.farmer_id, payee.address))).withdrawal
    await pool.advance()
    approved = wallet_pb2.WITHDRAWAL_STATE_APPROVED
    await pool.eventually(lambda: _is_in(pool, begun, approved))
    await pool.world.deposit(leaver.wallet_address, 5)
    assert (await as_it_is(pool, begun)).amount_stroops == DEPOSIT
    (paid,) = await until_ended(pool, begun)
    assert (paid.state, paid.amount_stroops) == (wallet_pb2.WITHDRAWAL_STATE_PAID, DEPOSIT + 5)
    account = (await pool.world.farm.accounts([payee.address]))[payee.address]
    assert account.balance_stroops == before + 7
    assert await pool.world.farm.balances([payee.address]) == {payee.address: DEPOSIT + 5}
    assert [state for (state,) in await asyncio.to_thread(query, _TRIED)] == ["failed", "succeeded"]
    await in_order(pool, query)


_TRIED = "SELECT status FROM attempts WHERE kind = 'withdrawal' ORDER BY created_at"


async def _is_in(pool: Pool, withdrawal: wallet_pb2.Withdrawal, state: wallet_pb2.WithdrawalState.ValueType) -> bool:
    return (await as_it_is(pool, withdrawal)).state == state


async def test_exit_of_a_farmer_without_anything_needs_no_destination(pool: Pool, query: Query) -> None:
    empty, full = await pool.onboard(2)
    await pool.world.deposit(full.wallet_address, KALE)
    await pool.caught_up()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await wallet(pool).Exit(leave(full.farmer_id, None))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    begun = (await wallet(pool).Exit(leave(empty.farmer_id, None))).withdrawal
    (paid,) = await until_ended(pool, begun)
    assert (paid.state, paid.amount_stroops) == (wallet_pb2.WITHDRAWAL_STATE_PAID, 0)
    assert await pool.world.farm.accounts([empty.wallet_address]) == {}
    await in_order(pool, query)


async def test_cut_is_booked_at_the_harvest_and_paid_with_a_withdrawal_an_exit_or_at_the_threshold(
    start_backend: StartBackend, pool_treasury: str, query: Query
) -> None:
    settings = {"pool_cut_basis_points": 1234, "pool_cut_address": pool_treasury}
    async with start_backend(**settings, pool_cut_threshold_stroops=0) as pool:
        farmers = await pool.onboard(3, stroops=DEPOSIT)
        (payee,) = await outsiders(pool.world)
        for number in range(3):  # the first block opened before there was a cut
            await farm(pool, farmers, f"r-{number}")

        async def harvested() -> bool:
            return all((await owed(query)).values())

        await pool.until(harvested, ledgers=10)
        due = await cuts(query)
        assert await owed(query) == due
        assert await pool.world.farm.balances([pool_treasury]) == {pool_treasury: 0}
        first, second, third = farmers
        asked = (await withdraw(pool, first.farmer_id, "w-1", KALE, to(payee.address))).withdrawal
        begun = (await wallet(pool).Exit(leave(second.farmer_id, payee.address))).withdrawal
        assert asked.cut_stroops == due[first.farmer_id]
        await pool.open_block()
        await pool.world.plant_as_stranger((await pool.world.farm.farm()).index + 1)
        paid, left = await until_ended(pool, asked, begun)
        assert {one.state for one in (paid, left)} == {wallet_pb2.WITHDRAWAL_STATE_PAID}
        taken = paid.cut_stroops + left.cut_stroops
        assert await pool.world.farm.balances([pool_treasury]) == {pool_treasury: taken}
        assert (await pool.farmer(second.farmer_id)).state == farmers_pb2.FARMER_STATE_DEPARTED
        await in_order(pool, query)
    async with start_backend(**settings, pool_cut_threshold_stroops=1) as pool:

        async def settled() -> bool:
            return not any((await owed(query)).values())

        await pool.until(settled, ledgers=20)
        total = sum((await cuts(query)).values())
        assert await pool.world.farm.balances([pool_treasury]) == {pool_treasury: total}
        assert total > taken
        assert (await pool.farmer(third.farmer_id)).balance_stroops > 0
        await in_order(pool, query)


async def cuts(query: Query) -> dict[object, int]:
    """What the pool takes of each farmer's harvests, each rounded down."""
    rows = await asyncio.to_thread(
        query,
        "SELECT CAST(farmer_id AS text), reward_amount FROM harvest_transactions "
        "WHERE status = 'confirmed' AND block_index > 0",
    )
    taken: dict[object, int] = {}
    for farmer_id, reward in rows:
        taken[farmer_id] = taken.get(farmer_id, 0) + int(str(reward)) * 1234 // 10_000
    return taken


async def owed(query: Query) -> dict[object, object]:
    """What each farmer owes the pool."""
    rows = await asyncio.to_thread(
        query, "SELECT CAST(farmer_id AS text), CAST(balance AS bigint) FROM money_accounts WHERE kind = 'due'"
    )
    return dict(rows)  # type: ignore[arg-type]


@pytest.fixture
async def pool_treasury(world: object) -> str:
    """The account that gets the pool's cut."""
    (signer,) = await outsiders(world)  # type: ignore[arg-type]
    return signer.address
