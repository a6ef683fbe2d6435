"""The pool under demonstration: its processes in order, its farmers, its end."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self

import grpc.aio
from rich.console import Console
from rich.live import Live
from stellar_sdk import Asset

from devnet.demo import books, onboarding
from devnet.demo.view import Picture
from devnet.postgres import EmbeddedPostgres
from kale_common.processes import Service, ServiceError
from kalepool.v1 import status_pb2, status_pb2_grpc

STEP_SECONDS = 0.5
DEPOSIT_STROOPS = 1_000 * books.STROOPS_PER_KALE
# How many blocks may pass, beyond those to farm, before the demonstration gives up.
SPARE_BLOCKS = 3


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line."""

    farmers: int
    blocks: int
    neighbours: int
    close_seconds: float
    keep: bool
    directory: Path
    run_id: str
    usual_ports: bool = True
    """Whether to serve on 3000, 3001, 8000 and 8001 where they are free; another pool could take them at a restart."""
    database_settings: Mapping[str, str] = field(default_factory=dict)
    pooler_settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    blocks: list[books.BlockSummary]
    accounts: list[books.Account]
    wanted_blocks: int
    seconds: float

    @property
    def complete_blocks(self) -> int:
        """Blocks in which every farmer planted, worked and harvested."""
        return sum(block.complete for block in self.blocks)

    @property
    def good(self) -> bool:
        """Whether the demonstration showed what it promises."""
        balanced = all(account.balanced for account in self.accounts)
        return balanced and self.complete_blocks >= self.wanted_blocks

    @property
    def verdict(self) -> str:
        """One sentence for the end."""
        balanced = sum(account.balanced for account in self.accounts)
        return (
            f"{self.complete_blocks} blocks farmed by every farmer; "
            f"{balanced} of {len(self.accounts)} accounts equal the ledger to the stroop; {self.seconds:.0f} s."
        )


class Pool:
    """A running pool. Made by `start`; its processes end with the exit stack given there."""

    pooler = ("pooler", "run")
    """The program that works: a module and its arguments."""
    backend_settings: Mapping[str, str] = MappingProxyType({})
    """Settings of the backend beside those that a demonstration needs."""

    def __init__(self, options: Options, ledger: Service, postgres: EmbeddedPostgres, screen: Console) -> None:
        self.postgres = postgres
        self.database_url = postgres.url
        self._application_url = postgres.application_url
        self.picture = Picture()
        self._options = options
        self._ledger = ledger.record
        self._screen = screen
        self._started = asyncio.get_running_loop().time()
        self._asset = Asset(self._ledger["asset_code"], self._ledger["asset_issuer"])
        self.services = {"ledger": ledger}
        self._moved = asyncio.Event()

    @classmethod
    async def start(cls, options: Options, stack: contextlib.AsyncExitStack, screen: Console) -> Self:
        """Starts ledger, database, backend and farmers, then the pooler."""
        screen.print("Starting the local ledger …")
        return await cls.join(await stack.enter_async_context(ledger_of(options)), options, stack, screen)

    @classmethod
    async def join(cls, ledger: Service, options: Options, stack: contextlib.AsyncExitStack, screen: Console) -> Self:
        """As `start`, on a ledger that runs; its record's master account pays."""
        screen.print("Starting PostgreSQL …")
        database = EmbeddedPostgres(options.directory / "postgres", settings=options.database_settings)
        postgres = await asyncio.to_thread(stack.enter_context, database)
        pool = cls(options, ledger, postgres, screen)
        await pool._start_backend(stack)
        await pool._onboard()
        await pool._start_pooler(stack)
        for name in ("backend", "pooler"):
            screen.print(f"The {name} serves gRPC on {pool.address(name)}")
            stack.push_async_callback(_cancelled, asyncio.create_task(pool._watch(name)))
        return pool

    def address(self, name: str) -> str:
        """host:port of a service's gRPC listener."""
        return f"127.0.0.1:{self.services[name].record['grpc_port']}"

    def _network(self) -> dict[str, str]:
        return {
            "STELLAR_NETWORK": "local",
            "STELLAR_RPC_URL": self._ledger["rpc_url"],
            "STELLAR_HORIZON_URL": self._ledger["horizon_url"],
            "STELLAR_NETWORK_PASSPHRASE": self._ledger["passphrase"],
            "KALE_CONTRACT_ID": self._ledger["farm_id"],
            "LEDGER_POLL_MS": str(int(self._options.close_seconds * 200)),
            "BLOCK_MONITOR_INTERVAL_MS": "1000",
            "LOG_LEVEL": "info",
        }

    async def _start_backend(self, stack: contextlib.AsyncExitStack) -> None:
        self._screen.print("Starting the backend …")
        directory = self._options.directory
        key_file = directory / "sealing.key"
        env = self._network() | {
            "DATABASE_URL": self._application_url,
            "MASTER_WALLET_SECRET": self._ledger["master_secret"],
            "MASTER_WALLET_ADDRESS": self._ledger["master_address"],
            "KEY_FILE": str(key_file),
            "HARVEST_CHANNELS": str(min(100, max(20, self._options.farmers))),
            **self._ports(3000, 8000),
            **self.backend_settings,
        }
        if not key_file.exists():
            await Service("key", "backend", "key", "create", env=env, directory=directory).run()
        owner = env | {"DATABASE_OWNER_URL": self.database_url}
        await Service("migrate", "backend", "migrate", env=owner, directory=directory).run()
        await self._serve("backend", env, stack)

    async def _start_pooler(self, stack: contextlib.AsyncExitStack) -> None:
        self._screen.print("Starting the pooler …")
        directory = self._options.directory
        env = self._network() | {
            "BACKEND_API_URL": f"http://{self.address('backend')}",
            "POOLER_ID": "demo",
            "FEE_ACCOUNT_SECRET_FILE": str(directory / "fee-account.key"),
            "STATE_DIRECTORY": str(directory / "pooler"),
            "MAX_WORK_PROCESSES": str(self._options.farmers),
            **self._ports(3001, 8001),
            **self._options.pooler_settings,
        }
        for step in ("create", "fund"):
            await Service(f"accounts-{step}", "pooler", "accounts", step, env=env, directory=directory).run()
        await self._serve("pooler", env, stack)

    def _ports(self, grpc_port: int, http_port: int) -> dict[str, str]:
        """The usual ports, or ones of the system's choice where those are taken (another pool may be running)."""
        choose = _free_or_any if self._options.usual_ports else _rarely_taken
        return {"PORT": str(choose(grpc_port)), "HTTP_PORT": str(choose(http_port))}

    async def _serve(self, name: str, env: dict[str, str], stack: contextlib.AsyncExitStack) -> None:
        program = self.pooler if name == "pooler" else (name, "run")
        service = Service(name, *program, env=env, directory=self._options.directory)
        self.services[name] = await stack.enter_async_context(service)

    async def _onboard(self) -> None:
        self._screen.print(f"Onboarding {self._options.farmers} farmers …")
        created = await onboarding.onboard(self.address("backend"), self._options.farmers, run_id=self._options.run_id)
        self.picture.wallets = {farmer.farmer_id: farmer.wallet_address for farmer in created}
        await onboarding.deposit(
            self._ledger["rpc_url"],
            faucet_secret=self._ledger["faucet_secret"],
            asset=self._asset,
            passphrase=self._ledger["passphrase"],
            amounts=self._deposits(),
        )

    def _deposits(self) -> dict[str, int]:
        """Every farmer gets another amount, so that a mix-up between accounts would show."""
        return {
            wallet: DEPOSIT_STROOPS + number * 12_345_678 for number, wallet in enumerate(self.picture.wallets.values())
        }

    async def moved(self) -> None:
        """Waits until a service tells of a change: at the latest when the next ledger closes."""
        self._moved.clear()
        await self._moved.wait()

    async def _watch(self, name: str) -> None:
        while True:
            async with grpc.aio.insecure_channel(self.address(name)) as channel:
                stub: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(channel)
                # A service that stops or restarts leaves the picture as it was.
                with contextlib.suppress(grpc.aio.AioRpcError):
                    async for answer in stub.WatchStatus(status_pb2.WatchStatusRequest(), wait_for_ready=True):
                        setattr(self.picture, name, answer.status)
                        self._moved.set()

    async def farm(self, stop: asyncio.Event) -> Outcome:
        """Shows the farming until it is done (or, with keep, until `stop`) and closes the books."""
        with self._live() as show:
            while not stop.is_set():
                self.picture.blocks = books.summarise(await books.pails(self.database_url))
                show()
                self._check_processes()
                if not self._options.keep and self._done():
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), STEP_SECONDS)
        return await self.close_books()

    @contextlib.contextmanager
    def _live(self) -> Iterator[Callable[[], None]]:
        if self._screen.is_terminal:
            with Live(self.picture, console=self._screen, refresh_per_second=8, transient=True):
                yield lambda: None
            return
        last = ""

        def show() -> None:
            nonlocal last
            if (line := self.picture.line()) != last:
                last = line
                self._screen.print(line)

        yield show

    def _check_processes(self) -> None:
        for service in self.services.values():
            if not service.running:
                raise ServiceError(f"{service.name} ended. The end of its log ({service.log}):\n{service.tail()}")

    def _done(self) -> bool:
        complete = sum(block.complete for block in self.picture.blocks)
        spent = len(self.picture.blocks) > self._options.blocks + SPARE_BLOCKS
        return spent or complete >= self._options.blocks

    async def close_books(self) -> Outcome:
        """Reads rows and balances until both are of the same moment: rows unchanged around the reading."""
        deposits = self._deposits()
        for _ in range(50):
            before = await books.pails(self.database_url)
            ledger = await onboarding.balances(self._ledger["horizon_url"], list(deposits), self._asset)
            accounts = books.accounts(before, deposits=deposits, ledger=ledger)
            if all(account.balanced for account in accounts):
                break
            # A transaction is on the ledger and not booked yet, or the reverse: the next ledger settles it.
            await asyncio.sleep(self._options.close_seconds)
        seconds = asyncio.get_running_loop().time() - self._started
        # Whoever stops a pool that was to go on has seen as many blocks as they wanted.
        wanted = 0 if self._options.keep else self._options.blocks
        return Outcome(books.summarise(before), accounts, wanted, seconds)


def ledger_of(options: Options) -> Service:
    """The ledger of a demonstration."""
    return Service(
        "ledger",
        "devnet",
        "--json",
        "--port",
        "0",
        "--close-seconds",
        str(options.close_seconds),
        "--neighbours",
        str(options.neighbours),
        env={},
        directory=options.directory,
    )


def _free_or_any(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        await task


def _rarely_taken(port: int) -> int:
    """A free port near the usual one, below those that the system gives to outgoing connections."""
    return next(free for free in range(port + 10_000 + os.getpid() % 10_000, 32_000, 7) if _free_or_any(free))
