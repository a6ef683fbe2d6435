"""The protocol under load and under attack, beside a bare gRPC echo and beside peace.

Load: 500 farmers' plant events are replayed to 10 poolers at once, and a unary call is repeated; the same clients then
do the same with a bare grpc.aio server in a process of its own that answers messages of the same length unread.
Attack: malformed and oversized messages, idle connections and streams that are reset at once, from a process of its
own, while the unary call goes on.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import grpc
import grpc.aio
import psutil
from plant_farmers import first_block, nearly_due, pool

from devnet.demo.onboarding import onboard
from kalepool.v1 import pool_pb2

PLANT = "/kalepool.v1.PoolService/Plant"
REPORT_BLOCK = "/kalepool.v1.PoolService/ReportBlock"
UNLIMITED = {"RATE_LIMIT_PER_SECOND": "100000", "RATE_LIMIT_BURST": "1000000"}
_CONCURRENT = 4
_OVERSIZED = 64 * 1024 + 1


class Echo(grpc.GenericRpcHandler):
    """Answers every unary call with what it was sent, every stream with so many messages of one length."""

    def __init__(self, messages: int, length: int) -> None:
        self._messages = messages
        self._answer = bytes(length)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method."""

        async def unary(request: bytes, _context: object) -> bytes:
            return request

        async def stream(_request: bytes, _context: object) -> AsyncIterator[bytes]:
            for _ in range(self._messages):
                yield self._answer

        if handler_call_details.method == REPORT_BLOCK:
            return grpc.unary_unary_rpc_method_handler(unary)
        return grpc.unary_stream_rpc_method_handler(stream)


async def serve_echo(messages: int, length: int) -> None:
    """A bare server, until it is stopped; its port is printed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(messages, length),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


async def events_per_second(port: int, requests: list[bytes], rounds: int) -> float:
    """Messages a second over all streams, each on a connection of its own, read again and again."""

    async def read(request: bytes) -> int:
        count = 0
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            for _ in range(rounds):
                async for _message in channel.unary_stream(PLANT)(request):
                    count += 1
        return count

    started = time.perf_counter()
    counts = await asyncio.gather(*map(read, requests))
    return sum(counts) / (time.perf_counter() - started)


async def latencies(port: int, request: bytes, calls: int) -> list[float]:
    """Milliseconds of unary calls, a few at a time."""
    taken: list[float] = []

    async def call(channel: grpc.aio.Channel) -> None:
        method = channel.unary_unary(REPORT_BLOCK)
        for _ in range(calls // _CONCURRENT):
            started = time.perf_counter()
            await method(request)
            taken.append((time.perf_counter() - started) * 1000)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await asyncio.gather(*(call(channel) for _ in range(_CONCURRENT)))
    return taken


def p99(taken: list[float]) -> float:
    """The latency that one call in a hundred exceeds."""
    return sorted(taken)[len(taken) * 99 // 100]


async def attack(port: int, messages: int, connections: int) -> None:
    """Malformed messages, resets and idle connections."""
    chosen = random.Random(1)  # noqa: S311  (the same attack every time)
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]

    async def molest(count: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for number in range(count):
                call = channel.unary_stream(PLANT)(chosen.randbytes(_OVERSIZED if number % 100 == 0 else 80))
                if number % 3 == 0:
                    call.cancel()
                    continue
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await call.read()

    await asyncio.gather(*(molest(messages // 10) for _ in range(10)))
    for _, writer in idle:
        writer.close()


async def plant_all(port: int, poolers: int, farmers: int) -> tuple[list[bytes], int, bytes]:
    """Plants for every pooler: their requests for replay, the events of one, and a call that changes nothing."""
    await onboard(f"127.0.0.1:{port}", farmers, run_id="bench")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        block = await first_block(channel) + 1
        await nearly_due(channel)
        share = farmers // poolers
        requests = [
            pool_pb2.PlantRequest(
                request_id=f"p{number}:{block}", pooler_id=f"p{number}", block_index=block, requested_farmers=share
            ).SerializeToString()
            for number in range(poolers)
        ]

        async def read(request: bytes) -> list[bytes]:
            return [message async for message in channel.unary_stream(PLANT)(request)]

        lengths = [len(message) for message in (await asyncio.gather(*map(read, requests)))[0]]
    report = pool_pb2.ReportBlockRequest(pooler_id="p0", block_index=block, opened_ledger_time=1, ledger_sequence=1)
    return requests, max(lengths), report.SerializeToString()


async def measure(port: int, backend: psutil.Process, options: argparse.Namespace) -> dict[str, object]:
    """Everything, the backend and the echo in turn."""
    requests, length, report = await plant_all(port, options.poolers, options.farmers)
    messages = options.farmers // options.poolers + 1
    with echo(messages, length) as bare:
        figures = {
            "events_per_second": await events_per_second(port, requests, options.rounds),
            "echo_events_per_second": await events_per_second(bare, requests, options.rounds),
            "unary_p99_ms": p99(await latencies(port, report, options.calls)),
            "echo_unary_p99_ms": p99(await latencies(bare, report, options.calls)),
        }
    figures["events_ratio"] = figures["events_per_second"] / figures["echo_events_per_second"]
    figures["unary_p99_ratio"] = figures["echo_unary_p99_ms"] / figures["unary_p99_ms"]
    before = backend.memory_info().rss
    arguments = ("--attack", str(port), "--messages", str(options.messages), "--connections", str(options.connections))
    attacker = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)
    attacked: list[float] = []
    while attacker.returncode is None:
        attacked += await latencies(port, report, 100)
        await asyncio.sleep(0)
    figures["attacked_p99_ms"] = p99(attacked)
    figures["attacked_p99_over_quiet"] = figures["attacked_p99_ms"] / figures["unary_p99_ms"]
    figures["memory_grown_mib"] = (backend.memory_info().rss - before) / 2**20
    return {name: round(value, 2) for name, value in figures.items()}


@contextlib.contextmanager
def echo(messages: int, length: int) -> Any:
    """The bare server as a process; its port."""
    arguments = (sys.executable, __file__, "--echo", str(messages), str(length))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603  (itself)
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.terminate()


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs to the end."""

    async def main() -> Any:
        return await work()

    return asyncio.run(main())


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--farmers", type=int, default=500)
    parser.add_argument("--poolers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20, help="replays of each stream")
    parser.add_argument("--calls", type=int, default=4000, help="unary calls")
    parser.add_argument("--messages", type=int, default=10_000, help="malformed messages")
    parser.add_argument("--connections", type=int, default=1000, help="idle connections")
    parser.add_argument("--close-seconds", default="1", help="seconds between two ledgers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--echo", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--attack", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        run(lambda: serve_echo(*options.echo))
        return
    if options.attack:
        run(lambda: attack(options.attack, options.messages, options.connections))
        return
    os.environ.update(UNLIMITED)
    with ExitStack() as stack:
        port, _ = pool(stack, options.close_seconds)
        served = [one for one in psutil.Process().children() if "backend" in one.cmdline()]
        figures = run(lambda: measure(port, served[0], options))
    print(json.dumps(figures) if options.json else "\n".join(f"{name:<28}{value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
