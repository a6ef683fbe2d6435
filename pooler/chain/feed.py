"""Closed ledgers and what they made of our work."""

from collections.abc import AsyncIterator

from kale_chain.errors import ChainError, FarmError, FarmErrorCode
from kale_chain.follower import LedgerFollower, LedgerUpdate
from kale_chain.model import FarmIdentity, Ledger
from kale_chain.rpc import LedgerTransaction, StellarRpc
from pooler.domain.assignment import Failure, Reason
from pooler.domain.attempt import WorkResult
from pooler.ports import News

# Errors that another transaction for the same farmer and block would meet again.
_FINAL = frozenset({FarmErrorCode.PAIL_MISSING, FarmErrorCode.BLOCK_MISSING, FarmErrorCode.HASH_INVALID})


class RpcLedgerFeed:
    """The closed ledgers, through a follower."""

    def __init__(self, rpc: StellarRpc, follower: LedgerFollower, identity: FarmIdentity) -> None:
        self._rpc = rpc
        self._follower = follower
        self._identity = identity

    @property
    def problem(self) -> str | None:
        """Why ledgers do not arrive now; None while they do."""
        if self._follower.last_error is not None:
            return str(self._follower.last_error)
        return None if self._follower.healthy else f"the RPC is {self._follower.lag} ledgers behind"

    async def latest(self) -> Ledger:
        """The last closed ledger."""
        return await self._rpc.latest_ledger()

    async def news(self, after: int) -> AsyncIterator[News]:
        """Everything closed after ledger `after`, for ever."""
        async for update in self._follower.updates(after):
            yield self._news(update)

    def _news(self, update: LedgerUpdate) -> News:
        def result(transaction_hash: str) -> WorkResult | None:
            transaction = update.transactions.get(transaction_hash)
            return None if transaction is None else self._result(transaction)

        return News(update.last, result)

    def _result(self, transaction: LedgerTransaction) -> WorkResult:
        try:
            if transaction.successful and isinstance(gap := transaction.return_value, int):
                return WorkResult(transaction.ledger, gap, None)
            return WorkResult(transaction.ledger, None, self._failure(transaction))
        except ChainError as error:
            # Undecodable: whether it was accepted, the Pail tells.
            return WorkResult(transaction.ledger, None, Failure(Reason.NETWORK_REFUSED, str(error)))

    def _failure(self, transaction: LedgerTransaction) -> Failure:
        refused = transaction.contract_failure
        error = None if refused is None else refused.error(self._identity)
        if isinstance(error, FarmError):
            reason = Reason.HASH_INVALID if error.code is FarmErrorCode.HASH_INVALID else Reason.CONTRACT_REFUSED
            return Failure(reason, str(error), final=error.code in _FINAL)
        if transaction.result_code == "txINSUFFICIENT_BALANCE":
            return Failure(Reason.FEE_ACCOUNT_LOW, "the fee account cannot pay; fund it")
        codes = " ".join(filter(None, (transaction.result_code, transaction.operation_code)))
        return Failure(Reason.CONTRACT_REFUSED, f"the ledger applied the work transaction without success ({codes})")
