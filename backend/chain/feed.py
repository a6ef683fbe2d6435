"""Follows closed ledgers through Stellar RPC and sends transactions to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from backend.chain.faults import ledger_faults
from backend.domain.attempt import Attempt
from backend.domain.result import Contract, ContractError, TransactionResult
from backend.ports.chain import SendOutcome
from kale_chain.answers import LedgerTransaction, LedgerUpdate
from kale_chain.errors import LedgerRangeError
from kale_chain.follower import LedgerFollower
from kale_chain.model import FarmIdentity, Ledger
from kale_chain.rpc import StellarRpc


@dataclass(frozen=True, slots=True)
class RpcClosedLedgers:
    """ClosedLedgers over a follower's update; results are decoded when asked for."""

    update: LedgerUpdate
    identity: FarmIdentity

    @property
    def first(self) -> int:
        """See ClosedLedgers."""
        return self.update.first

    @property
    def last(self) -> Ledger:
        """See ClosedLedgers."""
        return self.update.last

    def find(self, attempt: Attempt) -> TransactionResult | None:
        """See ClosedLedgers."""
        transaction = self.update.transactions.get(attempt.hash.hex())
        if transaction is None:
            return None
        with ledger_faults():
            return self._decoded(transaction)

    def _decoded(self, transaction: LedgerTransaction) -> TransactionResult:
        value = transaction.return_value if transaction.successful else None
        return TransactionResult(
            hash=bytes.fromhex(transaction.hash),
            ledger=transaction.ledger,
            close_time=transaction.close_time,
            successful=transaction.successful,
            fee_charged=transaction.fee_charged,
            code=transaction.result_code,
            operation_code=transaction.operation_code,
            contract_error=self._contract_error(transaction),
            return_value=value if isinstance(value, int) else None,
        )

    def _contract_error(self, transaction: LedgerTransaction) -> ContractError | None:
        failure = transaction.contract_failure
        if failure is None:
            return None
        known = {self.identity.farm_id: Contract.FARM, self.identity.token_id: Contract.TOKEN}
        return ContractError(known.get(failure.contract_id, Contract.OTHER), failure.code)


class RpcLedgerFeed:
    """LedgerFeed over one Stellar RPC endpoint, asked every `poll_seconds`."""

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity, *, poll_seconds: float) -> None:
        self._rpc = rpc
        self._identity = identity
        self._follower = LedgerFollower(rpc, poll_seconds=poll_seconds)

    @property
    def fault(self) -> str | None:
        """See LedgerFeed."""
        if self._follower.last_error is not None:
            return str(self._follower.last_error)
        if not self._follower.healthy:
            return f"the RPC is {self._follower.lag} ledgers behind what it had shown before"
        return None

    async def last(self) -> Ledger:
        """See LedgerFeed."""
        with ledger_faults():
            return await self._rpc.latest_ledger()

    async def readable_after(self, after: int) -> int:
        """See LedgerFeed."""
        with ledger_faults():
            try:
                await self._rpc.transactions(after + 1, after + 1)
            except LedgerRangeError as error:
                return after if error.asked > error.latest else max(after, error.oldest - 1)
        return after

    async def updates(self, after: int) -> AsyncIterator[RpcClosedLedgers]:
        """See LedgerFeed."""
        async for update in self._follower.updates(after):
            yield RpcClosedLedgers(update, self._identity)


class RpcSender:
    """TransactionSender over one Stellar RPC endpoint."""

    def __init__(self, rpc: StellarRpc) -> None:
        self._rpc = rpc

    async def send(self, envelope: str) -> SendOutcome:
        """See TransactionSender."""
        with ledger_faults():
            submission = await self._rpc.send(envelope)
        return SendOutcome(submission.status.value, submission.code)
