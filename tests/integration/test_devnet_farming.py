"""Planting, working and harvesting on the local ledger, through stellar_sdk."""

import asyncio

import pytest
from stellar_sdk import Keypair, scval, xdr
from stellar_sdk.soroban_rpc import SendTransactionStatus

from devnet.engine_client import instance_key
from devnet.farm_reader import pail_key
from tests.fixtures.ledger_client import LedgerClient, returned

KALE = 10_000_000
BASE_REWARD = 2_505 * KALE


def keypair(number: int) -> Keypair:
    return Keypair.from_raw_ed25519_seed(bytes([number]) * 32)


async def balance(client: LedgerClient, address: str) -> str:
    _, account = await client.get(f"/accounts/{address}")
    return str(next(line["balance"] for line in account["balances"] if line["asset_type"] != "native"))


async def test_stake_and_reward_come_back_to_the_farmer(client: LedgerClient) -> None:
    farmer, other = keypair(1), keypair(2)
    await client.onboard(farmer, other)
    opened = await client.apply(client.bumped(await client.plant_call(farmer, 10 * KALE), farmer))
    assert opened.status.value == "SUCCESS"
    assert await balance(client, farmer.public_key) == "90.0000000"
    await client.devnet.advance(4)
    assert returned(await client.work(client.scenario.master, farmer, 0, 2)) == 5
    await client.devnet.advance(60)
    await client.apply(client.bumped(await client.plant_call(other, 0), other))
    reward = returned(await client.harvest(client.scenario.master, farmer, 0))
    # Alone in its block, the farmer earns all of it; its stake was released by the work.
    assert reward == BASE_REWARD
    assert await balance(client, farmer.public_key) == "2605.0000000"


async def test_two_farmers_share_a_block_by_their_scores(client: LedgerClient) -> None:
    first, second, other = keypair(1), keypair(2), keypair(3)
    await client.onboard(first, second, other)
    await client.apply(client.bumped(await client.plant_call(first, 0), first))
    await client.apply(client.bumped(await client.plant_call(second, 5 * KALE), second))
    for farmer, zeros in ((first, 1), (second, 2)):
        await client.work(client.scenario.master, farmer, 0, zeros)
    await client.devnet.advance(60)
    await client.apply(client.bumped(await client.plant_call(other, 0), other))
    rewards = [returned(await client.harvest(client.scenario.master, farmer, 0)) for farmer in (first, second)]
    # The first block's ranges are all empty: every part counts 1, three for each farmer.
    assert rewards == [BASE_REWARD // 2, BASE_REWARD // 2]


async def test_sponsored_farmer_holds_no_xlm(client: LedgerClient) -> None:
    farmer = keypair(1)
    _, before = await client.get(f"/accounts/{client.scenario.master.public_key}")
    await client.onboard(farmer)
    _, account = await client.get(f"/accounts/{farmer.public_key}")
    _, master = await client.get(f"/accounts/{client.scenario.master.public_key}")
    native = next(line["balance"] for line in account["balances"] if line["asset_type"] == "native")
    assert (native, account["num_sponsored"], account["subentry_count"]) == ("0.0000000", 3, 1)
    assert master["num_sponsoring"] == before["num_sponsoring"] + 3


async def test_fifty_plants_fit_in_one_ledger(client: LedgerClient) -> None:
    farmers = [keypair(number) for number in range(1, 51)]
    for start in range(0, 50, 10):
        await client.onboard(*farmers[start : start + 10])
    await client.apply(client.bumped(await client.plant_call(farmers[0], 0), farmers[0]))
    bumps = [client.bumped(await client.plant_call(farmer, KALE), farmer) for farmer in farmers[1:]]
    sent = await asyncio.gather(*(client.rpc.send_transaction(bump) for bump in bumps))
    assert {answer.status for answer in sent} == {SendTransactionStatus.PENDING}
    await client.devnet.advance()
    ended = [await client.rpc.get_transaction(answer.hash) for answer in sent]
    assert {(one.status.value, one.ledger) for one in ended} == {
        ("SUCCESS", client.devnet.ledger.history.latest.sequence)
    }
    assert all(one.fee_bump for one in ended)


async def test_account_has_one_transaction_pending(client: LedgerClient) -> None:
    master = client.scenario.master
    envelope = (await client.payment(master)).build()
    assert (await client.send(envelope, master)).status is SendTransactionStatus.PENDING
    assert (await client.send(envelope)).status is SendTransactionStatus.DUPLICATE
    second = await client.payment(master)
    second.add_text_memo("another")
    assert (await client.send(second.build(), master)).status is SendTransactionStatus.TRY_AGAIN_LATER
    await client.devnet.advance()
    assert (await client.send(envelope)).status is SendTransactionStatus.DUPLICATE


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        ({"min_ledger": 50}, "txTOO_EARLY"),
        ({"max_ledger": 3}, "txTOO_LATE"),
    ],
)
async def test_transaction_out_of_its_ledger_bounds_is_refused(
    client: LedgerClient, bounds: dict[str, int], code: str
) -> None:
    master = client.scenario.master
    builder = await client.payment(master)
    builder.set_ledger_bounds(bounds.get("min_ledger", 0), bounds.get("max_ledger", 0))
    sent = await client.send(builder.build(), master)
    assert sent.status is SendTransactionStatus.ERROR
    assert sent.error_result_xdr
    result = xdr.TransactionResult.from_xdr(sent.error_result_xdr).result
    assert result.code.name.replace("_", "").lower() == code.replace("_", "").lower()


async def test_transaction_out_of_its_time_bounds_is_refused(client: LedgerClient) -> None:
    master = client.scenario.master
    builder = await client.payment(master)
    builder.time_bounds = None
    builder.add_time_bounds(0, client.devnet.ledger.history.latest.close_time - 1)
    sent = await client.send(builder.build(), master)
    assert sent.error_result_xdr
    code = xdr.TransactionResult.from_xdr(sent.error_result_xdr).result.code
    assert code is xdr.TransactionResultCode.txTOO_LATE


async def test_wrong_calls_fail_with_the_farms_numbers(client: LedgerClient) -> None:
    farmer = keypair(1)
    await client.onboard(farmer)
    arguments = [scval.to_address(farmer.public_key), scval.to_uint32(9)]
    builder = await client.builder(client.scenario.master)
    builder.append_invoke_contract_function_op(client.scenario.farm_id, "harvest", arguments)
    answer = await client.rpc.simulate_transaction(builder.build())
    assert answer.error
    assert "Error(Contract, #11)" in answer.error


async def test_pail_expires_with_its_ledger(client: LedgerClient) -> None:
    farmer = keypair(1)
    await client.onboard(farmer)
    planted = await client.apply(client.bumped(await client.plant_call(farmer, KALE), farmer))
    key = pail_key(client.scenario.farm_id, farmer.public_key, 0)
    (entry,) = (await client.rpc.get_ledger_entries([key])).entries or []
    assert planted.ledger
    assert entry.live_until_ledger == planted.ledger + 719
    await client.devnet.advance(719)
    assert (await client.rpc.get_ledger_entries([key])).entries
    await client.devnet.advance()
    assert not (await client.rpc.get_ledger_entries([key])).entries
    instance = instance_key(client.scenario.farm_id)
    assert (await client.rpc.get_ledger_entries([instance])).entries


async def test_repeated_work_counts_the_later_gap(client: LedgerClient) -> None:
    master, farmer = client.scenario.master, keypair(1)
    await client.onboard(farmer)
    await client.apply(client.bumped(await client.plant_call(farmer, 0), farmer))
    await client.devnet.advance()
    assert returned(await client.work(master, farmer, 0, 1)) == 2
    await client.devnet.advance(2)
    assert returned(await client.work(master, farmer, 0, 3)) == 5
