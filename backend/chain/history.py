"""Single transactions, read by their hashes."""

from __future__ import annotations

from backend.chain.faults import ledger_faults
from backend.domain.verification import Movement
from kale_chain.model import FarmIdentity
from kale_chain.rpc import StellarRpc


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
