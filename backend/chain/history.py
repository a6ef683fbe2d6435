"""Single transactions, read by their hashes."""

from __future__ import annotations

from datetime import UTC, datetime

from backend.chain.faults import ledger_faults
from backend.domain.verification import Movement, Present
from kale_chain.errors import LedgerRangeError
from kale_chain.model import FarmIdentity
from kale_chain.rpc import StellarRpc
from kale_chain.xdr import keys
from kale_chain.xdr.entries import read_trustline_balance


class RpcTransactionHistory:
    """TransactionHistory over a Stellar RPC."""

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity) -> None:
        self._rpc = rpc
        self._identity = identity

    async def movement(self, transaction_hash: str, address: str) -> Movement | None:
        """What a transaction did to a farmer's KALE and pails; see the port."""
        with ledger_faults():
            found = await self._rpc.transaction(transaction_hash)
            if found is None:
                return None
            changes = found.changes(self._identity, {address})
            line = next(iter(changes.balances), None)
            pails = {pail.block_index: (pail.before, pail.after) for pail in changes.pails}
            return Movement(
                ledger=found.ledger,
                order=found.application_order,
                successful=found.successful,
                fee=found.fee_charged,
                before=None if line is None else line.before or 0,
                after=None if line is None else line.after or 0,
                planted={block: after.stake for block, (before, after) in pails.items() if not before and after},
                emptied={block: before.stake for block, (before, after) in pails.items() if before and not after},
            )

    async def present(self, address: str) -> Present | None:
        """The farmer's KALE as it is now; see the port."""
        key = keys.kale_trustline(self._identity, address).to_xdr()
        with ledger_faults():
            entry = (await self._rpc.entries([key])).get(key)
            if entry is None:
                return None
            balance, ledger = read_trustline_balance(entry.data_xdr), entry.last_modified
            return Present(balance, ledger, await self._closed_at(ledger))

    async def _closed_at(self, ledger: int) -> datetime | None:
        try:
            applied = await self._rpc.transactions(ledger, ledger)
        except LedgerRangeError:
            return None
        return datetime.fromtimestamp(applied[0].close_time, UTC) if applied else None
