"""The ledger of a simulated world: the real contract engine, closed by the world's own clock, and what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from devnet.engine_client import EngineClient
from devnet.faults import Faults
from devnet.fee_stats import fee_stats
from devnet.jsonrpc import Method, Params
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
    farm_state,
    read_account,
    read_block,
    read_instance,
    read_pail,
    read_trustline_balance,
)

GENESIS_TIME = 1_750_000_000
LEDGER_SECONDS = 20
"""Longer than the network's, so that a block has few ledgers and many blocks can be lived through; a block's length and
the backstop's mark are multiples of it."""


class Chain:
    """Engine, history and RPC methods.

    Args:
        temporary_ttl: Ledgers that blocks and pails live.

    Attributes:
        methods: Stellar RPC's methods by name.
        faults: Whose `lag` makes the answers of `methods` as old as so many ledgers.
    """

    def __init__(self, *, temporary_ttl: int) -> None:
        options = DevnetOptions(genesis_time=GENESIS_TIME, min_temporary_ttl=temporary_ttl)
        client, ledgers = found_ledger(options)
        self.client: EngineClient = client
        self.scenario = options.scenario
        self.history = History(ledgers)
        self.faults = Faults()
        self.identity = self._identity()
        ledger = LocalLedger(client, self.history, ledger_seconds=options.ledger_seconds)
        view = View(ledger, self.faults)
        self.methods: Mapping[str, Method] = {
            **StateMethods(ledger, view, "").table(),
            **HistoryMethods(view).table(),
            "getFeeStats": self._fee_stats,
        }

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

    def has_pail(self, address: str, index: int) -> bool:
        """Whether a pail is on the ledger."""
        return self.client.engine.entry(_pail_key(self.identity.farm_id, address, index)) is not None

    def farm(self) -> tuple[int, int]:
        """The farm's index and the time of the last opening."""
        entry = self._data(keys.instance(self.identity.farm_id))
        assert entry is not None
        index, block, _ = farm_state(read_instance(entry).storage)
        return index, block.timestamp

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

    def administer(self, function: str, arguments: Sequence[Any] = ()) -> None:
        """Has the homesteader call the farm in the next ledger; does nothing if that would fail."""
        homesteader = self.scenario.homesteader
        builder = self.client.builder(homesteader)
        builder.append_invoke_contract_function_op(self.identity.farm_id, function, list(arguments))
        try:
            self.client.send(self.client.prepare(builder.build()), homesteader)
        except ValueError:
            return

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
