"""Steps over XDR without decoding it, to the few parts of it that are wanted.

A transaction's meta is mostly entries of others' contracts and accounts; to make objects of all of them costs a hundred
times what it costs to step over them. Source of the layouts: Stellar-ledger-entries.x, Stellar-ledger.x and
Stellar-contract.x of protocols 23 to 28.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

_UINT32 = struct.Struct(">I").unpack_from

# One that interests us is asked for its changes and then for its result.
_REMEMBERED = 32
_HASH = 32
_ACCOUNT_ID = 4 + _HASH
_LIABILITIES = 16
_NARROW, _WIDE = 3, 4
"""Versions of a meta: in the later one each operation has its events with it."""
_COST_INPUTS = 4 + 10 * 4
"""Of a contract's code: an extension point and ten numbers."""


class UnusualXdrError(ValueError):
    """A part of a kind that is not stepped over here; whoever wants it must decode the whole."""


class ChangeKind(IntEnum):
    """LedgerEntryChangeType."""

    CREATED = 0
    UPDATED = 1
    REMOVED = 2
    STATE = 3
    RESTORED = 4


class Change(NamedTuple):
    """A change of a ledger entry.

    Attributes:
        kind: What became of it.
        data: The bytes of its LedgerKey if it was removed, else of its LedgerEntryData.
    """

    kind: ChangeKind
    data: bytes


class Parts(NamedTuple):
    """The wanted parts of a TransactionMeta.

    Attributes:
        changes: Every change of an entry: those before the operations, of each operation, and after them.
        return_value: The bytes of the called contract function's SCVal; None where no contract was called.
    """

    changes: tuple[Change, ...]
    return_value: bytes | None


@lru_cache(maxsize=_REMEMBERED)
def meta_parts(raw: bytes) -> Parts:
    """The wanted parts of a TransactionMeta of version 3 or 4.

    Raises:
        UnusualXdrError: it has a part that is not stepped over here: offers, claimable balances, pools, settings.
        ValueError: it is no such meta.
    """
    walk = _Walk(raw)
    try:
        return walk.meta()
    except struct.error as error:
        raise ValueError("a meta that ends too early") from error


_Steps: TypeAlias = "Mapping[int, int | Callable[[_Walk], None]]"
"""What follows each discriminant of a union: so many bytes, or a step."""


class _Walk:
    """A place in XDR bytes that moves on over whole values."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def meta(self) -> Parts:
        """Steps over a TransactionMeta."""
        version = self._number()
        if version not in {_NARROW, _WIDE}:
            raise UnusualXdrError(f"a meta of version {version}")
        wide = version == _WIDE
        self._at += 4
        changes = [*self._changes()]
        for _ in range(self._number()):
            self._at += 4 if wide else 0
            changes += self._changes()
            if wide:
                self._each(self._event)
        changes += self._changes()
        value = self._soroban(wide=wide) if self._number() else None
        if wide:
            self._each(self._marked_event)
            self._each(self._marked_event)
        if self._at != len(self._raw):
            raise ValueError("a meta that is longer or shorter than what it holds")
        return Parts(tuple(changes), value)

    def _number(self) -> int:
        (found,) = _UINT32(self._raw, self._at)
        self._at += 4
        return int(found)

    def _opaque(self) -> None:
        """Bytes or text of any length, padded to a multiple of four."""
        length = self._number()
        self._at += -(-length // 4) * 4

    def _optional(self, size: int) -> None:
        if self._number():
            self._at += size

    def _each(self, step: Callable[[], None]) -> None:
        for _ in range(self._number()):
            step()

    def _one_of(self, steps: _Steps, what: str) -> None:
        """A union: its discriminant, and what that says follows."""
        kind = self._number()
        step = steps.get(kind)
        if step is None:
            raise UnusualXdrError(f"{what} of kind {kind}")
        if isinstance(step, int):
            self._at += step
        else:
            step(self)

    def _changes(self) -> Iterator[Change]:
        for _ in range(self._number()):
            kind = ChangeKind(self._number())
            if kind is ChangeKind.REMOVED:
                yield Change(kind, self._passed(_KEYS, "a ledger key"))
            else:
                self._at += 4
                yield Change(kind, self._passed(_ENTRIES, "a ledger entry"))
                self._one_of(_ENTRY_EXTENSIONS, "an entry's extension")

    def _passed(self, steps: _Steps, what: str) -> bytes:
        start = self._at
        self._one_of(steps, what)
        return self._raw[start : self._at]

    def _soroban(self, *, wide: bool) -> bytes | None:
        """The return value of a SorobanTransactionMeta; the events of a wide one stand elsewhere."""
        self._one_of(_SOROBAN_EXTENSIONS, "a contract call's meta")
        if wide:
            return self._value_bytes() if self._number() else None
        self._each(self._event)
        value = self._value_bytes()
        self._each(self._marked_event)
        return value

    def _value_bytes(self) -> bytes:
        start = self._at
        self._value()
        return self._raw[start : self._at]

    def _event(self) -> None:
        self._at += 4
        self._optional(_HASH)
        self._at += 4
        if self._number():
            raise UnusualXdrError("an event's body")
        self._each(self._value)
        self._value()

    def _marked_event(self) -> None:
        """An event after its stage, or after whether the call that made it succeeded."""
        self._at += 4
        self._event()

    def _value(self) -> None:
        """An SCVal, which is most of what there is."""
        kind = self._number()
        size = _VALUES.get(kind)
        if size is not None:
            self._at += size
        elif kind in _OPAQUE_VALUES:
            self._opaque()
        elif kind == _VECTOR:
            if self._number():
                self._each(self._value)
        elif kind == _MAP:
            self._map()
        elif kind == _ADDRESS:
            self._address()
        elif kind == _INSTANCE:
            self._one_of(_EXECUTABLES, "an executable")
            self._map()
        else:
            raise ValueError(f"a contract value of kind {kind}")

    def _map(self) -> None:
        if self._number():
            for _ in range(self._number()):
                self._value()
                self._value()

    def _address(self) -> None:
        self._one_of(_ADDRESSES, "an address")

    def account(self) -> None:
        """An AccountEntry."""
        self._at += _ACCOUNT_ID + 8 + 8 + 4
        self._optional(_ACCOUNT_ID)
        self._at += 4
        self._opaque()
        self._at += 4
        self._each(self._signer)
        if not self._number():
            return
        self._at += _LIABILITIES
        if not self._number():
            return
        self._at += 8
        for _ in range(self._number()):
            self._optional(_ACCOUNT_ID)
        if self._number():
            self._at += 4 + 4 + 8

    def _signer(self) -> None:
        self._one_of(_SIGNERS, "a signer")
        self._at += 4

    def sponsorship(self) -> None:
        """Who pays an entry's reserve."""
        self._optional(_ACCOUNT_ID)
        self._at += 4

    def signed_payload(self) -> None:
        """The key of a signer for one payload."""
        self._at += _HASH
        self._opaque()

    def trust_line(self) -> None:
        """A TrustLineEntry."""
        self.trust_line_key()
        self._at += 8 + 8 + 4
        if self._number():
            self._at += _LIABILITIES
            self._optional(4 + 4)

    def data(self) -> None:
        """A DataEntry."""
        self.data_key()
        self._opaque()
        self._at += 4

    def contract_data(self) -> None:
        """A ContractDataEntry."""
        self._at += 4
        self.contract_data_key()
        self._value()

    def contract_code(self) -> None:
        """A ContractCodeEntry."""
        self._optional(4 + _COST_INPUTS)
        self._at += _HASH
        self._opaque()

    def trust_line_key(self) -> None:
        """A trustline's LedgerKey."""
        self._at += _ACCOUNT_ID
        self._one_of(_ASSETS, "an asset")

    def data_key(self) -> None:
        """A data entry's LedgerKey."""
        self._at += _ACCOUNT_ID
        self._opaque()

    def contract_data_key(self) -> None:
        """A contract's data's LedgerKey: contract, key, durability."""
        self._address()
        self._value()
        self._at += 4


_ENTRIES: _Steps = {
    0: _Walk.account,
    1: _Walk.trust_line,
    3: _Walk.data,
    6: _Walk.contract_data,
    7: _Walk.contract_code,
    9: _HASH + 4,
}
_KEYS: _Steps = {
    0: _ACCOUNT_ID,
    1: _Walk.trust_line_key,
    3: _Walk.data_key,
    6: _Walk.contract_data_key,
    7: _HASH,
    9: _HASH,
}
_ENTRY_EXTENSIONS: _Steps = {0: 0, 1: _Walk.sponsorship}
_SOROBAN_EXTENSIONS: _Steps = {0: 0, 1: 4 + 3 * 8}
_ASSETS: _Steps = {0: 0, 1: 4 + _ACCOUNT_ID, 2: 12 + _ACCOUNT_ID, 3: _HASH}
_SIGNERS: _Steps = {0: _HASH, 1: _HASH, 2: _HASH, 3: _Walk.signed_payload}
_ADDRESSES: _Steps = {0: _ACCOUNT_ID, 1: _HASH, 2: 8 + _HASH, 3: 4 + _HASH, 4: _HASH}
_EXECUTABLES: _Steps = {0: _HASH, 1: 0}

# SCVal: bool, void, error, numbers of 32, 64, 128 and 256 bits, the key of an instance, and a nonce's key.
_VALUES = {0: 4, 1: 0, 2: 8, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8, 9: 16, 10: 16, 11: 32, 12: 32, 20: 0, 21: 8}
_OPAQUE_VALUES = frozenset({13, 14, 15})
_VECTOR, _MAP, _ADDRESS, _INSTANCE = 16, 17, 18, 19
