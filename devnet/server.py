"""The local ledger as one object: engine, clock, neighbours, state file and HTTP server."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from devnet._engine import LedgerEngine
from devnet.clock import Clock
from devnet.control import Control
from devnet.engine_client import EngineClient
from devnet.faults import Faults
from devnet.friendbot import Friendbot
from devnet.horizon import Horizon
from devnet.jsonrpc import JsonRpcHandler
from devnet.ledger import LocalLedger
from devnet.neighbours import Neighbours
from devnet.records import History, LedgerRecord
from devnet.rpc_history import HistoryMethods
from devnet.rpc_methods import StateMethods
from devnet.saving import Saver
from devnet.scenario import DEFAULT_PASSPHRASE, FARM_WASM, PROTOCOL_VERSION, Scenario, found
from devnet.state import SavedLedger, StateFile
from devnet.view import View

HOST = "127.0.0.1"
SETTINGS = Path(__file__).parent / "settings.json"
MAX_REQUEST_BYTES = 8 << 20
STOP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DevnetOptions:
    """How a local ledger is to be.

    Attributes:
        port: Of the HTTP server on 127.0.0.1; 0 lets the system choose.
        passphrase: The network's.
        close_seconds: Real time between two ledgers; 0 closes them only by hand.
        ledger_seconds: The ledger's own time between two ledgers.
        genesis_time: The ledger's time at its start, seconds since 1970; None takes the machine's.
        neighbours: How many other farmers there are.
        neighbour_zeros: Fewest and most zeros that these search for.
        min_temporary_ttl: Ledgers that a new temporary entry lives; None takes the settings file's (720).
        farm_wasm: The farm contract to deploy.
        state: File to go on from and to save to, if any.
    """

    port: int = 0
    passphrase: str = DEFAULT_PASSPHRASE
    close_seconds: float = 5.0
    ledger_seconds: int = 5
    genesis_time: int | None = None
    neighbours: int = 0
    neighbour_zeros: tuple[int, int] = (4, 5)
    min_temporary_ttl: int | None = None
    farm_wasm: Path = FARM_WASM
    state: Path | None = None

    @property
    def scenario(self) -> Scenario:
        """The accounts and contracts."""
        return Scenario(self.passphrase, self.neighbours)


def found_ledger(options: DevnetOptions) -> tuple[EngineClient, list[LedgerRecord]]:
    """A new ledger with the scenario on it, and the ledgers that closed meanwhile. Takes about a second.

    Raises:
        ScenarioError: See `devnet.scenario.found`.
    """
    genesis_time = int(time.time()) if options.genesis_time is None else options.genesis_time
    engine = LedgerEngine(SETTINGS.read_text(), options.passphrase, PROTOCOL_VERSION, genesis_time)
    if options.min_temporary_ttl is not None:
        engine.set_min_temporary_ttl(options.min_temporary_ttl)
    client = EngineClient(engine, options.passphrase)
    return client, found(client, options.scenario, options.farm_wasm, ledger_seconds=options.ledger_seconds)


class DevnetServer:
    """A local ledger and its HTTP server; serves from entering the context until leaving it.

    Args:
        options: How it is to be.
        saved: A ledger to go on from, founded with the same options; instead of a new one. A state file that holds a
            ledger goes before it.

    Raises:
        DevnetError: On entering: see `devnet.scenario.found` and `devnet.state.StateFile`.
        OSError: On entering, if the port is taken.
    """

    def __init__(self, options: DevnetOptions, *, saved: SavedLedger | None = None) -> None:
        self.options = options
        self.scenario = options.scenario
        self.faults = Faults()
        self.url = ""
        self._saved = saved
        self._stack = contextlib.AsyncExitStack()

    @property
    def horizon_url(self) -> str:
        """Where `GET /accounts/{id}` is."""
        return self.url

    @property
    def friendbot_url(self) -> str:
        """Where accounts are funded."""
        return f"{self.url}/friendbot"

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def advance(self, ledgers: int = 1, *, seconds: int | None = None) -> None:
        """Closes ledgers now; `seconds` of the ledger's own time apart, if said, as after a halt of the network."""
        await self.clock.advance(ledgers, seconds=seconds)

    async def another_endpoint(self) -> tuple[str, Faults]:
        """One more RPC over the same ledger, until the server stops: its URL, and its own faults and lag."""
        faults = Faults()
        view = View(self.ledger, faults)
        state = StateMethods(self.ledger, view, self.friendbot_url)
        rpc = JsonRpcHandler(state.table() | HistoryMethods(view).table(), faults)
        url = await _listen(self._stack, 0, lambda _: [web.post("/", rpc.handle)])
        return url, faults

    async def failed(self) -> None:
        """Waits until ledgers can no longer close and raises why; in manual mode that is never."""
        await self._ticking
        await asyncio.Event().wait()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        state = await asyncio.to_thread(self._open_state, stack)
        loaded = await asyncio.to_thread(state.load) if state else None
        client, ledgers = await asyncio.to_thread(self._engine, loaded or self._saved)
        self.ledger = self._local_ledger(client, ledgers)
        stack.push_async_callback(self.ledger.stop)
        self.clock = Clock(self.ledger, self.options.close_seconds)
        if state:
            saver = Saver(self.ledger, state, saved=loaded)
            await saver.save()
            stack.push_async_callback(saver.save)
            await _background(stack, saver.run())
        await self._serve(stack)
        self._ticking = await _background(stack, self.clock.run())

    def _open_state(self, stack: contextlib.AsyncExitStack) -> StateFile | None:
        if self.options.state is None:
            return None
        identity = {"passphrase": self.options.passphrase, "neighbours": self.options.neighbours}
        state = StateFile(self.options.state, identity)
        stack.callback(state.close)
        return state

    def _engine(self, saved: SavedLedger | None) -> tuple[EngineClient, list[LedgerRecord]]:
        if saved is None:
            return found_ledger(self.options)
        engine = LedgerEngine.restore(saved.snapshot)
        return EngineClient(engine, self.options.passphrase), list(saved.ledgers)

    def _local_ledger(self, client: EngineClient, ledgers: list[LedgerRecord]) -> LocalLedger:
        options, scenario = self.options, self.scenario
        actors = []
        if scenario.neighbours:
            neighbours = Neighbours(
                scenario.farm_id,
                scenario.neighbours,
                zeros=options.neighbour_zeros,
                ledger_seconds=options.ledger_seconds,
            )
            actors.append(neighbours.act)
        return LocalLedger(client, History(ledgers), ledger_seconds=options.ledger_seconds, actors=actors)

    async def _serve(self, stack: contextlib.AsyncExitStack) -> None:
        await _listen(stack, self.options.port, self._routes)

    def _routes(self, url: str) -> list[web.RouteDef]:
        self.url = url
        ledger, clock, scenario = self.ledger, self.clock, self.scenario
        view = View(ledger, self.faults)
        state = StateMethods(ledger, view, self.friendbot_url)
        rpc = JsonRpcHandler(state.table() | HistoryMethods(view).table(), self.faults)
        friendbot = Friendbot(ledger, clock, scenario.root)
        horizon = Horizon(ledger, [scenario.asset])
        return [
            web.post("/", rpc.handle),
            web.get("/friendbot", friendbot.handle),
            web.post("/friendbot", friendbot.handle),
            web.get("/accounts/{id}", horizon.account),
            *Control(ledger, clock, self.faults, scenario).routes(),
        ]


async def _listen(stack: contextlib.AsyncExitStack, port: int, routes: Callable[[str], Sequence[web.RouteDef]]) -> str:
    """Serves the routes, which may name the URL, until the stack ends; the URL."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    # Whoever waits for a ledger waits in vain once the clock has stopped.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    # The socket comes before the routes: answers name the URL, whose port the system may choose.
    listener = socket.create_server((HOST, port))
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    app.add_routes(routes(url))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener).start()
    return url


async def _background(stack: contextlib.AsyncExitStack, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Runs it until the stack ends."""
    task = asyncio.create_task(work)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)
    return task
