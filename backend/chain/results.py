"""From kale_chain's transactions to the results the pool's rules need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from backend.domain.money import AccountChange
from backend.domain.result import Contract, ContractError, TransactionResult
from kale_chain.answers import LedgerTransaction
from kale_chain.errors import LedgerRangeError
from kale_chain.model import NOBODY, FarmIdentity, Pail
from kale_chain.rpc import StellarRpc


def decoded_result(transaction: LedgerTransaction, identity: FarmIdentity) -> TransactionResult:
    """A transaction's result."""
    value = transaction.return_value if transaction.successful else None
    return TransactionResult(
        hash=bytes.fromhex(transaction.hash),
        ledger=transaction.ledger,
        close_time=transaction.close_time,
        successful=transaction.successful,
        fee_charged=transaction.fee_charged,
        code=transaction.result_code,
        operation_code=transaction.operation_code,
        contract_error=_contract_error(transaction, identity),
        return_value=value if isinstance(value, int) else None,
    )


def account_changes(
    transaction: LedgerTransaction, identity: FarmIdentity, addresses: Collection[str]
) -> list[AccountChange]:
    """What a transaction did to each of these accounts that it touched."""
    changes = transaction.changes(identity, addresses)
    stroops = {change.address: change.amount for change in changes.balances}
    planted: defaultdict[str, dict[int, Pail]] = defaultdict(dict)
    emptied: defaultdict[str, dict[int, Pail]] = defaultdict(dict)
    for pail in changes.pails:
        if pail.before is None and pail.after is not None:
            planted[pail.farmer][pail.block_index] = pail.after
        elif pail.before is not None and pail.after is None:
            emptied[pail.farmer][pail.block_index] = pail.before
    return [
        AccountChange(
            transaction_hash=transaction.hash,
            ledger=transaction.ledger,
            address=address,
            stroops=stroops.get(address, 0),
            planted=planted[address],
            emptied=emptied[address],
            counterparty=NOBODY
            if planted[address] or emptied[address]
            else transaction.counterparty(identity, address, received=stroops[address] > 0),
        )
        for address in dict.fromkeys([*stroops, *planted, *emptied])
    ]


async def readable_after(rpc: StellarRpc, after: int) -> int:
    """`after`, or the ledger before the oldest that the RPC still holds, if that is later."""
    if (await rpc.latest_ledger()).sequence <= after:
        return after  # to ask for ledgers to come is refused by a network that stands still
    try:
        await rpc.transactions(after + 1, after + 1)
    except LedgerRangeError as error:
        return after if error.asked > error.latest else max(after, error.oldest - 1)
    return after


def _contract_error(transaction: LedgerTransaction, identity: FarmIdentity) -> ContractError | None:
    failure = transaction.contract_failure
    if failure is None:
        return None
    known = {identity.farm_id: Contract.FARM, identity.token_id: Contract.TOKEN}
    return ContractError(known.get(failure.contract_id, Contract.OTHER), failure.code)
