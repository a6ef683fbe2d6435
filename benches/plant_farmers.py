"""How fast all farmers of a pool are planted: ledgers and seconds from a block's opening to the last plant.

Runs the local ledger and the backend as processes of their own, onboards the farmers, plants in two blocks, and
reports on the second, asked for two ledgers before it can open as a pooler does: how long it took from the request to
the last result, and how many plants each ledger applied, counted from the first that could open the block (0).
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import grpc.aio

from backend.db.migrations import migrate
from backend.vault import create_key_file
from devnet.demo.onboarding import onboard
from devnet.postgres import EmbeddedPostgres
from devnet.scenario import DEFAULT_PASSPHRASE, Scenario
from kalepool.v1 import pool_pb2, pool_pb2_grpc, status_pb2, status_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
BLOCK_SECONDS = 300
LEDGER_SECONDS = 5
ASKED_AHEAD = 2
_LOOK_SECONDS = 0.1


def process(stack: ExitStack, *arguments: str, environment: dict[str, str], log: Path) -> dict[str, object]:
    """Starts a module that stops with the bench; the JSON line of its output by which it says that it is ready."""
    with log.open("w") as output:
        child = subprocess.Popen(  # noqa: S603  (our own modules)
            [sys.executable, "-m", *arguments], env=os.environ | environment, stdout=output, stderr=output
        )
    stack.callback(child.wait)
    stack.callback(child.terminate)
    while child.poll() is None:
        for line in log.read_text().splitlines():
            record = json.loads(line)
            if record.get("event") in {None, "ready"}:
                return dict(record)
        time.sleep(_LOOK_SECONDS)
    raise SystemExit(log.read_text())


def steps(log: Path, block: int) -> dict[str, object]:
    """The milliseconds that the backend took to plan and sign the plants, to store and to send them, by its log."""
    records = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    told = [record for record in records if record.get("request_id") == f"bench-{block}"]
    return {name: record[name] for record in told for name in ("prepared_ms", "stored_ms", "sent_ms") if name in record}


async def measure(port: int, farmers: int, log: Path) -> dict[str, object]:
    """Onboards and plants; what came of it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        started = time.monotonic()
        await onboard(f"127.0.0.1:{port}", farmers, run_id="bench")
        onboarded = time.monotonic() - started
        block = await first_block(channel)
        opening = await nearly_due(channel)
        started = time.monotonic()
        ledgers: Counter[int] = Counter()
        failed = 0
        async for answer in plant(channel, block + 1):
            if answer.event.HasField("planted"):
                ledgers[answer.event.planted.ledger_sequence] += 1
            failed += answer.event.HasField("failed")
        return {
            "farmers": farmers,
            "onboarding_seconds": round(onboarded, 2),
            "planting_seconds": round(time.monotonic() - started, 2),
            **steps(log, block + 1),
            "planted_by_ledger": {ledger - opening: count for ledger, count in sorted(ledgers.items())},
            "failed": failed,
        }


def plant(channel: grpc.aio.Channel, block: int) -> AsyncIterable[pool_pb2.PlantResponse]:
    """A plant stream of every farmer."""
    request = pool_pb2.PlantRequest(request_id=f"bench-{block}", pooler_id="bench", block_index=block)
    return pool_pb2_grpc.PoolServiceStub(channel).Plant(request)


async def first_block(channel: grpc.aio.Channel) -> int:
    """Plants in the block that a fresh farm takes plants for: 0, or 1 once the first five minutes are over."""
    stream = status_pb2_grpc.StatusServiceStub(channel).WatchStatus(status_pb2.WatchStatusRequest())
    async for _ in stream:
        for block in (0, 1):
            try:
                async for _ in plant(channel, block):
                    pass
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
            else:
                return block
    raise SystemExit("the status stream ended")


async def nearly_due(channel: grpc.aio.Channel) -> int:
    """Waits until the next block can be opened in two ledgers; the first ledger that can."""
    stream = status_pb2_grpc.StatusServiceStub(channel).WatchStatus(status_pb2.WatchStatusRequest())
    async for update in stream:
        chain = update.status.chain
        missing = BLOCK_SECONDS - (chain.ledger_time - chain.block_opened_ledger_time)
        if missing <= ASKED_AHEAD * LEDGER_SECONDS:
            return chain.ledger_sequence + -(-missing // LEDGER_SECONDS)
    raise SystemExit("the status stream ended")


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farmers", type=int, default=500, help="farmers planted at once (default: 500)")
    parser.add_argument("--close-seconds", default="1", help="seconds between two ledgers (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with ExitStack() as stack:
        served = pool(stack, options.close_seconds)
        figures = asyncio.run(measure(served.port, options.farmers, served.log))
    print(json.dumps(figures) if options.json else "\n".join(f"{name:<32}{value}" for name, value in figures.items()))


class Served(NamedTuple):
    """A backend and its ledger as processes."""

    port: int
    """The backend's, for gRPC."""
    log: Path
    """What the backend logs."""
    ledger_url: str


def pool(stack: ExitStack, close_seconds: str) -> Served:
    """Starts ledger, database and backend."""
    scenario = Scenario(DEFAULT_PASSPHRASE)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    database = stack.enter_context(EmbeddedPostgres())
    migrate(database.url, network="local", application_url=database.application_url)
    create_key_file(folder / "seal.key")
    path = {"PYTHONPATH": str(ROOT)}
    arguments = ("devnet", "--port", "0", "--close-seconds", close_seconds, "--json")
    ledger = process(stack, *arguments, environment=path, log=folder / "devnet.log")
    settings = {
        "DATABASE_URL": database.application_url,
        "STELLAR_NETWORK": "local",
        "STELLAR_RPC_URL": str(ledger["rpc_url"]),
        "STELLAR_NETWORK_PASSPHRASE": scenario.passphrase,
        "KALE_CONTRACT_ID": scenario.farm_id,
        "MASTER_WALLET_ADDRESS": scenario.master.public_key,
        "MASTER_WALLET_SECRET": scenario.master.secret,
        "KEY_FILE": str(folder / "seal.key"),
        "PORT": "0",
        "HTTP_PORT": "0",
        "LEDGER_POLL_MS": "50",
    }
    backend = process(stack, "backend", "run", environment=path | settings, log=folder / "backend.log")
    return Served(int(str(backend["grpc_port"])), folder / "backend.log", str(ledger["rpc_url"]))


if __name__ == "__main__":
    main()
