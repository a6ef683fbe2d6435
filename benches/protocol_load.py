"""The protocol under load and under attack, beside a bare gRPC echo and beside peace.

Load: 500 farmers' plant events are replayed to 10 poolers at once, and a unary call is repeated: the report of a block
that was reported before, which stores nothing. In turn with it, round by round, the same clients do the same with a
bare grpc.aio server in a process of its own that answers messages of the same length unread. Ledgers close every five
seconds meanwhile, as on the network. Figures are medians over the rounds.
Attack: malformed and oversized messages, idle connections and streams that are reset at once, from a process of its
own, while the unary call goes on.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import aiohttp
import grpc
import grpc.aio
import psutil
from plant_farmers import LEDGER_SECONDS, Served, first_block, nearly_due, pool

from devnet.demo.onboarding import onboard
from kalepool.v1 import pool_pb2

PLANT = "/kalepool.v1.PoolService/Plant"
REPORT_BLOCK = "/kalepool.v1.PoolService/ReportBlock"
UNLIMITED = {"RATE_LIMIT_PER_SECOND": "100000", "RATE_LIMIT_BURST": "1000000"}
_CONCURRENT = 4
ATTACKERS_NICENESS = 5
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
        return grpc.unary_stream_rpc_method_handler(stream) if handler_call_details.method == PLANT else None


async def serve_echo(messages: int, length: int) -> None:
    """A bare server, until it is stopped; its port is printed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(messages, length),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


async def events_per_second(port: int, requests: list[bytes], replays: int) -> float:
    """Messages a second over all streams, each on a connection of its own, read again and again."""

    async def read(request: bytes) -> int:
        count = 0
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            for _ in range(replays):
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


async def attack(port: int, method: str, messages: int, connections: int) -> None:
    """Malformed messages, resets and idle connections; from a machine of its own, as far as priorities can do that."""
    os.nice(ATTACKERS_NICENESS)
    chosen = random.Random(1)  # noqa: S311  (the same attack every time)
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]

    async def molest(count: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for number in range(count):
                call = channel.unary_stream(method)(chosen.randbytes(_OVERSIZED if number % 100 == 0 else 80))
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


async def measure(served: Served, backend: psutil.Process, options: argparse.Namespace) -> dict[str, object]:
    """Everything, the backend and the echo in turn."""
    requests, length, report = await plant_all(served.port, options.poolers, options.farmers)
    async with network_pace(served.ledger_url):
        with echo(options.farmers // options.poolers + 1, length) as bare:
            figures = await loaded(served.port, bare, requests, report, options)
            return figures | await attacked(served.port, bare, backend, report, options)


async def loaded(
    port: int, bare: int, requests: list[bytes], report: bytes, options: argparse.Namespace
) -> dict[str, object]:
    """Events a second and the p99 of unary calls, of the backend and of the bare server."""
    rounds: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for name, at in (("", port), ("echo_", bare)):
            rounds[name + "events_per_second"].append(await events_per_second(at, requests, options.replays))
            taken = await latencies(at, report, options.calls)
            rounds[name + "unary_p50_ms"].append(statistics.median(taken))
            rounds[name + "unary_p99_ms"].append(p99(taken))
    figures = {name: round(statistics.median(values), 2) for name, values in rounds.items()}
    ratios = {
        "events_ratio": ("events_per_second", "echo_events_per_second"),
        "unary_p50_ratio": ("echo_unary_p50_ms", "unary_p50_ms"),
        "unary_p99_ratio": ("echo_unary_p99_ms", "unary_p99_ms"),
    }
    for name, (ours, theirs) in ratios.items():
        each = [mine / other for mine, other in zip(rounds[ours], rounds[theirs], strict=True)]
        figures[name] = round(statistics.median(each), 2)
        figures[f"{name}_of_each_round"] = [round(one, 2) for one in each]
    return figures


async def attacked(
    port: int, bare: int, backend: psutil.Process, report: bytes, options: argparse.Namespace
) -> dict[str, object]:
    """An honest client's p99 in peace and under attack, and what the backend's memory does.

    The bare server is attacked too, by calls of a method that it does not have: what the attackers take of the machine.
    """
    memory = [backend.memory_info().rss]
    figures: dict[str, object] = {}
    for name, at, method in (("", port, PLANT), ("echo_", bare, "/no.Service/Method"), ("again_", port, PLANT)):
        quiet = p99(await latencies(at, report, options.calls))
        started = time.perf_counter()
        disturbed = p99(await under_attack(at, method, report, options))
        figures |= {
            name + "quiet_p99_ms": round(quiet, 2),
            name + "attacked_p99_ms": round(disturbed, 2),
            name + "attacked_p99_over_quiet": round(disturbed / quiet, 2),
            name + "attack_seconds": round(time.perf_counter() - started, 1),
        }
        memory.append(backend.memory_info().rss)
    first, _, second = (round((after - before) / 2**20, 2) for before, after in itertools.pairwise(memory))
    return figures | {
        "memory_mib": round(memory[0] / 2**20, 1),
        "memory_grown_mib": first,
        "memory_grown_again_mib": second,
    }


async def under_attack(port: int, method: str, report: bytes, options: argparse.Namespace) -> list[float]:
    """Milliseconds of an honest client's calls while another process attacks."""
    size = ("--messages", str(options.messages), "--connections", str(options.connections))
    attacker = await asyncio.create_subprocess_exec(sys.executable, __file__, "--attack", str(port), method, *size)
    taken: list[float] = []
    while attacker.returncode is None:
        taken += await latencies(port, report, 100)
        await asyncio.sleep(0)
    return taken


@contextlib.asynccontextmanager
async def network_pace(ledger_url: str) -> AsyncIterator[None]:
    """While entered, ledgers close every five seconds whatever the ledger was started with."""

    async def post(route: str, body: dict[str, object]) -> None:
        async with aiohttp.ClientSession() as session:
            await session.post(f"{ledger_url}/devnet/{route}", json=body)

    async def close() -> None:
        while True:
            await asyncio.sleep(LEDGER_SECONDS)
            await post("advance", {"ledgers": 1})

    await post("halt", {"halted": True})
    closing = asyncio.create_task(close())
    try:
        yield
    finally:
        closing.cancel()


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
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each server")
    parser.add_argument("--replays", type=int, default=10, help="replays of each stream in a round")
    parser.add_argument("--calls", type=int, default=4000, help="unary calls in a round")
    parser.add_argument("--messages", type=int, default=10_000, help="malformed messages")
    parser.add_argument("--connections", type=int, default=1000, help="idle connections")
    parser.add_argument("--close-seconds", default="1", help="seconds between two ledgers until all is planted")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--echo", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--attack", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        run(lambda: serve_echo(*options.echo))
        return
    if options.attack:
        run(lambda: attack(int(options.attack[0]), options.attack[1], options.messages, options.connections))
        return
    os.environ.update(UNLIMITED)
    with ExitStack() as stack:
        served = pool(stack, options.close_seconds)
        backend = next(one for one in psutil.Process().children() if "backend" in one.cmdline())
        figures = run(lambda: measure(served, backend, options))
    print(json.dumps(figures) if options.json else "\n".join(f"{name:<32}{value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
