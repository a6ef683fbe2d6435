"""Faults that tests can ask the local ledger for."""

import aiohttp
import pytest
from stellar_sdk import Keypair, xdr
from stellar_sdk.soroban_rpc import SendTransactionStatus

from devnet.engine_client import account_key, instance_key, trustline_key
from devnet.farm_reader import pail_key
from tests.fixtures.ledger_client import LedgerClient

FARMER = Keypair.from_raw_ed25519_seed(bytes([7]) * 32)


async def fault(client: LedgerClient, path: str = "faults", **body: object) -> int:
    status, _ = await client.post(f"/devnet/{path}", body)
    return status


async def test_dropped_answer_leaves_the_transaction_in_the_queue(client: LedgerClient) -> None:
    master = client.scenario.master
    payment = (await client.payment(master)).build()
    payment.sign(master)
    await fault(client, action="drop", method="sendTransaction")
    with pytest.raises(aiohttp.ClientError):
        await client.call("sendTransaction", transaction=payment.to_xdr())
    assert (await client.send(payment)).status is SendTransactionStatus.DUPLICATE
    await client.devnet.advance()
    assert (await client.rpc.get_transaction(payment.hash_hex())).status.value == "SUCCESS"


async def test_delayed_answer_comes_in_the_end(client: LedgerClient) -> None:
    await fault(client, action="delay", seconds=0.01)
    assert (await client.call("getHealth"))["status"] == "healthy"


async def test_refused_call_has_no_effect(client: LedgerClient) -> None:
    master = client.scenario.master
    payment = (await client.payment(master)).build()
    payment.sign(master)
    await fault(client, action="error", method="sendTransaction")
    code, _ = await client.call("sendTransaction", transaction=payment.to_xdr())
    assert code == -32603
    assert (await client.send(payment)).status is SendTransactionStatus.PENDING


async def test_http_status_is_given_as_often_as_asked(client: LedgerClient) -> None:
    await fault(client, action="status", status=429, count=2)
    call = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
    assert [(await client.post("/", call))[0] for _ in range(3)] == [429, 429, 200]


async def test_lie_changes_the_fields_told_until_cleared(client: LedgerClient) -> None:
    await fault(client, action="lie", method="getHealth", count=None, result={"latestLedger": 99})
    for _ in range(2):
        health = await client.call("getHealth")
        assert (health["latestLedger"], health["oldestLedger"]) == (99, 1)
    await fault(client, "faults/clear")
    assert (await client.call("getHealth"))["latestLedger"] == 5


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"action": "explode"}),
        ("faults", {"action": "drop", "colour": "red"}),
        ("advance", {"ledgers": -1}),
        ("fees", {}),
        ("farm", {"paused": False}),
        ("expire", {"key": "AAAA"}),
    ],
)
async def test_wrong_order_is_refused(client: LedgerClient, path: str, body: dict[str, object]) -> None:
    status, answer = await client.post(f"/devnet/{path}", body)
    assert status == 400
    assert answer["error"]


async def test_lagging_node_shows_the_past_everywhere(client: LedgerClient) -> None:
    await client.onboard(FARMER)
    planted = await client.apply(client.bumped(await client.plant_call(FARMER, 5), FARMER))
    pail = pail_key(client.scenario.farm_id, FARMER.public_key, 0)
    line = trustline_key(FARMER.public_key, client.scenario.asset)
    await client.devnet.advance(2)
    assert planted.ledger
    await fault(client, "lag", ledgers=3)
    assert (await client.rpc.get_latest_ledger()).sequence == planted.ledger - 1
    answer = await client.rpc.get_ledger_entries([pail, line])
    assert answer.latest_ledger == planted.ledger - 1
    (entry,) = answer.entries or []
    trustline = xdr.LedgerEntryData.from_xdr(entry.xdr).trust_line
    assert trustline
    assert trustline.balance.int64 == 1_000_000_000
    hash_ = next(record.hash for record in client.devnet.ledger.history.ledger(planted.ledger).transactions)
    assert (await client.rpc.get_transaction(hash_)).status.value == "NOT_FOUND"
    await fault(client, "lag", ledgers=2)
    assert (await client.rpc.get_transaction(hash_)).status.value == "SUCCESS"
    assert len((await client.rpc.get_ledger_entries([pail, line])).entries or []) == 2


async def test_lagging_node_shows_accounts_that_are_gone_or_new_as_they_were(client: LedgerClient) -> None:
    await client.devnet.advance(3)
    await client.get(f"/friendbot?addr={FARMER.public_key}")
    await fault(client, "lag", ledgers=1)
    keys = [account_key(FARMER.public_key), account_key(client.scenario.master.public_key)]
    entries = (await client.rpc.get_ledger_entries(keys)).entries or []
    assert [entry.key for entry in entries] == [keys[1].to_xdr()]


async def test_paused_farm_refuses_plants_until_unpaused(client: LedgerClient) -> None:
    await client.onboard(FARMER)
    plant = await client.plant_call(FARMER, 0)
    await fault(client, "farm", paused=True)
    await client.devnet.advance()
    refused = await client.apply(client.bumped(plant, FARMER))
    assert refused.status.value == "FAILED"
    await fault(client, "farm", paused=False)
    await client.devnet.advance()
    bump = client.bumped(await client.plant_call(FARMER, 0), FARMER)
    assert (await client.apply(bump)).status.value == "SUCCESS"


async def test_expired_pail_cannot_be_worked(client: LedgerClient) -> None:
    await client.onboard(FARMER)
    await client.apply(client.bumped(await client.plant_call(FARMER, 0), FARMER))
    await client.devnet.advance(3)
    assert await fault(client, "expire", farmer=FARMER.public_key, block_index=0) == 200
    pail = pail_key(client.scenario.farm_id, FARMER.public_key, 0)
    assert not (await client.rpc.get_ledger_entries([pail])).entries
    bump = client.bumped(await client.plant_call(FARMER, 0), FARMER)
    assert (await client.apply(bump)).status.value == "SUCCESS"


async def test_spiked_fee_is_told_and_demanded(client: LedgerClient) -> None:
    master = client.scenario.master
    await fault(client, "fees", base_fee=5_000)
    await client.devnet.advance()
    stats = await client.rpc.get_fee_stats()
    assert (stats.soroban_inclusion_fee.p90, stats.inclusion_fee.p90) == (5_000, 5_000)
    sent = await client.send((await client.payment(master)).build(), master)
    assert sent.error_result_xdr
    result = xdr.TransactionResult.from_xdr(sent.error_result_xdr)
    assert result.result.code is xdr.TransactionResultCode.txINSUFFICIENT_FEE


async def test_dropped_queue_is_forgotten(client: LedgerClient) -> None:
    master = client.scenario.master
    sent = await client.send((await client.payment(master)).build(), master)
    await fault(client, "queue/drop")
    await client.devnet.advance()
    assert (await client.rpc.get_transaction(sent.hash)).status.value == "NOT_FOUND"


async def test_owner_upgrades_the_code_and_removes_blocks(client: LedgerClient) -> None:
    key = instance_key(client.scenario.farm_id)
    before = (await client.rpc.get_ledger_entries([key])).entries
    assert await fault(client, "farm/upgrade") == 200
    await client.devnet.advance()
    after = (await client.rpc.get_ledger_entries([key])).entries
    assert before
    assert after
    assert before[0].xdr != after[0].xdr
    assert await fault(client, "farm/remove_block", block_index=99) == 400  # there is no such block
