"""What the ledger's own actors need of the engine: entries read, transactions built, prepared and queued.

Everything here is synchronous and runs where the engine runs (see `devnet.ledger`).
"""

import json

from stellar_sdk import (
    Account,
    Address,
    Asset,
    Keypair,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.operation import InvokeHostFunction

from devnet._engine import LedgerEngine, Submission

# What the ledger's own actors offer per operation on top of resources, stroops.
INCLUSION_FEE = 100_000


class EngineClient:
    """Reads and transactions on one engine."""

    def __init__(self, engine: LedgerEngine, passphrase: str) -> None:
        self.engine = engine
        self.passphrase = passphrase

    def entry(self, key: xdr.LedgerKey) -> xdr.LedgerEntryData | None:
        """The entry of a key, or None if there is none or it has expired."""
        found = self.engine.entry(key.to_xdr())
        return xdr.LedgerEntryData.from_xdr(found[0]) if found else None

    def account(self, address: str) -> Account | None:
        """An account with its sequence number, or None."""
        data = self.entry(account_key(address))
        if data is None:
            return None
        assert data.account
        return Account(address, data.account.seq_num.sequence_number.int64)

    def builder(self, source: Keypair) -> TransactionBuilder:
        """A transaction of this source, valid for ever. `LookupError` if the account does not exist."""
        account = self.account(source.public_key)
        if account is None:
            raise LookupError(f"account {source.public_key} does not exist")
        return TransactionBuilder(account, self.passphrase, INCLUSION_FEE).add_time_bounds(0, 0)

    def prepare(self, transaction: TransactionEnvelope) -> TransactionEnvelope:
        """Completes a contract call with what simulation finds: resources, fee, authorisation of its source.

        Raises:
            ValueError: If it would fail; the text is the host's.
        """
        answer = json.loads(self.engine.simulate(transaction.to_xdr(), None))
        if "error" in answer:
            raise ValueError(answer["error"])
        inner = transaction.transaction
        inner.soroban_data = xdr.SorobanTransactionData.from_xdr(answer["transactionData"])
        inner.fee = INCLUSION_FEE + int(answer["minResourceFee"])
        (operation,) = inner.operations
        if isinstance(operation, InvokeHostFunction) and not operation.auth and answer.get("results"):
            entries = answer["results"][0].get("auth") or []
            operation.auth = [xdr.SorobanAuthorizationEntry.from_xdr(entry) for entry in entries]
        return transaction

    def send(self, transaction: TransactionEnvelope, *signers: Keypair) -> Submission:
        """Signs a transaction and puts it into the queue."""
        for signer in signers:
            transaction.sign(signer)
        return self.engine.submit(transaction.to_xdr())


def account_key(address: str) -> xdr.LedgerKey:
    """The key of an account's entry."""
    return xdr.LedgerKey(
        xdr.LedgerEntryType.ACCOUNT,
        account=xdr.LedgerKeyAccount(Keypair.from_public_key(address).xdr_account_id()),
    )


def trustline_key(address: str, asset: Asset) -> xdr.LedgerKey:
    """The key of an account's trustline."""
    return xdr.LedgerKey(
        xdr.LedgerEntryType.TRUSTLINE,
        trust_line=xdr.LedgerKeyTrustLine(
            Keypair.from_public_key(address).xdr_account_id(), asset.to_trust_line_asset_xdr_object()
        ),
    )


def contract_key(contract_id: str, key: xdr.SCVal, *, temporary: bool = False) -> xdr.LedgerKey:
    """The key of a contract's entry."""
    durability = xdr.ContractDataDurability.TEMPORARY if temporary else xdr.ContractDataDurability.PERSISTENT
    return xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.LedgerKeyContractData(Address(contract_id).to_xdr_sc_address(), key, durability),
    )


def instance_key(contract_id: str) -> xdr.LedgerKey:
    """The key of a contract's instance."""
    return contract_key(contract_id, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE))
