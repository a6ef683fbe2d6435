"""The ledger of a simulated world: the real contract engine, closed by the world's own clock, and what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from stellar_sdk import Asset, TransactionBuilder

from devnet.engine_client import INCLUSION_FEE, EngineClient
from devnet.faults import Faults
from devnet.fee_stats import fee_stats
from devnet.jsonrpc import Params
from devnet.ledger import LocalLedger, close_ledger
from devnet.records import History, LedgerRecord
from devnet.rpc_history import HistoryMethods
from devnet.rpc_methods import StateMethods
from devnet.scenario import FARM_WASM
from devnet.server import DevnetOptions, found_ledger
from devnet.view import View
from kale_chain.model import Block, FarmIdentity, PailEntry
from kale_chain.tx import Signer, Transaction
from kale_chain.xdr import keys
from kale_chain.xdr.entries import (
    Instance,
    farm_state,
    read_account,
    read_block,
    read_instance,
    read_pail,
    read_trustline_balance,
)
from simulator.nodes import Node

GENESIS_TIME = 1_750_000_000
LEDGER_SECONDS = 20
"""Longer than the network's, so that a block has few ledgers and many blocks can be lived through; a block's length and
the backstop's mark are multiples of it."""


class Chain:
    """Engine, history and RPC methods.

    Args:
        temporary_ttl: Ledgers that blocks and pails live.
        endpoints: How many RPC endpoints show it.

    Attributes:
        nodes: Its RPC endpoints.
    """

    def __init__(self, *, temporary_ttl: int, endpoints: int = 1) -> None:
        options = DevnetOptions(genesis_time=GENESIS_TIME, min_temporary_ttl=temporary_ttl)
        client, ledgers = found_ledger(options)
        self.client: EngineClient = client
        self.scenario = options.scenario
        self.history = History(ledgers)
        self.identity = self._identity()
        self._ledger = LocalLedger(client, self.history, ledger_seconds=options.ledger_seconds)
        self.nodes = [self._node(number) for number in range(1, endpoints + 1)]

    @property
    def sequence(self) -> int:
        """The last closed ledger."""
        return self.history.latest.sequence

    @property
    def close_time(self) -> int:
        """Its close time."""
        return self.history.latest.close_time

    def close(self, seconds: int) -> LedgerRecord:
        """Closes a ledger, `seconds` of ledger time after the last one."""
        record = close_ledger(self.client, seconds=seconds)
        self.history.add(record)
        return record

    def submit(self, transaction: Transaction) -> str:
        """Puts a transaction of the world's own actors into the queue; the node's answer."""
        return self.client.engine.submit(transaction.envelope).status

    def signer(self, name: str) -> Signer:
        """One of the scenario's accounts."""
        return Signer.from_secret(getattr(self.scenario, name).secret)

    def next_sequence(self, address: str) -> int:
        """The sequence number of the account's next transaction."""
        entry = self._data(keys.account(address))
        assert entry is not None
        return read_account(entry).sequence + 1

    def kale(self, address: str) -> int:
        """The KALE of an account, stroops."""
        entry = self._data(keys.kale_trustline(self.identity, address))
        return 0 if entry is None else read_trustline_balance(entry)

    def exists(self, address: str) -> bool:
        """Whether an account is on the ledger."""
        return self._data(keys.account(address)) is not None

    def has_pail(self, address: str, index: int) -> bool:
        """Whether a pail is on the ledger."""
        return self.client.engine.entry(_pail_key(self.identity.farm_id, address, index)) is not None

    def farm(self) -> tuple[int, int]:
        """The farm's index and the time of the last opening."""
        index, block, _ = farm_state(self._farm().storage)
        return index, block.timestamp

    def is_paused(self) -> bool:
        """Whether the farm takes no plants."""
        return farm_state(self._farm().storage)[2]

    def code_hash(self) -> bytes | None:
        """SHA-256 of the farm's present code; `identity` follows it."""
        found = self._farm().wasm_hash
        if found is not None and found != self.identity.wasm_hash:
            self.identity = replace(self.identity, wasm_hash=found)
        return found

    def has_code(self, digest: bytes) -> bool:
        """Whether code of this hash is on the ledger."""
        return self._data(keys.code(digest)) is not None

    def block(self, index: int) -> Block | None:
        """A block, if it is on the ledger."""
        entry = self._data(keys.block(self.identity.farm_id, index))
        return None if entry is None else read_block(entry)

    def pail(self, address: str, index: int) -> PailEntry | None:
        """A pail, if it is on the ledger."""
        found = self.client.engine.entry(_pail_key(self.identity.farm_id, address, index))
        return None if found is None else PailEntry(read_pail(found[0]), found[2] or 0)

    def expire(self, address: str, index: int) -> None:
        """Ends a pail's life now."""
        self.client.engine.expire_entry(_pail_key(self.identity.farm_id, address, index))

    def impoverish(self, spendable: int) -> None:
        """Takes away what the master account may spend but for `spendable` stroops, in the next ledger."""
        master = self.scenario.master
        entry = self._data(keys.account(master.public_key))
        assert entry is not None
        account = read_account(entry)
        taken = account.balance_stroops - account.reserved_stroops - spendable - INCLUSION_FEE
        builder = self.client.builder(master)
        builder.append_payment_op(self.scenario.faucet.public_key, Asset.native(), str(Decimal(taken).scaleb(-7)))
        self.client.send(builder.build(), master)

    def administer(self, function: str, arguments: Sequence[Any] = ()) -> None:
        """Has the homesteader call the farm in the next ledger; does nothing if that would fail."""
        builder = self.client.builder(self.scenario.homesteader)
        self._send(builder.append_invoke_contract_function_op(self.identity.farm_id, function, list(arguments)))

    def upload(self, code: bytes) -> None:
        """Has the homesteader put code on the ledger; does nothing if that would fail."""
        self._send(self.client.builder(self.scenario.homesteader).append_upload_contract_wasm_op(code))

    def _send(self, builder: TransactionBuilder) -> None:
        with suppress(ValueError):
            self.client.send(self.client.prepare(builder.build()), self.scenario.homesteader)

    def _farm(self) -> Instance:
        entry = self._data(keys.instance(self.identity.farm_id))
        assert entry is not None
        return read_instance(entry)

    def _node(self, number: int) -> Node:
        faults = Faults()
        view = View(self._ledger, faults)
        methods = {
            **StateMethods(self._ledger, view, "").table(),
            **HistoryMethods(view).table(),
            "getFeeStats": self._fee_stats,
        }
        return Node(f"https://rpc-{number}.simulated:443", methods, faults)

    async def _fee_stats(self, _params: Params) -> dict[str, Any]:
        """As if everybody offered what the ledger asks for at least."""
        stats = fee_stats((), base_fee=self.client.engine.base_fee)
        return stats | {"latestLedger": self.sequence}

    def _data(self, key: Any) -> str | None:
        found = self.client.engine.entry(key.to_xdr())
        return None if found is None else found[0]

    def _identity(self) -> FarmIdentity:
        scenario = self.scenario
        return FarmIdentity(
            farm_id=scenario.farm_id,
            token_id=scenario.token_id,
            asset_code=scenario.asset.code,
            asset_issuer=scenario.issuer.public_key,
            wasm_hash=hashlib.sha256(FARM_WASM.read_bytes()).digest(),
            homesteader=scenario.homesteader.public_key,
            passphrase=scenario.passphrase,
        )


@lru_cache(maxsize=1_024)
def _pail_key(farm_id: str, address: str, index: int) -> str:
    return keys.pail(farm_id, address, index).to_xdr()
