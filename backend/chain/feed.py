"""Follows closed ledgers through Stellar RPC and sends transactions to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from backend.chain.faults import ledger_faults
from backend.chain.results import account_changes, decoded_result, readable_after
from backend.domain.attempt import Attempt
from backend.domain.money import AccountChange
from backend.domain.result import TransactionResult
from backend.ports.chain import SendOutcome
from kale_chain.answers import LedgerUpdate
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
        with ledger_faults():
            transaction = self.update.find(attempt.hashes)
            if transaction is None:
                return None
            return decoded_result(transaction, self.identity)

    def changes(self, addresses: Collection[str]) -> Sequence[AccountChange]:
        """See ClosedLedgers."""
        with ledger_faults():
            return [
                change
                for transaction in self.update.transactions.values()
                for change in account_changes(transaction, self.identity, addresses)
            ]


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
            return await readable_after(self._rpc, after)

    async def updates(self, after: int) -> AsyncIterator[RpcClosedLedgers]:
        """See LedgerFeed."""
        async for update in self._follower.updates(after):
            yield RpcClosedLedgers(update, self._identity)


class RpcSender:
    """TransactionSender over one Stellar RPC endpoint."""

    def __init__(self, rpc: StellarRpc) -> None:
        self._rpc = rpc

    async def send(self, envelope: str, *, tries: int = 0) -> SendOutcome:
        """See TransactionSender."""
        with ledger_faults():
            submission = await self._rpc.send(envelope, tries=tries)
        return SendOutcome(submission.status.value, submission.code)
