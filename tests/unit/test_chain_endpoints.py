"""Several RPC endpoints as one: breakers, Retry-After, and the next endpoint at once."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from kale_chain.breaker import (
    FAILURES_TO_OPEN,
    LONGEST_PAUSE_SECONDS,
    LONGEST_WAIT_SECONDS,
    UNTOLD_WAIT_SECONDS,
    CircuitBreaker,
    CircuitState,
)
from kale_chain.errors import LedgerRangeError, RpcRateLimitedError, RpcRefusedError, RpcUnavailableError
from kale_chain.rpc import StellarRpc

Answer = dict[str, Any] | int


class Clock:
    """Tells the time it was set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_circuit_opens_after_failures_in_a_row_and_closes_by_one_success() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed()
    assert breaker.state is CircuitState.CLOSED
    breaker.failed()
    assert breaker.state is CircuitState.OPEN
    clock.now = 1.0
    assert breaker.state is CircuitState.HALF_OPEN
    breaker.failed()  # the trial
    assert breaker.state is CircuitState.OPEN
    clock.now = 2.5
    assert breaker.state is CircuitState.OPEN  # the second pause is longer
    clock.now = 3.0
    breaker.succeeded()
    assert breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize(
    ("asked", "waits"), [(None, UNTOLD_WAIT_SECONDS), (7.0, 7.0), (1e9, LONGEST_WAIT_SECONDS), (0.0, 0.0)]
)
def test_retry_after_is_waited_for_within_reason(asked: float | None, waits: float) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.wait(asked)
    assert breaker.quiet_seconds == waits
    clock.now = waits
    assert breaker.quiet_seconds == 0.0


@given(st.lists(st.one_of(st.booleans(), st.floats(0, 100)), max_size=60))
def test_circuit_never_stays_open_for_long(happenings: list[bool | float]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for one in happenings:
        if one is True:
            breaker.succeeded()
            assert breaker.state is CircuitState.CLOSED
        elif one is False:
            breaker.failed()
        else:
            clock.now += one
    clock.now += LONGEST_PAUSE_SECONDS
    assert breaker.state is not CircuitState.OPEN


class Fake:
    """An endpoint that answers getHealth with a ledger or a status, and getTransactions with what it is given."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.headers: dict[str, str] = {}
        self.calls = 0
        self.pages: Callable[[dict[str, Any]], dict[str, Any]] = lambda _: {}

    async def handle(self, request: web.Request) -> web.Response:
        self.calls += 1
        call = await request.json()
        if isinstance(self.answer, int):
            return web.Response(status=self.answer, headers=self.headers)
        result = self.pages(call["params"]) if call["method"] == "getTransactions" else self.answer
        if "code" in result:
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": result})
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": result})


def health(latest: int) -> dict[str, Any]:
    return {
        "status": "healthy",
        "latestLedger": latest,
        "latestLedgerCloseTime": latest * 5,
        "oldestLedger": 1,
        "oldestLedgerCloseTime": 5,
        "ledgerRetentionWindow": 100,
    }


@pytest.fixture
async def fakes() -> AsyncIterator[tuple[Fake, Fake, StellarRpc]]:
    first, second = Fake(health(10)), Fake(health(20))
    servers = []
    for fake in (first, second):
        app = web.Application()
        app.router.add_post("/", fake.handle)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
    async with StellarRpc([str(server.make_url("/")) for server in servers]) as rpc:
        yield first, second, rpc
    for server in servers:
        await server.close()


Fakes = tuple[Fake, Fake, StellarRpc]


async def test_preferred_endpoint_answers_while_it_can(fakes: Fakes) -> None:
    _, second, rpc = fakes
    assert (await rpc.latest_ledger()).sequence == 10
    assert second.calls == 0


@pytest.mark.parametrize("fault", [500, 429, {"code": -32603, "message": "broken"}, {"latestLedger": "rubbish"}])
async def test_next_endpoint_is_tried_at_once(fakes: Fakes, fault: Answer) -> None:
    first, _, rpc = fakes
    first.answer = fault
    assert (await rpc.latest_ledger()).sequence == 20


async def test_refusal_of_parameters_is_an_answer(fakes: Fakes) -> None:
    first, second, rpc = fakes
    first.answer = {"code": -32602, "message": "no such thing"}
    with pytest.raises(RpcRefusedError):
        await rpc.entries(["AAAA"])
    assert second.calls == 0
    assert rpc.endpoints[0].breaker.state is CircuitState.CLOSED


async def test_endpoint_that_keeps_failing_is_asked_last(fakes: Fakes) -> None:
    first, _, rpc = fakes
    first.answer = 500
    for _ in range(FAILURES_TO_OPEN + 2):
        await rpc.latest_ledger()
    assert first.calls == FAILURES_TO_OPEN
    assert rpc.endpoints[0].breaker.state is CircuitState.OPEN
    assert "HTTP status 500" in str(rpc.endpoints[0].last_error)


async def test_open_circuits_keep_nobody_from_the_last_resort(fakes: Fakes) -> None:
    first, second, rpc = fakes
    first.answer = second.answer = 500
    for _ in range(FAILURES_TO_OPEN + 1):
        with pytest.raises(RpcUnavailableError):
            await rpc.latest_ledger()
    first.answer = health(11)
    assert (await rpc.latest_ledger()).sequence == 11


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_of_an_endpoint_is_obeyed(fakes: Fakes, status: int) -> None:
    first, second, rpc = fakes
    first.answer, first.headers = status, {"Retry-After": "60"}
    await rpc.latest_ledger()
    first.answer = health(12)
    assert (await rpc.latest_ledger()).sequence == 20
    assert first.calls == 1
    second.answer, second.headers = 429, {"Retry-After": "60"}
    for _ in range(3):
        with pytest.raises(RpcRateLimitedError) as caught:
            await rpc.latest_ledger()
        assert 0 < (caught.value.retry_after or 0) <= 60
    assert (first.calls, second.calls) == (1, 3)


async def test_endpoint_that_lags_is_asked_after_the_others(fakes: Fakes) -> None:
    _, _, rpc = fakes
    rpc.endpoints[0].behind = True
    assert (await rpc.latest_ledger()).sequence == 20


async def test_each_try_of_sending_begins_with_another_endpoint(fakes: Fakes) -> None:
    first, second, rpc = fakes
    sent = {"status": "PENDING", "hash": "00" * 32, "latestLedger": 20, "latestLedgerCloseTime": 100}
    first.answer = second.answer = sent
    for tries in range(4):
        await rpc.send("AAAA", tries=tries)
    assert (first.calls, second.calls) == (2, 2)


async def test_page_of_an_endpoint_that_lags_does_not_end_a_reading(fakes: Fakes) -> None:
    first, second, rpc = fakes

    def page(latest: int, ledgers: list[int]) -> dict[str, Any]:
        transactions = [
            {
                "status": "SUCCESS",
                "txHash": f"{ledger:064x}",
                "applicationOrder": 1,
                "feeBump": False,
                "envelopeXdr": "AAAA",
                "resultXdr": "AAAA",
                "resultMetaXdr": "AAAA",
                "ledger": ledger,
                "createdAt": ledger * 5,
            }
            for ledger in ledgers
        ]
        return {
            "transactions": transactions,
            "latestLedger": latest,
            "latestLedgerCloseTimestamp": latest * 5,
            "oldestLedger": 1,
            "oldestLedgerCloseTimestamp": 5,
            "cursor": "1",
        }

    def first_page_only(parameters: dict[str, Any]) -> dict[str, Any]:
        if "startLedger" not in parameters:
            return {"code": -32603, "message": "broken"}
        return page(20, [15])

    first.pages, second.pages = first_page_only, lambda _: page(14, [])
    with pytest.raises(LedgerRangeError):
        await rpc.transactions(15, 18)
