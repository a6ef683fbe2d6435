"""What a transaction did to the farm's pails and to KALE trustlines, read from its ledger-entry changes.

The entries are the ledger's own word: they show a plant or a harvest whichever contract made the call, and a payment of
whatever kind. Source of the layout: TransactionMeta of protocols 23 to 28 (versions 3 and 4): changes before the
operations, of each operation, and after them; every change of an entry is preceded by the entry's state before it.
"""

import base64
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from stellar_sdk import StrKey, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.model import FarmIdentity, Pail
from kale_chain.xdr import keys
from kale_chain.xdr.entries import decoded
from kale_chain.xdr.results import decoded_meta
from kale_chain.xdr.walking import ChangeKind, UnusualXdrError, meta_parts

_KEY_BYTES = 32
_PAIL = "Pail"
_PAIL_KEY_PARTS = 3
_OWNER = b"\xff" * _KEY_BYTES
"""Stands in a key where an owner's does, and nowhere else in it."""


@dataclass(frozen=True, slots=True)
class PailChange:
    """A pail that a transaction made, worked or emptied.

    Attributes:
        farmer: The farmer's address.
        block_index: The block.
        before: The pail before the transaction; None: there was none, so this was a plant.
        after: The pail after it; None: it is gone, so this was a harvest.
    """

    farmer: str
    block_index: int
    before: Pail | None
    after: Pail | None


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """A KALE trustline that a transaction changed; amounts in stroops, None where there is no trustline."""

    address: str
    before: int | None
    after: int | None

    @property
    def amount(self) -> int:
        """By how much the balance grew."""
        return (self.after or 0) - (self.before or 0)


@dataclass(frozen=True, slots=True)
class TransactionChanges:
    """What one transaction changed, each pail and trustline once, in the order of their first change."""

    pails: tuple[PailChange, ...]
    balances: tuple[BalanceChange, ...]


NO_CHANGES = TransactionChanges((), ())


def read_changes(meta_xdr: str, identity: FarmIdentity, addresses: Collection[str]) -> TransactionChanges:
    """What a transaction (its TransactionMeta, base64) did to these addresses' pails and KALE trustlines.

    Only a meta whose bytes hold one of the addresses in the key of a pail or trustline is decoded at all: of the
    hundreds of transactions in a ledger few are.

    Raises:
        MalformedXdrError: it is no meta.
    """
    raw = base64.b64decode(meta_xdr)
    if not any(address in addresses for address in _touched(raw, identity)):
        return NO_CHANGES
    return decoded("a transaction's meta", lambda: _read(raw, identity, addresses))


def _touched(raw: bytes, identity: FarmIdentity) -> Iterator[str]:
    """Addresses that stand where the key of a pail or of a KALE trustline has its owner's."""
    pail, line = _marks(identity)
    for mark, offset in ((pail, len(pail)), (line, -_KEY_BYTES)):
        at = raw.find(mark)
        while at >= 0:
            key = raw[max(at + offset, 0) : at + offset + _KEY_BYTES]
            if len(key) == _KEY_BYTES:
                yield _address(key)
            at = raw.find(mark, at + 1)


@lru_cache(maxsize=4)
def _marks(identity: FarmIdentity) -> tuple[bytes, bytes]:
    """The bytes that precede a farmer's key in a pail's key, and those that follow the owner's in a trustline."""
    owner = StrKey.encode_ed25519_public_key(_OWNER)
    pail = keys.pail(identity.farm_id, owner, 0).contract_data
    line = keys.kale_trustline(identity, owner).trust_line
    assert pail is not None
    assert line is not None
    return pail.key.to_xdr_bytes().partition(_OWNER)[0], line.asset.to_xdr_bytes()


@lru_cache(maxsize=8_192)
def _address(key: bytes) -> str:
    return StrKey.encode_ed25519_public_key(key)


def _read(raw: bytes, identity: FarmIdentity, addresses: Collection[str]) -> TransactionChanges:
    pails = _Tracked(lambda entry: _pail(entry, identity), lambda key: _pail_key(key, identity))
    lines = _Tracked(lambda entry: _line(entry, identity), lambda key: _line_key(key, identity))
    for change in _changes(raw, identity):
        pails.see(change)
        lines.see(change)
    return TransactionChanges(
        tuple(PailChange(farmer, index, *both) for (farmer, index), both in pails.moved() if farmer in addresses),
        tuple(BalanceChange(address, *both) for address, both in lines.moved() if address in addresses),
    )


class _Change(NamedTuple):
    """A change of an entry; `key` instead of `entry` of one that was removed."""

    kind: ChangeKind
    entry: stellar_xdr.LedgerEntryData | None
    key: stellar_xdr.LedgerKey | None


def _changes(raw: bytes, identity: FarmIdentity) -> Iterator[_Change]:
    """The changes of what may be pails and KALE trustlines, in the order in which they were made."""
    try:
        parts = meta_parts(raw)
    except UnusualXdrError:
        yield from _all_changes(decoded_meta(raw))
        return
    marks = _marks(identity)
    for kind, data in parts.changes:
        if not any(mark in data for mark in marks):
            continue
        if kind is ChangeKind.REMOVED:
            yield _Change(kind, None, stellar_xdr.LedgerKey.from_xdr_bytes(data))
        else:
            yield _Change(kind, stellar_xdr.LedgerEntryData.from_xdr_bytes(data), None)


def _all_changes(meta: stellar_xdr.TransactionMeta) -> Iterator[_Change]:
    """Every change, in the order in which they were made."""
    newest = meta.v4 or meta.v3
    if newest is None:
        raise ValueError(f"a meta of version {meta.v}")
    changes = [
        newest.tx_changes_before,
        *(operation.changes for operation in newest.operations),
        newest.tx_changes_after,
    ]
    for change in chain.from_iterable(part.ledger_entry_changes for part in changes):
        entry = change.created or change.updated or change.state or change.restored
        yield _Change(ChangeKind(change.type.value), entry.data if entry else None, change.removed)


class _Tracked:
    """Entries of one kind: what each was at first and what it is now.

    Args:
        read: Key and value of an entry of this kind; None of another.
        read_key: Key of a removed one; None of another kind.
    """

    def __init__(
        self,
        read: Callable[[stellar_xdr.LedgerEntryData], tuple[Any, Any] | None],
        read_key: Callable[[stellar_xdr.LedgerKey], Any],
    ) -> None:
        self._read = read
        self._read_key = read_key
        self.seen: dict[Any, tuple[Any, Any]] = {}

    def see(self, change: _Change) -> None:
        """Takes one change into account."""
        if change.key is not None:
            key = self._read_key(change.key)
            if key is not None:
                self.seen[key] = (self.seen[key][0], None)
            return
        found = self._read(change.entry) if change.entry is not None else None
        if found is None:
            return
        key, value = found
        existed = change.kind in {ChangeKind.STATE, ChangeKind.RESTORED}
        first = self.seen[key][0] if key in self.seen else value if existed else None
        self.seen[key] = (first, value)

    def moved(self) -> Iterator[tuple[Any, tuple[Any, Any]]]:
        """Keys of the entries that are not what they were, each with its first and its last value."""
        return ((key, both) for key, both in self.seen.items() if both[0] != both[1])


def _pail(entry: stellar_xdr.LedgerEntryData, identity: FarmIdentity) -> tuple[tuple[str, int], Pail] | None:
    data = entry.contract_data
    key = _farm_key(data.contract, data.key, identity) if data else None
    if data is None or key is None:
        return None
    fields = scval.to_native(data.val)
    if not isinstance(fields, dict):
        raise TypeError("not a struct")
    return key, Pail(**fields)


def _pail_key(key: stellar_xdr.LedgerKey, identity: FarmIdentity) -> tuple[str, int] | None:
    data = key.contract_data
    return _farm_key(data.contract, data.key, identity) if data else None


def _farm_key(
    contract: stellar_xdr.SCAddress, key: stellar_xdr.SCVal, identity: FarmIdentity
) -> tuple[str, int] | None:
    if contract.contract_id is None or key.vec is None or contract != keys.sc_address(identity.farm_id):
        return None
    parts = key.vec.sc_vec
    if len(parts) != _PAIL_KEY_PARTS or scval.to_native(parts[0]) != _PAIL:
        return None
    return scval.from_address(parts[1]).address, scval.from_uint32(parts[2])


def _line(entry: stellar_xdr.LedgerEntryData, identity: FarmIdentity) -> tuple[str, int] | None:
    line = entry.trust_line
    if line is None or not _is_kale(line.asset, identity):
        return None
    return _owner(line.account_id), line.balance.int64


def _line_key(key: stellar_xdr.LedgerKey, identity: FarmIdentity) -> str | None:
    line = key.trust_line
    return _owner(line.account_id) if line is not None and _is_kale(line.asset, identity) else None


def _is_kale(asset: stellar_xdr.TrustLineAsset, identity: FarmIdentity) -> bool:
    return asset.to_xdr_bytes() == _marks(identity)[1]


def _owner(account: stellar_xdr.AccountID) -> str:
    key = account.account_id.ed25519
    assert key is not None
    return _address(key.uint256)
