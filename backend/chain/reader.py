"""Reads the farm and accounts through Stellar RPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.chain.faults import ledger_faults
from backend.domain.plant import FarmView
from backend.errors import LedgerUnavailableError
from backend.ports.chain import PailKey
from kale_chain.farm import FarmReader
from kale_chain.model import Account, Block, FarmIdentity, Ledger, PailEntry
from kale_chain.rpc import StellarRpc


class RpcChainReader:
    """ChainReader over one Stellar RPC endpoint."""

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity) -> None:
        self._farm = FarmReader(rpc, identity)
        self._index: int | None = None

    async def view(self, ledger: Ledger) -> FarmView:
        """See ChainReader. The block is read with the instance, and again only when the index has moved."""
        with ledger_faults():
            farm, block = await self._farm.farm_and_block(self._index)
            while farm.index != self._index:
                self._index = farm.index
                farm, block = await self._farm.farm_and_block(self._index)
        if farm.ledger < ledger.sequence:
            raise LedgerUnavailableError(f"the RPC answered as of ledger {farm.ledger}, behind {ledger.sequence}")
        return FarmView(farm, ledger, block)

    async def block(self, index: int) -> Block | None:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.block(index)

    async def pails(self, pails: Sequence[PailKey]) -> tuple[int, Mapping[PailKey, PailEntry]]:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.dated_pails(pails)

    async def balances(self, addresses: Sequence[str]) -> Mapping[str, int]:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.balances(addresses)

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, Account]:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.accounts(addresses)
