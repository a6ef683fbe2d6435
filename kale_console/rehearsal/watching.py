"""Follows the ledger while the rehearsal farms, and keeps every call for its farmers."""

import asyncio
from collections.abc import AsyncIterator

import structlog

from kale_chain.errors import LedgerRangeError, RpcError
from kale_chain.farm import FarmReader
from kale_chain.model import Farm, FarmIdentity, Ledger
from kale_chain.rpc import LedgerTransaction, StellarRpc
from kale_chain.xdr.envelopes import read_farm_call, read_plant_call
from kale_console.rehearsal.observed import Observed, Seen

_log = structlog.get_logger()

LEDGERS_AHEAD = 6
"""The opening of a block is predicted so many ledgers before it is to be expected."""
SPARE_BLOCKS = 2
"""So many blocks more may pass before the rehearsal gives up."""


class Watcher:
    """Reads every ledger from the one after `start` on.

    Args:
        rpc: Reads it.
        identity: The farm.
        observed: Filled with what is seen.
        poll_seconds: How often the last ledger is asked for.
    """

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity, observed: Observed, poll_seconds: float) -> None:
        self._rpc = rpc
        self._identity = identity
        self._reader = FarmReader(rpc, identity)
        self._observed = observed
        self._poll_seconds = poll_seconds
        self._next = 0
        self._index = 0
        self._openings: dict[int, int] = {}

    async def start(self) -> None:
        """Reads where everything stands; the block that runs is not counted, for it began without the pool."""
        observed = self._observed
        ledger, observed.start_balances = await self._reader.dated_balances(observed.farmers)
        self._next = ledger + 1
        self._index = (await self._reader.farm()).index

    async def follow(self) -> AsyncIterator[Ledger]:
        """Every look at the ledger, until all is harvested or too many blocks have passed."""
        while not self._over():
            try:
                ledger = await self._look()
            except LedgerRangeError as error:
                # An RPC may name a ledger before it serves its transactions; one that it has dropped is gone for ever.
                if error.oldest > self._next:
                    raise
                ledger = None
            except RpcError as error:
                _log.warning("the RPC does not answer; trying again", problem=str(error))
                ledger = None
            if ledger is not None:
                yield ledger
            await asyncio.sleep(self._poll_seconds)
        await self._close()

    async def _close(self) -> None:
        """Reads the balances of a moment up to which every ledger was read."""
        while True:
            ledger, balances = await self._reader.dated_balances(self._observed.farmers)
            if ledger < self._next:
                self._observed.end_balances = balances
                return
            await self._look()

    def _over(self) -> bool:
        observed = self._observed
        spent = bool(observed.first_block) and self._index > observed.first_block + observed.wanted + SPARE_BLOCKS
        return observed.complete or spent

    async def _look(self) -> Ledger | None:
        """What has closed since the last look; None if nothing has."""
        last = await self._rpc.latest_ledger()
        if last.sequence < self._next:
            return None
        transactions = await self._rpc.transactions(self._next, last.sequence)
        farm = await self._reader.farm()
        self._next = last.sequence + 1
        self._observed.clock.observe(last)
        if farm.index != self._index:
            await self._turned(farm)
        for one in transactions:
            self._keep(one)
        self._predict(farm, last)
        return last

    def _keep(self, transaction: LedgerTransaction) -> None:
        for index, opened_at in self._openings.items():
            if transaction.close_time == opened_at:
                self._observed.opened[index] = transaction.ledger
        call = read_farm_call(transaction.envelope_xdr, self._identity.farm_id)
        if call is None or call.farmer not in self._observed.farmers:
            return
        plant = read_plant_call(transaction.envelope_xdr, self._identity.farm_id)
        emptied = [one.before for one in transaction.changes(self._identity, [call.farmer]).pails if one.after is None]
        seen = Seen(call, transaction, plant.stake if plant else 0, next(iter(emptied), None))
        self._observed.calls.append(seen)

    async def _turned(self, farm: Farm) -> None:
        """A block has opened; that was in a ledger just read or, if the farm was read later, in the next."""
        observed = self._observed
        self._openings[farm.index] = farm.block.timestamp
        observed.first_block = observed.first_block or farm.index
        for index in range(max(self._index, observed.first_block), farm.index):
            block = await self._reader.block(index)
            if block is not None:
                observed.blocks[index] = block
        self._index = farm.index

    def _predict(self, farm: Farm, last: Ledger) -> None:
        """Says when the next block opens, once it is near."""
        opening = self._observed.clock.pace.opening(last, farm.block.ends_at)
        near = 0 < opening.expected - last.sequence <= LEDGERS_AHEAD
        if near and farm.index + 1 not in self._observed.predicted:
            self._observed.predicted[farm.index + 1] = opening
