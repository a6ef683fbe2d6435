"""The RPC client against a real HTTP server that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog
from aiohttp import web

from kale_chain.errors import (
    LedgerRangeError,
    RpcError,
    RpcRateLimitedError,
    RpcRefusedError,
    RpcTimeoutError,
    RpcUnavailableError,
)
from kale_chain.model import Ledger
from kale_chain.rpc import StellarRpc, SubmissionStatus
from kale_chain.transport import MAX_ANSWER_BYTES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Results = dict[str, Callable[[dict[str, Any]], Any]]


class Refusal(Exception):  # noqa: N818  (what a method answers, not what went wrong here)
    """A JSON-RPC error a method answers with."""


class Server:
    """A server on a free port of this machine; `handler` answers everything posted to it."""

    def __init__(self) -> None:
        self.handler: Handler
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.ids: list[int | str] = []
        self._runner = web.AppRunner(self._app())

    def _app(self) -> web.Application:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await self.handler(request)

        app = web.Application()
        app.router.add_post("/{path:.*}", answer)
        return app

    async def start(self) -> str:
        """Serve, and tell host and port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Serve no more."""
        await self._runner.cleanup()

    def serve(self, results: Results) -> None:
        """Answer each method with what its function returns for the parameters."""

        async def answer(request: web.Request) -> web.StreamResponse:
            call = await request.json()
            parameters = call.get("params") or {}
            self.calls.append((call["method"], parameters))
            self.ids.append(call["id"])
            try:
                body = {"result": results[call["method"]](parameters)}
            except Refusal as refusal:
                body = {"error": {"code": -32602, "message": str(refusal)}}
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], **body})

        self.handler = answer

    def respond(self, text: str = "", status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer everything with the same HTTP response."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(text=text, status=status, headers=headers)

        self.handler = answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server()
    yield one
    await one.stop()


@pytest.fixture
async def rpc(server: Server) -> AsyncIterator[StellarRpc]:
    address = await server.start()
    async with StellarRpc(f"http://user:hunter2@{address}/v1/api-key?token=sesame") as client:
        yield client


def health(latest: int = 20, oldest: int = 10) -> dict[str, Any]:
    return {
        "status": "healthy",
        "latestLedger": latest,
        "latestLedgerCloseTime": str(1_000 + latest),
        "oldestLedger": oldest,
        "ledgerRetentionWindow": 11,
    }


def transaction(ledger: int, number: int = 0) -> dict[str, Any]:
    return {
        "status": "SUCCESS",
        "txHash": f"{ledger:032x}{number:032x}",
        "applicationOrder": number + 1,
        "feeBump": False,
        "envelopeXdr": "",
        "resultXdr": "",
        "resultMetaXdr": "",
        "ledger": ledger,
        "createdAt": 1_000 + ledger,
    }


def pages(held: list[dict[str, Any]], page_size: int, latest: int = 20) -> Callable[[dict[str, Any]], Any]:
    """Answers getTransactions over `held`, in pages no longer than `page_size` whatever limit is asked for."""

    def answer(parameters: dict[str, Any]) -> dict[str, Any]:
        cursor = parameters["pagination"].get("cursor")
        if cursor is None:
            if not 10 <= parameters["startLedger"] <= latest:
                raise Refusal("start ledger must be within the range")
            start = next((i for i, one in enumerate(held) if one["ledger"] >= parameters["startLedger"]), len(held))
        else:
            assert "startLedger" not in parameters
            start = int(cursor)
        part = held[start : start + page_size]
        return {
            "transactions": part,
            "latestLedger": latest,
            "latestLedgerCloseTimestamp": 1_000 + latest,
            "oldestLedger": 10,
            "oldestLedgerCloseTimestamp": 1_010,
            "cursor": str(start + len(part)),
        }

    return answer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html>", "no JSON"),
        ("", "no JSON"),
        ("[1]", "no JSON-RPC object"),
        ("[" * 100_000, "no JSON"),
        ('{"jsonrpc": "2.0", "id": 1}', "no result"),
        ('{"result": null}', "no result"),
        ('{"result": {"status": "healthy"}}', "lacks"),
        ('{"result": {"latestLedger": "many", "latestLedgerCloseTime": "0"}}', "lacks"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_an_unavailable_rpc(
    rpc: StellarRpc, server: Server, text: str, words: str
) -> None:
    server.respond(text)
    with pytest.raises(RpcUnavailableError, match=words):
        await rpc.latest_ledger()


async def test_bytes_that_are_no_text_are_an_unavailable_rpc(rpc: StellarRpc, server: Server) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\xff\xfe\xff", content_type="application/json")

    server.handler = answer
    with pytest.raises(RpcUnavailableError, match="no JSON"):
        await rpc.network()


@pytest.mark.parametrize("status", [301, 400, 404, 500, 502, 503])
async def test_every_other_status_is_an_unavailable_rpc(rpc: StellarRpc, server: Server, status: int) -> None:
    server.respond(status=status, headers={"Location": "/elsewhere"})
    with pytest.raises(RpcUnavailableError, match=f"HTTP status {status}"):
        await rpc.network()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), ("0", 0.0), ("soon", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
async def test_too_many_requests_tells_how_long_to_stay_away(
    rpc: StellarRpc, server: Server, header: str | None, seconds: float | None
) -> None:
    server.respond(status=429, headers={"Retry-After": header} if header else None)
    with pytest.raises(RpcRateLimitedError) as caught:
        await rpc.network()
    assert caught.value.retry_after == seconds


async def test_a_json_rpc_error_is_a_refusal_in_the_endpoints_words(rpc: StellarRpc, server: Server) -> None:
    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal("no such parameter")

    server.serve({"getNetwork": refuse})
    with pytest.raises(RpcRefusedError) as caught:
        await rpc.network()
    assert (caught.value.code, caught.value.reason) == (-32602, "no such parameter")


async def test_a_json_rpc_error_of_another_shape_is_a_refusal_too(rpc: StellarRpc, server: Server) -> None:
    server.respond(json.dumps({"error": "go away"}))
    with pytest.raises(RpcRefusedError, match="go away"):
        await rpc.network()


async def test_a_silent_rpc_is_a_timeout(server: Server) -> None:
    released = asyncio.Event()

    async def silence(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    server.handler = silence
    async with StellarRpc(f"http://{await server.start()}", timeout=0.05) as client:
        with pytest.raises(RpcTimeoutError, match=r"no answer within 0\.05 s"):
            await client.network()
    released.set()


async def test_a_broken_connection_is_an_unavailable_rpc(rpc: StellarRpc, server: Server) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.handler = hang_up
    with pytest.raises(RpcUnavailableError):
        await rpc.network()


async def test_an_answer_without_end_is_cut(rpc: StellarRpc, server: Server) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(2 * MAX_ANSWER_BYTES // 2**20):
                await response.write(b" " * 2**20)
        except ConnectionError:
            pass
        return response

    server.handler = flood
    with pytest.raises(RpcUnavailableError, match="longer than"):
        await rpc.network()


async def test_a_refused_connection_names_the_endpoint_and_no_credential(server: Server) -> None:
    address = await server.start()
    await server.stop()
    async with StellarRpc(f"http://user:hunter2@{address}/api-key?token=sesame") as client:
        with pytest.raises(RpcUnavailableError) as caught:
            await client.network()
    text = str(caught.value)
    assert f"http://{address}" in text
    assert not any(secret in text for secret in ("hunter2", "user", "api-key", "sesame"))


async def test_no_error_holds_more_of_the_url_than_the_endpoint(rpc: StellarRpc, server: Server) -> None:
    for status in (429, 500):
        server.respond(status=status)
        with pytest.raises(RpcError) as caught:
            await rpc.network()
        assert not any(secret in str(caught.value) for secret in ("hunter2", "api-key", "sesame"))


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/", "http://", "http://[", "https://host:port"])
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(RpcUnavailableError, match="STELLAR_RPC_URL must be"):
        StellarRpc(url)


async def test_latest_ledger_asks_for_health_alone(rpc: StellarRpc, server: Server) -> None:
    server.serve({"getHealth": lambda _: health()})
    assert await rpc.latest_ledger() == Ledger(20, 1_020)
    assert [method for method, _ in server.calls] == ["getHealth"]


async def test_latest_ledger_of_an_older_rpc_comes_from_get_latest_ledger(rpc: StellarRpc, server: Server) -> None:
    old = {name: value for name, value in health().items() if name != "latestLedgerCloseTime"}
    latest = {
        "id": "00",
        "protocolVersion": 22,
        "sequence": 21,
        "closeTime": "1021",
        "headerXdr": "",
        "metadataXdr": "",
    }
    server.serve({"getHealth": lambda _: old, "getLatestLedger": lambda _: latest})
    assert await rpc.latest_ledger() == Ledger(21, 1_021)


async def test_latest_ledger_of_a_network_standing_still_is_its_last_one(rpc: StellarRpc, server: Server) -> None:
    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal("latency since last known ledger closed is too high")

    latest = {
        "id": "00",
        "protocolVersion": 28,
        "sequence": 21,
        "closeTime": "1021",
        "headerXdr": "",
        "metadataXdr": "",
    }
    server.serve({"getHealth": refuse, "getLatestLedger": lambda _: latest})
    assert await rpc.latest_ledger() == Ledger(21, 1_021)


async def test_a_refusal_that_health_cannot_explain_stays_one(rpc: StellarRpc, server: Server) -> None:
    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal("not today")

    server.serve({"getTransactions": refuse, "getHealth": refuse})
    with pytest.raises(RpcRefusedError, match=r"getTransactions.*not today"):
        await rpc.transactions(12, 13)


async def test_entries_are_asked_for_200_at_a_time_and_dated_by_the_earliest_answer(
    rpc: StellarRpc, server: Server
) -> None:
    ledgers = iter([50, 49, 51])

    def answer(parameters: dict[str, Any]) -> dict[str, Any]:
        present = [key for key in parameters["keys"] if int(key) % 2]
        found = [{"key": key, "xdr": f"data {key}", "lastModifiedLedgerSeq": 3} for key in present]
        return {"entries": found, "latestLedger": next(ledgers)}

    server.serve({"getLedgerEntries": answer})
    entries = await rpc.entries([str(number) for number in range(401)])
    assert [len(parameters["keys"]) for _, parameters in server.calls] == [200, 200, 1]
    assert entries.ledger == 49
    entry = entries.get("399")
    assert entry is not None
    assert (entry.data_xdr, entry.last_modified, entry.live_until) == ("data 399", 3, None)
    assert entries.get("400") is None


@pytest.mark.parametrize("page_size", [1, 2, 3, 100])
async def test_transactions_of_whole_ledgers_come_whatever_the_pages_are(
    rpc: StellarRpc, server: Server, page_size: int
) -> None:
    held = [transaction(ledger, number) for ledger in (11, 12, 14, 15) for number in range(3)]
    server.serve({"getTransactions": pages(held, page_size)})
    found = await rpc.transactions(12, 14)
    assert [one.hash for one in found] == [one["txHash"] for one in held[3:9]]
    assert [one.hash for one in await rpc.transactions(11, 20)] == [one["txHash"] for one in held]
    assert await rpc.transactions(16, 20) == []


@pytest.mark.parametrize(("start", "end", "asked"), [(9, 12, 9), (21, 22, 21), (15, 21, 21)])
async def test_ledgers_the_rpc_does_not_hold_are_a_range_error(
    rpc: StellarRpc, server: Server, start: int, end: int, asked: int
) -> None:
    server.serve({"getTransactions": pages([transaction(15)], 10), "getHealth": lambda _: health()})
    with pytest.raises(LedgerRangeError) as caught:
        await rpc.transactions(start, end)
    assert (caught.value.asked, caught.value.oldest, caught.value.latest) == (asked, 10, 20)


async def test_another_refusal_of_transactions_stays_one(rpc: StellarRpc, server: Server) -> None:
    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal("limit too high")

    server.serve({"getTransactions": refuse, "getHealth": lambda _: health()})
    with pytest.raises(RpcRefusedError, match="limit too high"):
        await rpc.transactions(12, 13)


async def test_a_transaction_not_found_is_none(rpc: StellarRpc, server: Server) -> None:
    bounds = {
        "latestLedger": 20,
        "latestLedgerCloseTime": "1020",
        "oldestLedger": 10,
        "oldestLedgerCloseTime": "1010",
    }
    held = {"aa": {**transaction(12), **bounds, "txHash": "aa", "createdAt": "1012"}}
    server.serve(
        {"getTransaction": lambda asked: held.get(asked["hash"], {"status": "NOT_FOUND", "txHash": "bb", **bounds})}
    )
    assert await rpc.transaction("bb") is None
    found = await rpc.transaction("aa")
    assert found is not None
    assert (found.hash, found.ledger, found.close_time, found.successful) == ("aa", 12, 1_012, True)


@pytest.mark.parametrize("status", ["PENDING", "DUPLICATE", "TRY_AGAIN_LATER"])
async def test_what_became_of_a_sending_is_told_as_it_was_answered(
    rpc: StellarRpc, server: Server, status: str
) -> None:
    server.serve(
        {
            "sendTransaction": lambda _: {
                "status": status,
                "hash": "aa",
                "latestLedger": 20,
                "latestLedgerCloseTime": "1020",
            }
        }
    )
    submission = await rpc.send("envelope")
    assert submission.status == SubmissionStatus(status)
    assert (submission.code, submission.hash, submission.ledger) == (None, "aa", 20)
    assert server.calls == [("sendTransaction", {"transaction": "envelope"})]


async def test_a_simulation_that_fails_tells_why(rpc: StellarRpc, server: Server) -> None:
    server.serve({"simulateTransaction": lambda _: {"error": "HostError: no", "latestLedger": 20}})
    simulation = await rpc.simulate("envelope")
    assert (simulation.error, simulation.resources, simulation.ledger) == ("HostError: no", None, 20)


async def test_fee_stats_are_stroops(rpc: StellarRpc, server: Server) -> None:
    names = ["max", "min", "mode", *(f"p{percent}" for percent in (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99))]
    stats = {name: str(100 + number) for number, name in enumerate(names)} | {
        "transactionCount": "5",
        "ledgerCount": 50,
    }
    server.serve({"getFeeStats": lambda _: {"sorobanInclusionFee": stats, "inclusionFee": stats, "latestLedger": 20}})
    fees = await rpc.fee_stats()
    assert (fees.soroban_inclusion_p50, fees.soroban_inclusion_p90, fees.soroban_inclusion_max) == (107, 111, 100)


async def test_a_closed_client_connects_again(rpc: StellarRpc, server: Server) -> None:
    server.serve({"getHealth": lambda _: health()})
    await rpc.latest_ledger()
    await rpc.close()
    await rpc.close()
    assert await rpc.latest_ledger() == Ledger(20, 1_020)


async def test_a_call_carries_the_request_that_the_logs_name(rpc: StellarRpc, server: Server) -> None:
    server.serve({"getHealth": lambda _: health()})
    with structlog.contextvars.bound_contextvars(request_id="pooler-1:9"):
        await rpc.latest_ledger()
    await rpc.latest_ledger()
    assert server.ids == ["1 pooler-1:9", 2]
