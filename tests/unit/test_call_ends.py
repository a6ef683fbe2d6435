"""How calls end at the server: in time, with a reason, and without cutting what must be finished."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from backend.api import answering
from backend.api.answering import answered
from backend.api.handlers import Methods
from backend.services.finishing import Finishing
from tests.fixtures.grpc_errors import reason_of

METHOD = "/a.Service/Call"
SHORT_SECONDS = 0.05
LONG_SECONDS = 30


class OneMethod(grpc.GenericRpcHandler):
    """A service of one method that answers bytes as it is told."""

    def __init__(self, behaviour: Any) -> None:
        self._behaviour = behaviour

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._behaviour) if details.method == METHOD else None


@asynccontextmanager
async def serving(behaviour: Any) -> AsyncIterator[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]:
    methods = Methods((answered,))
    methods.add_generic_rpc_handlers((OneMethod(behaviour),))
    server = grpc.aio.server(handlers=(methods,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary(METHOD)
    await server.stop(None)


async def test_call_without_a_deadline_gets_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CALL_SECONDS", SHORT_SECONDS)
    cancelled = asyncio.Event()

    async def never(_request: bytes, _context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b""

    async with serving(never) as call, asyncio.timeout(LONG_SECONDS):
        with pytest.raises(grpc.aio.AioRpcError, match="same request id") as late:
            await call(b"")
        await cancelled.wait()
    assert (late.value.code(), reason_of(late.value)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_method_that_waits_for_the_ledger_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(answering, "LONG_CALLS", {METHOD: LONG_SECONDS})

    async def slow(request: bytes, _context: Any) -> bytes:
        await asyncio.sleep(SHORT_SECONDS)
        return request

    async with serving(slow) as call:
        assert await call(b"x") == b"x"


async def test_time_out_of_something_else_is_not_taken_for_the_deadline() -> None:
    async def fails(_request: bytes, _context: Any) -> bytes:
        raise TimeoutError

    async with serving(fails) as call:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"")
    assert failed.value.code() is grpc.StatusCode.INTERNAL


async def test_unknown_method_is_unimplemented() -> None:
    async with serving(None) as call:
        call._method = b"/a.Service/Other"  # type: ignore[attr-defined]
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await call(b"")
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_what_was_begun_goes_on_though_its_caller_is_cancelled() -> None:
    finishing, go_on, finished = Finishing(), asyncio.Event(), asyncio.Event()
    begun = asyncio.Event()

    async def work() -> int:
        begun.set()
        await go_on.wait()
        finished.set()
        return 7

    caller = asyncio.create_task(finishing.run(work()))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    async with asyncio.timeout(LONG_SECONDS):
        await finished.wait()
    assert await finishing.run(work()) == 7


async def test_closing_gives_up_what_still_runs() -> None:
    finishing, begun = Finishing(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    caller = asyncio.create_task(finishing.run(work()))
    await begun.wait()
    await finishing.close()
    with pytest.raises(asyncio.CancelledError):
        await caller
