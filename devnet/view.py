"""What the ledger's readers see: its present, or the past of `Faults.lag` ledgers ago, as from a node that lags."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stellar_sdk import xdr

from devnet.engine_client import EngineClient
from devnet.faults import Faults
from devnet.ledger import LocalLedger
from devnet.records import LedgerRecord, TransactionRecord

CHANGE = xdr.LedgerEntryChangeType


class EntryView(NamedTuple):
    """An entry: its key and LedgerEntryData in base64, when it changed last, and the last ledger it lives in."""

    key: str
    data_xdr: str
    last_modified: int
    live_until: int | None


class View:
    """Reads the history and the entries as of the latest ledger but `faults.lag`."""

    def __init__(self, ledger: LocalLedger, faults: Faults) -> None:
        self._ledger = ledger
        self._faults = faults

    @property
    def oldest(self) -> LedgerRecord:
        """The first ledger held."""
        return self._ledger.history.oldest

    @property
    def latest(self) -> LedgerRecord:
        """The last ledger to be seen."""
        history = self._ledger.history
        return history.ledger(max(history.oldest.sequence, history.latest.sequence - self._faults.lag))

    def find(self, transaction_hash: str) -> tuple[LedgerRecord, TransactionRecord] | None:
        """The transaction of this hash and its ledger, if to be seen."""
        found = self._ledger.history.find(transaction_hash)
        return found if found and found[0].sequence <= self.latest.sequence else None

    def since(self, sequence: int) -> list[LedgerRecord]:
        """The ledgers to be seen from this sequence on."""
        ledgers = self._ledger.history.since(sequence)
        return ledgers[: max(0, self.latest.sequence - ledgers[0].sequence + 1)] if ledgers else []

    async def entries(self, keys: Sequence[str]) -> tuple[list[EntryView], int]:
        """The entries of these keys (base64) that exist, and the ledger as of which they were read.

        Raises:
            ValueError: If a key is not a ledger key; the text names its place.
        """
        entries, sequence = await self._ledger.call(_read, keys)
        if not self._faults.lag:
            return entries, sequence
        latest = self.latest.sequence
        before = dict(self._changed_since(latest))
        return [entry for key in keys if (entry := _as_of(key, entries, before))], latest

    def _changed_since(self, sequence: int) -> Iterator[tuple[str, xdr.LedgerEntry | None]]:
        """Key and earlier value of everything changed after a ledger, latest change first: the first one wins last."""
        for ledger in reversed(self._ledger.history.since(sequence + 1)):
            for record in reversed(ledger.transactions):
                yield from reversed(list(_earlier_values(record)))


def _read(client: EngineClient, keys: Sequence[str]) -> tuple[list[EntryView], int]:
    entries = []
    for index, key in enumerate(keys):
        try:
            found = client.engine.entry(key)
        except ValueError as error:
            raise ValueError(f"cannot unmarshal key value {key} at index {index}: {error}") from error
        if found:
            entries.append(EntryView(key, *found))
    return entries, client.engine.sequence


def _as_of(key: str, entries: Sequence[EntryView], before: dict[str, xdr.LedgerEntry | None]) -> EntryView | None:
    now = next((entry for entry in entries if entry.key == key), None)
    if key in before:
        earlier = before[key]
        if earlier is None:
            return None
        now = EntryView(key, earlier.data.to_xdr(), earlier.last_modified_ledger_seq.uint32, now and now.live_until)
    life = before.get(_life_key(key))
    if now and life and life.data.ttl:
        return now._replace(live_until=life.data.ttl.live_until_ledger_seq.uint32)
    return now


def _life_key(key: str) -> str:
    digest = hashlib.sha256(xdr.LedgerKey.from_xdr(key).to_xdr_bytes()).digest()
    return xdr.LedgerKey(xdr.LedgerEntryType.TTL, ttl=xdr.LedgerKeyTtl(xdr.Hash(digest))).to_xdr()


def _earlier_values(record: TransactionRecord) -> Iterator[tuple[str, xdr.LedgerEntry | None]]:
    """What each entry that a transaction touched was before; None if it did not exist."""
    meta = xdr.TransactionMeta.from_xdr(record.meta_xdr).v4
    assert meta
    groups = [meta.tx_changes_before, *(operation.changes for operation in meta.operations), meta.tx_changes_after]
    for change in (change for group in groups for change in group.ledger_entry_changes):
        if change.type == CHANGE.LEDGER_ENTRY_STATE:
            assert change.state
            yield entry_key(change.state).to_xdr(), change.state
        elif change.type == CHANGE.LEDGER_ENTRY_CREATED:
            assert change.created
            yield entry_key(change.created).to_xdr(), None


def entry_key(entry: xdr.LedgerEntry) -> xdr.LedgerKey:
    """The key of an entry of the kinds this ledger has; `ValueError` for others."""
    data = entry.data
    if data.account:
        return xdr.LedgerKey(data.type, account=xdr.LedgerKeyAccount(data.account.account_id))
    if data.trust_line:
        line = xdr.LedgerKeyTrustLine(data.trust_line.account_id, data.trust_line.asset)
        return xdr.LedgerKey(data.type, trust_line=line)
    if data.contract_data:
        found = data.contract_data
        return xdr.LedgerKey(
            data.type, contract_data=xdr.LedgerKeyContractData(found.contract, found.key, found.durability)
        )
    if data.contract_code:
        return xdr.LedgerKey(data.type, contract_code=xdr.LedgerKeyContractCode(data.contract_code.hash))
    if data.ttl:
        return xdr.LedgerKey(data.type, ttl=xdr.LedgerKeyTtl(data.ttl.key_hash))
    raise ValueError(f"no entry of this ledger is a {data.type.name}")
