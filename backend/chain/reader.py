"""Reads the farm and accounts through Stellar RPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from backend.chain.faults import ledger_faults
from backend.chain.results import decoded_result, readable_after
from backend.domain.plant import FarmView
from backend.domain.result import TransactionResult
from backend.errors import LedgerUnavailableError
from backend.ports.chain import FoundPlant, PailKey
from kale_chain.answers import LedgerTransaction
from kale_chain.farm import FarmReader
from kale_chain.model import Account, Block, BlockEntry, FarmIdentity, Ledger, PailEntry, Receiver
from kale_chain.rpc import StellarRpc
from kale_chain.xdr.envelopes import read_harvest_call, read_plant_call

_LEDGERS_IN_ONE_GO = 32


class RpcChainReader:
    """ChainReader over one Stellar RPC endpoint."""

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity) -> None:
        self._rpc = rpc
        self._identity = identity
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

    async def blocks(self, indexes: Sequence[int]) -> tuple[int, Mapping[int, BlockEntry]]:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.dated_blocks(indexes)

    async def plants(self, addresses: Collection[str], after: int) -> Sequence[FoundPlant]:
        """See ChainReader."""
        found: list[FoundPlant] = []
        with ledger_faults():
            last = (await self._rpc.latest_ledger()).sequence
            async for transaction in self._between(after, last):
                call = read_plant_call(transaction.envelope_xdr, self._identity.farm_id)
                if call is not None and call.farmer in addresses and transaction.successful:
                    place = (transaction.ledger, transaction.hash)
                    found.append(FoundPlant(call.farmer, call.block_index, call.stake, *place))
        return found

    async def harvests(self, pails: Mapping[PailKey, int]) -> Mapping[PailKey, TransactionResult]:
        """See ChainReader."""
        found: dict[PailKey, TransactionResult] = {}
        with ledger_faults():
            last = (await self._rpc.latest_ledger()).sequence
            async for transaction in self._between(min(pails.values(), default=last), last):
                key = read_harvest_call(transaction.envelope_xdr, self._identity.farm_id)
                if key is not None and key in pails and transaction.successful:
                    found[key] = decoded_result(transaction, self._identity)
                if len(found) == len(pails):
                    break
        return found

    async def _between(self, after: int, last: int) -> AsyncIterator[LedgerTransaction]:
        """The transactions of the ledgers after `after` up to `last`, as far back as they can be read."""
        start = await readable_after(self._rpc, after) + 1
        while start <= last:
            end = min(start + _LEDGERS_IN_ONE_GO - 1, last)
            for transaction in await self._rpc.transactions(start, end):
                yield transaction
            start = end + 1

    async def balances(self, addresses: Sequence[str]) -> Mapping[str, int]:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.balances(addresses)

    async def dated_balances(self, addresses: Sequence[str]) -> tuple[int, Mapping[str, int]]:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.dated_balances(addresses)

    async def receivers(self, addresses: Sequence[str]) -> Mapping[str, Receiver]:
        """See ChainReader."""
        with ledger_faults():
            return (await self._farm.dated_receivers(addresses))[1]

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, Account]:
        """See ChainReader."""
        with ledger_faults():
            return await self._farm.accounts(addresses)
