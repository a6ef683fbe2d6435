"""The local ledger's JSON-RPC, friendbot and Horizon route, as clients meet them."""

import asyncio
import contextlib
import hashlib

import pytest
from stellar_sdk import Keypair, SorobanServer, TransactionBuilder, scval, xdr
from stellar_sdk.soroban_rpc import EventFilter, EventFilterType

from devnet.server import DevnetServer
from tests.fixtures.ledger_client import LedgerClient

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602


def somebody(number: int) -> str:
    return Keypair.from_raw_ed25519_seed(bytes([number]) * 32).public_key


async def test_synchronous_client_finds_its_way(devnet: DevnetServer) -> None:
    def ask() -> tuple[str, str | None, int, int]:
        with SorobanServer(devnet.url) as rpc:
            network = rpc.get_network()
            health = rpc.get_health()
            assert rpc.get_version_info().protocol_version == network.protocol_version
            return network.passphrase, network.friendbot_url, health.oldest_ledger, health.latest_ledger

    latest = devnet.ledger.history.latest.sequence
    assert await asyncio.to_thread(ask) == (devnet.scenario.passphrase, devnet.friendbot_url, 1, latest)


async def test_latest_ledger_is_chained_to_the_one_before(client: LedgerClient) -> None:
    await client.devnet.advance()
    latest = await client.rpc.get_latest_ledger()
    page = await client.rpc.get_ledgers(latest.sequence - 1)
    before, last = page.ledgers
    assert (last.hash, last.sequence, last.ledger_close_time) == (latest.id, latest.sequence, latest.close_time)
    header = xdr.LedgerHeader.from_xdr(latest.header_xdr)
    assert header.previous_ledger_hash.hash.hex() == before.hash
    assert hashlib.sha256(header.to_xdr_bytes()).hexdigest() == latest.id
    assert header.scp_value.close_time.time_point.uint64 == latest.close_time
    meta = xdr.LedgerCloseMeta.from_xdr(last.metadata_xdr).v2
    assert meta
    assert meta.ledger_header.header == header


async def test_ledger_meta_holds_the_transactions(client: LedgerClient) -> None:
    ledger = client.devnet.ledger.history.ledger(3)
    page = await client.rpc.get_ledgers(3, limit=1)
    meta = xdr.LedgerCloseMeta.from_xdr(page.ledgers[0].metadata_xdr).v2
    assert meta
    hashes = [one.result.transaction_hash.hash.hex() for one in meta.tx_processing]
    assert sorted(hashes) == sorted(record.hash for record in ledger.transactions)
    assert len(hashes) == 3


@pytest.mark.parametrize("turns", range(5))
async def test_ledger_closes_whole_though_nobody_waits_for_it_any_more(devnet: DevnetServer, turns: int) -> None:
    impatient = asyncio.create_task(devnet.advance())
    for _ in range(turns):
        await asyncio.sleep(0)
    impatient.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await impatient
    await devnet.advance()
    engine = await devnet.ledger.call(lambda client: client.engine.last_ledger.sequence)
    assert devnet.ledger.history.latest.sequence == engine


async def test_pages_of_transactions_are_whole_and_without_repeats(client: LedgerClient) -> None:
    expected = [record.hash for ledger in client.devnet.ledger.history.since(1) for record in ledger.transactions]
    page = await client.rpc.get_transactions(1, limit=2)
    seen = [one.transaction_hash for one in page.transactions]
    while page.transactions:
        page = await client.rpc.get_transactions(cursor=page.cursor, limit=2)
        seen += [one.transaction_hash for one in page.transactions]
    assert seen == expected
    assert len(seen) == 7


async def test_cursor_at_the_end_finds_what_closes_later(client: LedgerClient) -> None:
    end = await client.rpc.get_transactions(1, limit=200)
    await client.get(f"/friendbot?addr={somebody(1)}")
    await client.devnet.advance(2)
    page = await client.rpc.get_transactions(cursor=end.cursor)
    assert [one.ledger for one in page.transactions] == [client.devnet.ledger.history.latest.sequence - 2]


@pytest.mark.parametrize("method", ["getTransactions", "getEvents", "getLedgers"])
@pytest.mark.parametrize("start", [0, 6])
async def test_start_outside_the_range_is_refused(client: LedgerClient, method: str, start: int) -> None:
    code, message = await client.call(method, startLedger=start)
    assert code == INVALID_REQUEST
    assert "1" in message
    assert "5" in message


@pytest.mark.parametrize(
    ("method", "params", "code", "reason"),
    [
        ("getBlock", {}, METHOD_NOT_FOUND, "getBlock"),
        ("getTransaction", {"hash": "ab"}, INVALID_PARAMS, "unexpected hash length (2)"),
        ("getTransaction", {}, INVALID_PARAMS, "hash must be a string"),
        ("getLedgerEntries", {"keys": ["AAAA", "?"]}, INVALID_PARAMS, "at index 0"),
        ("getLedgerEntries", {"keys": ["AAAA"] * 201}, INVALID_PARAMS, "200"),
        ("sendTransaction", {"transaction": "AAAA"}, INVALID_PARAMS, "invalid_xdr"),
        ("simulateTransaction", {"transaction": "", "authMode": "hope"}, INVALID_PARAMS, "authMode"),
        ("getTransactions", {"pagination": {"cursor": "x"}}, INVALID_PARAMS, "cursor"),
        ("getTransactions", {"startLedger": 1, "pagination": {"limit": 201}}, INVALID_PARAMS, "200"),
        ("getTransactions", {"startLedger": 1, "pagination": {"cursor": "1"}}, INVALID_PARAMS, "both"),
        ("getTransactions", {"startLedger": -1}, INVALID_PARAMS, "startLedger"),
        ("getEvents", {"startLedger": 1, "filters": [{}] * 6}, INVALID_PARAMS, "filters"),
        ("getLatestLedger", {"xdrFormat": "json"}, INVALID_PARAMS, "base64"),
    ],
)
async def test_bad_parameters_are_named(
    client: LedgerClient, method: str, params: dict[str, object], code: int, reason: str
) -> None:
    answer = await client.call(method, **params)
    assert answer[0] == code
    assert reason in answer[1]


async def test_batches_are_answered_in_order(client: LedgerClient) -> None:
    calls = [{"jsonrpc": "2.0", "id": number, "method": name} for number, name in enumerate(("getHealth", "nothing"))]
    _, answers = await client.post("/", calls)
    assert [answer["id"] for answer in answers] == [0, 1]
    assert answers[0]["result"]["status"] == "healthy"
    assert answers[1]["error"]["code"] == METHOD_NOT_FOUND


async def test_unknown_transaction_is_not_found_with_the_range_of_ledgers(client: LedgerClient) -> None:
    answer = await client.rpc.get_transaction("ab" * 32)
    assert answer.status.value == "NOT_FOUND"
    assert (answer.oldest_ledger, answer.latest_ledger) == (1, 5)


async def test_fee_bump_is_found_by_both_hashes(client: LedgerClient) -> None:
    scenario = client.scenario
    inner = (await client.payment(scenario.faucet)).build()
    inner.sign(scenario.faucet)
    bump = TransactionBuilder.build_fee_bump_transaction(scenario.master, 200, inner, scenario.passphrase)
    outer = await client.apply(bump, scenario.master)
    by_inner = await client.rpc.get_transaction(inner.hash_hex())
    assert outer.status == by_inner.status
    assert (outer.envelope_xdr, outer.fee_bump) == (by_inner.envelope_xdr, True)


async def test_events_are_filtered_by_contract_and_topic(client: LedgerClient) -> None:
    scenario = client.scenario
    farmer = Keypair.from_raw_ed25519_seed(bytes([9]) * 32)
    await client.onboard(farmer)
    start = client.devnet.ledger.history.latest.sequence
    await client.apply(client.bumped(await client.plant_call(farmer, 5), farmer))

    async def topics(*pattern: str) -> int:
        filters = [EventFilter(type=EventFilterType.CONTRACT, contractIds=[scenario.token_id], topics=[pattern])]
        return len((await client.rpc.get_events(start, filters=filters)).events)

    burn, mint = scval.to_symbol("burn").to_xdr(), scval.to_symbol("mint").to_xdr()
    assert await topics(burn, "**") == 1
    assert await topics(burn, "*", "*") == 1
    assert await topics(burn, "*") == 0
    assert await topics(mint, "**") == 0
    nobody = EventFilter(contractIds=[scenario.farm_id])
    assert (await client.rpc.get_events(start, filters=[nobody])).events == []


async def test_events_continue_after_their_cursor(client: LedgerClient) -> None:
    first = await client.rpc.get_events(1)
    assert len(first.events) == 1
    again = await client.rpc.get_events(cursor=first.events[0].id)
    assert again.events == []
    assert (await client.rpc.get_events(cursor=first.cursor)).events == []


async def test_friendbot_creates_an_account_once(client: LedgerClient) -> None:
    status, answer = await client.get(f"/friendbot?addr={somebody(1)}")
    assert (status, answer["successful"]) == (200, True)
    assert (await client.rpc.get_transaction(answer["hash"])).status.value == "SUCCESS"
    _, account = await client.get(f"/accounts/{somebody(1)}")
    assert account["balances"] == [{"balance": "10000.0000000", "asset_type": "native"}]
    status, answer = await client.get(f"/friendbot?addr={somebody(1)}")
    assert (status, answer["status"]) == (400, 400)
    assert "exists" in answer["detail"]


async def test_friendbot_serves_many_at_once(client: LedgerClient) -> None:
    answers = await asyncio.gather(*(client.get(f"/friendbot?addr={somebody(number)}") for number in range(1, 30)))
    assert {status for status, _ in answers} == {200}


async def test_friendbot_refuses_what_is_no_address(client: LedgerClient) -> None:
    status, answer = await client.get("/friendbot?addr=GABC")
    assert (status, answer["title"]) == (400, "Bad Request")


async def test_missing_account_is_a_problem_document(client: LedgerClient) -> None:
    status, answer = await client.get(f"/accounts/{somebody(1)}")
    assert (status, answer["status"], answer["title"]) == (404, 404, "Resource Missing")
    assert answer["type"].endswith("/not_found")


async def test_fee_stats_tell_what_was_paid(client: LedgerClient) -> None:
    master = client.scenario.master
    await client.apply((await client.payment(master)).build(), master)
    stats = await client.rpc.get_fee_stats()
    assert (stats.inclusion_fee.min, stats.inclusion_fee.max) == (100, 100)
    assert stats.inclusion_fee.transaction_count == 4
    assert stats.soroban_inclusion_fee.transaction_count == 4
    assert stats.soroban_inclusion_fee.p99 == 100
