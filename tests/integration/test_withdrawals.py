"""Withdrawals of a running backend on the real ledger: paid once, to whom they should be, and to the stroop."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys

import grpc
import pytest
from stellar_sdk import Keypair, MuxedAccount

from devnet.faults import Action, Fault
from kalepool.v1 import farmers_pb2, pool_pb2, wallet_pb2
from tests.fixtures.backend import Pool, StartBackend
from tests.fixtures.payouts import (
    as_it_is,
    bare_account,
    close_account,
    in_order,
    outsiders,
    to,
    until_ended,
    wallet,
    withdraw,
)
from tests.fixtures.stores import Query

KALE = 10_000_000
DEPOSIT = 100 * KALE


async def test_withdrawal_is_paid_once_with_its_id_as_memo(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    asked = (await withdraw(pool, farmer.farmer_id, "w-1", 30 * KALE, to(payee.address))).withdrawal
    assert asked.state == wallet_pb2.WITHDRAWAL_STATE_RESERVED
    again = (await withdraw(pool, farmer.farmer_id, "w-1", 30 * KALE, to(payee.address))).withdrawal
    assert again.withdrawal_id == asked.withdrawal_id
    (paid,) = await until_ended(pool, asked)
    assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID, paid
    repeated = (await withdraw(pool, farmer.farmer_id, "w-1", 30 * KALE, to(payee.address))).withdrawal
    assert repeated == paid
    await pool.advance(10)
    assert await pool.world.farm.balances([payee.address, farmer.wallet_address]) == {
        payee.address: 30 * KALE,
        farmer.wallet_address: 70 * KALE,
    }
    applied = await pool.world.rpc.transaction(paid.transaction_hash)
    assert applied is not None
    assert applied.ledger == paid.ledger_sequence
    counterparty = applied.counterparty(pool.world.identity, farmer.wallet_address, received=False)
    digest = hashlib.sha256(asked.withdrawal_id.encode()).hexdigest()
    assert (counterparty.address, str(counterparty.memo)) == (payee.address, f"hash:{digest}")
    kinds = await asyncio.to_thread(query, "SELECT kind, counterparty FROM money_transfers WHERE kind <> 'fee'")
    assert sorted(kinds) == [
        ("deposit", pool.world.devnet.scenario.faucet.public_key),
        ("withdrawal", payee.address),
    ]
    await in_order(pool, query)


async def test_key_for_something_else_is_refused(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    await withdraw(pool, farmer.farmer_id, "w-1", KALE, to(payee.address))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await withdraw(pool, farmer.farmer_id, "w-1", 2 * KALE, to(payee.address))
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_exchange_gets_its_own_memo_and_a_muxed_address_none(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    payees = await outsiders(pool.world, 2)
    muxed = MuxedAccount(payees[1].address, 77).account_muxed
    assert muxed is not None
    first = (await withdraw(pool, farmer.farmer_id, "w-1", KALE, to(payees[0].address, memo_id=2**64 - 1))).withdrawal
    (one,) = await until_ended(pool, first)
    second = (await withdraw(pool, farmer.farmer_id, "w-2", KALE, to(muxed))).withdrawal
    (two,) = await until_ended(pool, second)
    memos = []
    for paid in (one, two):
        assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID, paid
        applied = await pool.world.rpc.transaction(paid.transaction_hash)
        assert applied is not None
        memos.append(applied.counterparty(pool.world.identity, farmer.wallet_address, received=False))
    assert [(one.address, str(one.memo)) for one in memos] == [
        (payees[0].address, f"id:{2**64 - 1}"),
        (muxed, "None"),
    ]
    await in_order(pool, query)


async def test_unfit_requests_are_refused_with_clear_errors_and_store_nothing(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    bare = await bare_account(pool.world)
    nobody = Keypair.random().public_key
    muxed = MuxedAccount(payee.address, 7).account_muxed
    assert muxed is not None
    mistyped = payee.address[:-1] + ("B" if payee.address.endswith("A") else "A")
    await pool.caught_up()
    cases = [
        (KALE, to(bare), "FAILED_PRECONDITION", "no KALE trustline"),
        (KALE, to(nobody), "FAILED_PRECONDITION", "does not exist"),
        (KALE, to(pool.world.identity.token_id), "INVALID_ARGUMENT", "contract"),
        (KALE, to(payee.secret), "INVALID_ARGUMENT", "secret key"),
        (KALE, to(mistyped), "INVALID_ARGUMENT", "mistake"),
        (KALE, to(muxed, memo_text="x"), "INVALID_ARGUMENT", "muxed"),
        (KALE, to(payee.address, memo_text="x" * 29), "INVALID_ARGUMENT", "28 bytes"),
        (KALE, to(farmer.wallet_address), "INVALID_ARGUMENT", "own account"),
        (KALE, to(pool.world.identity.asset_issuer), "INVALID_ARGUMENT", "destroyed"),
        (KALE, None, "INVALID_ARGUMENT", "no payout address"),
        (999_999, to(payee.address), "INVALID_ARGUMENT", "less than the least"),
        (0, to(payee.address), "INVALID_ARGUMENT", "not within"),
        (DEPOSIT + 1, to(payee.address), "FAILED_PRECONDITION", "neither staked"),
    ]
    for number, (stroops, destination, code, text) in enumerate(cases):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await withdraw(pool, farmer.farmer_id, f"w-{number}", stroops, destination)
        assert caught.value.code().name == code, (destination, caught.value.details())
        assert text in (caught.value.details() or ""), caught.value.details()
        assert payee.secret not in (caught.value.details() or "")
    assert await asyncio.to_thread(query, "SELECT * FROM withdrawals") == []


async def test_lost_answers_and_lost_transactions_pay_once(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    pool.world.devnet.faults.add(Fault(Action.DROP, "sendTransaction", count=4))
    asked = (await withdraw(pool, farmer.farmer_id, "w-1", 10 * KALE, to(payee.address))).withdrawal
    (paid,) = await until_ended(pool, asked, ledgers=40)
    assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID
    await pool.advance(10)
    assert await pool.world.farm.balances([payee.address]) == {payee.address: 10 * KALE}
    await in_order(pool, query)


async def test_restart_between_request_and_payment_pays_once(start_backend: StartBackend, query: Query) -> None:
    async with start_backend() as pool:
        (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
        (payee,) = await outsiders(pool.world)
        await pool.caught_up()
        asked = (await withdraw(pool, farmer.farmer_id, "w-1", 10 * KALE, to(payee.address))).withdrawal
    async with start_backend() as pool:
        await pool.advance()
    async with start_backend() as pool:
        (paid,) = await until_ended(pool, asked)
        assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID
        await pool.advance(8)
        assert await pool.world.farm.balances([payee.address]) == {payee.address: 10 * KALE}
        await in_order(pool, query)


async def test_payment_beyond_the_signers_cap_waits_until_there_is_room(
    start_backend: StartBackend, query: Query
) -> None:
    async with start_backend(signer_day_stroops=20 * KALE) as pool:
        (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
        (payee,) = await outsiders(pool.world)
        await pool.caught_up()
        fits = (await withdraw(pool, farmer.farmer_id, "w-1", 15 * KALE, to(payee.address))).withdrawal
        (paid,) = await until_ended(pool, fits)
        assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID
        waits = (await withdraw(pool, farmer.farmer_id, "w-2", 6 * KALE, to(payee.address))).withdrawal
        await pool.advance(5)
        assert (await as_it_is(pool, waits)).state <= wallet_pb2.WITHDRAWAL_STATE_APPROVED
    async with start_backend(signer_day_stroops=20 * KALE) as pool:  # a restart gives no room
        await pool.advance(5)
        assert await pool.world.farm.balances([payee.address]) == {payee.address: 15 * KALE}
    async with start_backend(signer_day_stroops=21 * KALE) as pool:
        (paid,) = await until_ended(pool, waits)
        assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID
        assert await pool.world.farm.balances([payee.address]) == {payee.address: 21 * KALE}
        await in_order(pool, query)


async def test_daily_limits_count_what_is_under_way(start_backend: StartBackend) -> None:
    async with start_backend(withdrawal_farmer_day_stroops=20 * KALE, withdrawal_pool_day_stroops=30 * KALE) as pool:
        first, second = await pool.onboard(2, stroops=DEPOSIT)
        (payee,) = await outsiders(pool.world)
        await withdraw(pool, first.farmer_id, "w-1", 15 * KALE, to(payee.address))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await withdraw(pool, first.farmer_id, "w-2", 6 * KALE, to(payee.address))
        assert f"only {5 * KALE} more" in (caught.value.details() or "")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await withdraw(pool, second.farmer_id, "w-1", 16 * KALE, to(payee.address))
        assert f"only {15 * KALE} more" in (caught.value.details() or "")
        await withdraw(pool, second.farmer_id, "w-2", 15 * KALE, to(payee.address))


async def test_locked_payout_address_is_the_only_one_and_changes_wait(start_backend: StartBackend) -> None:
    async with start_backend(payout_change_delay_hours=1) as pool:
        (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
        home, thief = await outsiders(pool.world, 2)
        await pool.caught_up()
        request = wallet_pb2.SetPayoutRequest(farmer_id=farmer.farmer_id, destination=to(home.address), locked=True)
        await wallet(pool).SetPayout(request)
        for destination in (to(thief.address), to(home.address, memo_text="x")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await withdraw(pool, farmer.farmer_id, "w-1", KALE, destination)
            assert "locked" in (caught.value.details() or "")
        change = wallet_pb2.SetPayoutRequest(farmer_id=farmer.farmer_id, destination=to(thief.address))
        changed = (await wallet(pool).SetPayout(change)).payout
        payouts = await wallet(pool).GetPayout(wallet_pb2.GetPayoutRequest(farmer_id=farmer.farmer_id))
        assert payouts.current.destination.address == home.address
        assert payouts.pending == changed
        asked = (await withdraw(pool, farmer.farmer_id, "w-2", KALE)).withdrawal
        (paid,) = await until_ended(pool, asked)
        assert paid.destination.address == home.address
        await pool.advance(3600 // 5 + 1)
        assert (await withdraw(pool, farmer.farmer_id, "w-3", KALE, to(thief.address))).withdrawal.amount_stroops


async def test_destination_that_closes_meanwhile_is_refused_and_the_farmer_keeps_its_kale(
    pool: Pool, query: Query
) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    await pool.caught_up()
    asked = (await withdraw(pool, farmer.farmer_id, "w-1", DEPOSIT, to(payee.address))).withdrawal
    await close_account(pool.world, payee)
    (ended,) = await until_ended(pool, asked)
    assert (ended.state, ended.failure_reason) == (wallet_pb2.WITHDRAWAL_STATE_REFUSED, "destination_missing")
    (other,) = await outsiders(pool.world)
    again = (await withdraw(pool, farmer.farmer_id, "w-2", DEPOSIT, to(other.address))).withdrawal
    (paid,) = await until_ended(pool, again)
    assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID
    await in_order(pool, query)


async def test_paused_withdrawals_wait_and_go_on_when_resumed(pool: Pool, query: Query, application_url: str) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    await pool.caught_up()
    asked = (await withdraw(pool, farmer.farmer_id, "w-1", KALE, to(payee.address))).withdrawal
    assert (await command(application_url, "pause", "--reason", "a leak")).returncode == 0
    await pool.advance(5)
    assert (await as_it_is(pool, asked)).state < wallet_pb2.WITHDRAWAL_STATE_SENDING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await withdraw(pool, farmer.farmer_id, "w-2", KALE, to(payee.address))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "a leak" in (caught.value.details() or "")
    repeated = (await withdraw(pool, farmer.farmer_id, "w-1", KALE, to(payee.address))).withdrawal
    assert repeated.withdrawal_id == asked.withdrawal_id
    listed = json.loads((await command(application_url, "list", "--json")).stdout)
    assert [one["withdrawal_id"] for one in listed] == [asked.withdrawal_id]
    shown = await command(application_url, "show", farmer.farmer_id, asked.withdrawal_id, "--json")
    assert json.loads(shown.stdout)["destination"] == payee.address
    assert json.loads((await command(application_url, "status", "--json")).stdout) == {
        "paused": True,
        "reason": "a leak",
    }
    assert (await command(application_url, "resume", "--reason", "found")).returncode == 0
    (paid,) = await until_ended(pool, asked)
    assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID
    assert (await command(application_url, "refuse", paid.withdrawal_id, "--reason", "late")).returncode == 1
    await in_order(pool, query)


async def test_races_of_withdrawals_and_plants_never_promise_kale_twice(
    start_backend: StartBackend, query: Query
) -> None:
    async with start_backend() as pool:
        farmers = await pool.onboard(4, stroops=DEPOSIT)
        (payee,) = await outsiders(pool.world)
        for farmer in farmers:
            await stake_everything(pool, farmer.farmer_id)
        block = await pool.open_block()
        asked = [
            withdraw(pool, farmer.farmer_id, f"w-{number}", 40 * KALE, to(payee.address))
            for farmer in farmers
            for number in range(3)
        ]
        request = pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block)
        planting = asyncio.create_task(pool.plant(request))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        events, summary = await planting
        assert (summary.planted, summary.failed) == (4, 0)
        stored = [answer.withdrawal for answer in answers if isinstance(answer, wallet_pb2.WithdrawResponse)]
        await until_ended(pool, *stored)
        for farmer in farmers:
            taken = sum(one.amount_stroops for one in stored if one.farmer_id == farmer.farmer_id)
            staked = sum(event.planted.stake_stroops for event in events if event.farmer_id == farmer.farmer_id)
            assert taken + staked <= DEPOSIT
            assert taken or staked
        await in_order(pool, query)


async def test_withdrawal_takes_what_is_not_staked(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    (payee,) = await outsiders(pool.world)
    block = await pool.open_block()
    await pool.plant(pool_pb2.PlantRequest(request_id="r-1", pooler_id="p-1", block_index=block))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await withdraw(pool, farmer.farmer_id, "w-1", 91 * KALE, to(payee.address))
    assert f"only {90 * KALE} are neither" in (caught.value.details() or "")
    asked = (await withdraw(pool, farmer.farmer_id, "w-1", 90 * KALE, to(payee.address))).withdrawal
    (paid,) = await until_ended(pool, asked)
    assert paid.state == wallet_pb2.WITHDRAWAL_STATE_PAID
    await in_order(pool, query)


async def stake_everything(pool: Pool, farmer_id: str) -> None:
    """Has a farmer stake all its balance."""
    update = farmers_pb2.UpdateFarmerRequest(farmer=farmers_pb2.Farmer(farmer_id=farmer_id, stake_basis_points=10_000))
    update.update_mask.paths.append("stake_basis_points")
    await pool.farmers.UpdateFarmer(update)


async def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs `kale-backend withdrawals …` on the database."""
    environment = {**os.environ, "DATABASE_URL": url, "STELLAR_NETWORK": "local"}
    line = [sys.executable, "-m", "backend", "withdrawals", *words]
    return await asyncio.to_thread(
        subprocess.run, line, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
