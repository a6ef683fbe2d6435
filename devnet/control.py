"""Routes under `/devnet/` by which tests take hold of the ledger. No network has them."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from stellar_sdk import Keypair, TransactionBuilder, scval, xdr

from devnet.clock import Clock
from devnet.engine_client import EngineClient
from devnet.farm_reader import block_key, pail_key
from devnet.faults import Fault, Faults
from devnet.ledger import LocalLedger
from devnet.scenario import FARM_WASM, Scenario

Body = Mapping[str, Any]
MAX_ADVANCE = 10_000


class Control:
    """The routes, by path in `routes()`: POST with a JSON object; each answers with the last closed ledger."""

    def __init__(self, ledger: LocalLedger, clock: Clock, faults: Faults, scenario: Scenario) -> None:
        self._ledger = ledger
        self._clock = clock
        self._faults = faults
        self._scenario = scenario

    def routes(self) -> list[web.RouteDef]:
        """Everything there is."""
        actions: dict[str, Callable[[Body], Awaitable[None]]] = {
            "advance": self._advance,
            "halt": self._halt,
            "lag": self._lag,
            "faults": self._add_fault,
            "faults/clear": self._clear_faults,
            "farm": self._farm,
            "farm/upgrade": self._upgrade,
            "farm/remove_block": self._remove_block,
            "expire": self._expire,
            "fees": self._fees,
            "queue/drop": self._drop_queue,
        }
        return [web.post(f"/devnet/{path}", self._handler(action)) for path, action in actions.items()]

    def _handler(self, action: Callable[[Body], Awaitable[None]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                await action(_object(await request.read()))
            except (KeyError, TypeError, ValueError) as error:
                reason = f"missing: {error}" if isinstance(error, KeyError) else str(error)
                return web.json_response({"error": reason}, status=400)
            latest = self._ledger.history.latest
            return web.json_response({"sequence": latest.sequence, "close_time": latest.close_time})

        return handle

    async def _advance(self, body: Body) -> None:
        """`{"ledgers": n}` closes n ledgers now (1 if not said), in any mode."""
        ledgers = int(body.get("ledgers", 1))
        if not 0 <= ledgers <= MAX_ADVANCE:
            raise ValueError(f"ledgers must be from 0 to {MAX_ADVANCE}")
        await self._clock.advance(ledgers)

    async def _halt(self, body: Body) -> None:
        """`{"halted": true}` stops the timer, false lets it go on."""
        self._clock.halted = bool(body["halted"])

    async def _lag(self, body: Body) -> None:
        """`{"ledgers": n}`: answers are as of n ledgers ago, until set to 0."""
        self._faults.lag = int(body["ledgers"])

    async def _add_fault(self, body: Body) -> None:
        """`{"action": …, "method": …, "count": …, …}`: see `devnet.faults.Fault`."""
        self._faults.add(Fault.from_json(body))

    async def _clear_faults(self, _body: Body) -> None:
        """Removes every fault and the lag."""
        self._faults.clear()

    async def _farm(self, body: Body) -> None:
        """`{"paused": true}`: the homesteader pauses the farm (false: unpauses it) in the next ledger."""
        await self._ledger.call(_administer, self._scenario, "pause" if body["paused"] else "unpause")

    async def _upgrade(self, _body: Body) -> None:
        """Uploads code that does the same and has another hash, closes a ledger, and has the farm upgraded to it."""
        code = _renamed(FARM_WASM.read_bytes(), self._ledger.history.latest.sequence)
        await self._ledger.call(_upload, self._scenario, code)
        await self._clock.advance(1)
        digest = scval.to_bytes(hashlib.sha256(code).digest())
        await self._ledger.call(_administer, self._scenario, "upgrade", [digest])

    async def _remove_block(self, body: Body) -> None:
        """`{"block_index": n}`: the homesteader removes Block(n) in the next ledger."""
        index = scval.to_uint32(int(body["block_index"]))
        await self._ledger.call(_administer, self._scenario, "remove_block", [index])

    async def _expire(self, body: Body) -> None:
        """Ends an entry's life now: `{"key": base64}`, `{"block_index": n}` or `{"farmer": G…, "block_index": n}`."""
        key = body.get("key")
        if key is None:
            index = int(body["block_index"])
            farm, farmer = self._scenario.farm_id, body.get("farmer")
            key = (pail_key(farm, farmer, index) if farmer else block_key(farm, index)).to_xdr()
        await self._ledger.call(lambda client: client.engine.expire_entry(key))

    async def _fees(self, body: Body) -> None:
        """`{"base_fee": stroops}`: the least inclusion fee of an operation from now on."""
        base_fee = int(body["base_fee"])
        await self._ledger.call(lambda client: client.engine.set_base_fee(base_fee))

    async def _drop_queue(self, _body: Body) -> None:
        """Forgets every transaction in the queue, as a node that is restarted."""
        await self._ledger.call(lambda client: client.engine.drop_queue())


def _object(data: bytes) -> Body:
    body = json.loads(data or b"{}")
    if not isinstance(body, dict):
        raise TypeError("the body must be a JSON object")
    return body


def _administer(client: EngineClient, scenario: Scenario, function: str, arguments: Sequence[xdr.SCVal] = ()) -> None:
    homesteader = scenario.homesteader
    builder = client.builder(homesteader)
    builder.append_invoke_contract_function_op(scenario.farm_id, function, list(arguments))
    _send(client, builder, homesteader, function)


def _upload(client: EngineClient, scenario: Scenario, code: bytes) -> None:
    builder = client.builder(scenario.homesteader).append_upload_contract_wasm_op(code)
    _send(client, builder, scenario.homesteader, "upload")


def _send(client: EngineClient, builder: TransactionBuilder, signer: Keypair, what: str) -> None:
    submission = client.send(client.prepare(builder.build()), signer)
    if submission.status != "PENDING":
        raise ValueError(f"{what} was refused: {submission.status}")


def _renamed(code: bytes, number: int) -> bytes:
    """The same WebAssembly module with a custom section at its end, which changes nothing but its hash."""
    content = b"\x09" + b"kale_copy" + number.to_bytes(4, "big")
    return code + b"\x00" + bytes([len(content)]) + content
