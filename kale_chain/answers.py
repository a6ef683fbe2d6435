"""What the Stellar RPC answers, as values."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from kale_chain.errors import ContractError
from kale_chain.model import Counterparty, FarmIdentity, Ledger, Resources
from kale_chain.xdr.changes import NO_CHANGES, TransactionChanges, read_changes
from kale_chain.xdr.charges import Charges, read_charges
from kale_chain.xdr.entries import Native
from kale_chain.xdr.payments import read_counterparty
from kale_chain.xdr.results import (
    ContractFailure,
    ResultCodes,
    read_contract_failure,
    read_inner_hash,
    read_result,
    read_return_value,
)


@dataclass(frozen=True, slots=True)
class Network:
    """The network an RPC serves. `friendbot_url` is where test networks give XLM away, else None."""

    passphrase: str
    protocol_version: int
    friendbot_url: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger entry: LedgerEntryData (base64), the ledger that changed it last, and the last one it lives in.

    `live_until` is None for classic entries, which do not expire.
    """

    data_xdr: str
    last_modified: int
    live_until: int | None


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries read together. What is absent did not exist, or had expired.

    Attributes:
        ledger: The latest closed ledger when they were read; of several calls, the earliest.
        found: The entries by key (base64 LedgerKey).
    """

    ledger: int
    found: Mapping[str, Entry] = field(repr=False)

    def get(self, key: str) -> Entry | None:
        """The entry of a key, or None."""
        return self.found.get(key)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Whether an endpoint holds a transaction, among which ledgers.

    Attributes:
        found: Whether it does.
        oldest: The oldest ledger it holds.
        latest: The latest.
    """

    found: bool
    oldest: int
    latest: int


class SubmissionStatus(StrEnum):
    """What the RPC said of a transaction sent; only a ledger tells what became of it."""

    PENDING = "PENDING"
    DUPLICATE = "DUPLICATE"
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to a transaction sent.

    Attributes:
        status: See `SubmissionStatus`.
        hash: The transaction's hash, 64 hex digits.
        code: With `ERROR`, the result code such as `txBAD_SEQ` (a fee bump's inner one); else None.
        ledger: Latest closed ledger when it was sent.
    """

    status: SubmissionStatus
    hash: str
    code: str | None
    ledger: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """A call tried on the last closed ledger.

    Attributes:
        ledger: That ledger.
        error: Why it would fail, in the host's words; None if it would succeed, and then the rest is set.
        failure: The contract that would refuse it, if one would.
        resources: What it would use, with the least resource fee.
        return_value: What it would return, as Python.
        auth: The authorisation entries it would need (base64).
    """

    ledger: int
    error: str | None
    failure: ContractFailure | None
    resources: Resources | None
    return_value: Native
    auth: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeeStats:
    """Recent inclusion fees of contract calls and of classic operations, in stroops an operation."""

    soroban_inclusion_p50: int
    soroban_inclusion_p90: int
    soroban_inclusion_max: int
    inclusion_p50: int
    inclusion_p90: int
    inclusion_max: int


@dataclass(frozen=True)
class LedgerTransaction:
    """A transaction in a closed ledger. What its XDR says is decoded when first asked for.

    Every decoded attribute raises `MalformedXdrError` if the RPC gave bytes that are not what they should be.

    Attributes:
        hash: 64 hex digits; of a fee bump the outer hash.
        ledger: The ledger it is in.
        close_time: That ledger's close time, seconds.
        successful: Whether it took effect. A failed one still cost its fee and used its sequence number.
        fee_bump: Whether it is a fee bump.
        envelope_xdr: TransactionEnvelope, base64.
        result_xdr: TransactionResult, base64.
        meta_xdr: TransactionMeta, base64.
        diagnostic_events: DiagnosticEvent, base64 each; empty where the RPC keeps none.
        application_order: Its place in its ledger, from 1; 0 where that is not known.
    """

    hash: str
    ledger: int
    close_time: int
    successful: bool
    fee_bump: bool
    envelope_xdr: str = field(repr=False)
    result_xdr: str = field(repr=False)
    meta_xdr: str = field(repr=False)
    diagnostic_events: tuple[str, ...] = field(repr=False)
    application_order: int = 0

    @cached_property
    def _codes(self) -> ResultCodes:
        return read_result(self.result_xdr)

    @property
    def result_code(self) -> str:
        """The transaction's code such as `txSUCCESS` or `txFAILED`; of a fee bump the inner transaction's."""
        return self._codes.transaction

    @property
    def operation_code(self) -> str | None:
        """The first failing operation's code such as `trapped`, or None."""
        return self._codes.operation

    @property
    def fee_charged(self) -> int:
        """Stroops charged, after refunds where the network nets them (protocol 23 and later)."""
        return self._codes.fee_charged

    @cached_property
    def charges(self) -> Charges | None:
        """What a contract call declared and was charged for; None for classic operations."""
        return read_charges(self.envelope_xdr, self.meta_xdr, self.diagnostic_events)

    @cached_property
    def return_value(self) -> Native:
        """What a contract call returned, as Python; None for void and for classic operations."""
        return read_return_value(self.meta_xdr)

    @cached_property
    def contract_failure(self) -> ContractFailure | None:
        """The contract that refused the call, and its number; None if no contract did or it is not recorded."""
        return None if self.successful else read_contract_failure(self.diagnostic_events, self.meta_xdr)

    def contract_error(self, identity: FarmIdentity) -> ContractError | None:
        """The farm's or token's error that made it fail; None if neither refused it."""
        failure = self.contract_failure
        return failure.error(identity) if failure else None

    def changes(self, identity: FarmIdentity, addresses: Collection[str]) -> TransactionChanges:
        """What it did to these addresses' pails and KALE trustlines; a failed one did nothing to them."""
        return read_changes(self.meta_xdr, identity, addresses) if self.successful else NO_CHANGES

    def counterparty(self, identity: FarmIdentity, address: str, *, received: bool) -> Counterparty:
        """The other side of a payment of KALE to (`received`) or from this address."""
        return read_counterparty(self.envelope_xdr, identity, address, received=received)


@dataclass(frozen=True)
class LedgerUpdate:
    """Every ledger closed since the last update, each exactly once.

    Attributes:
        first: Sequence of the first of them.
        last: The last of them.
        transactions: All their transactions by hash.
    """

    first: int
    last: Ledger
    transactions: Mapping[str, LedgerTransaction] = field(repr=False)

    def find(self, hashes: Iterable[bytes]) -> LedgerTransaction | None:
        """The first transaction known by one of these hashes: its own, or that of the transaction it wraps."""
        names = [digest.hex() for digest in hashes]
        return next(
            (
                found
                for table in (self.transactions, self._by_inner_hash)
                for name in names
                if (found := table.get(name))
            ),
            None,
        )

    @cached_property
    def _by_inner_hash(self) -> Mapping[str, LedgerTransaction]:
        return {
            inner: transaction
            for transaction in self.transactions.values()
            if transaction.fee_bump and (inner := read_inner_hash(transaction.result_xdr))
        }
