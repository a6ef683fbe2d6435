"""Ledger entries as plain values. Source: the farm contract's storage, the Stellar asset contract's instance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from stellar_sdk import Address, StrKey, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.errors import MalformedXdrError
from kale_chain.model import Account, Block, Pail

T = TypeVar("T")

Native = Any
"""A contract value as Python: int, str, bytes, bool, None, Address, list or dict of them."""

HOMESTEADER = "Homesteader"
HOMESTEAD_ASSET = "HomesteadAsset"
FARM_BLOCK = "FarmBlock"
FARM_INDEX = "FarmIndex"
FARM_PAUSED = "FarmPaused"
FARM_KEYS = (HOMESTEADER, HOMESTEAD_ASSET, FARM_BLOCK)

BASE_RESERVE_STROOPS = 5_000_000
"""The network's base reserve, half an XLM on every network."""
_OWN_RESERVES = 2

_METADATA = "METADATA"
_ASSET_INFO = "AssetInfo"
# The farm is read at every ledger and seldom changes: most decoding is of bytes decoded before.
_REMEMBERED = 256


def decoded(what: str, decode: Callable[[], T]) -> T:
    """What `decode` returns.

    Raises:
        MalformedXdrError: Naming `what`, if the bytes are not of that kind.
    """
    try:
        return decode()
    except (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise MalformedXdrError(what) from error


@dataclass(frozen=True, slots=True)
class Instance:
    """A contract's instance.

    Attributes:
        wasm_hash: SHA-256 of the code, or None for a Stellar asset contract and other codeless ones.
        is_asset: Whether it is the network's own contract of a classic asset.
        storage: Instance storage by key name; a key without parameters is its name alone.
    """

    wasm_hash: bytes | None
    is_asset: bool
    storage: Mapping[str, Native] = field(repr=False)

    @property
    def token_name(self) -> str | None:
        """The name a token contract gives itself (`CODE:ISSUER` for a classic asset); None for other contracts."""
        metadata = self.storage.get(_METADATA)
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) else None

    @property
    def asset(self) -> tuple[str, str] | None:
        """Code and issuer (G…) of the classic asset this contract stands for; None for others and for XLM."""
        info = self.storage.get(_ASSET_INFO)
        if not self.is_asset or not isinstance(info, list) or len(info) == 1:
            return None
        return decoded("an asset's contract", lambda: _asset(*info))


def _asset(_kind: Native, fields: Native) -> tuple[str, str]:
    raw_code = fields["asset_code"]
    code = raw_code.decode("ascii") if isinstance(raw_code, bytes) else str(raw_code)
    return code.rstrip("\0"), StrKey.encode_ed25519_public_key(fields["issuer"])


def _contract_value(data_xdr: str) -> stellar_xdr.SCVal:
    data = stellar_xdr.LedgerEntryData.from_xdr(data_xdr).contract_data
    if data is None:
        raise ValueError("not contract data")
    return data.val


def _native(value: stellar_xdr.SCVal) -> Native:
    try:
        return scval.to_native(value)
    except TypeError:
        # A map by lists, which a dict cannot be. Other contracts may hold one; the pool reads none.
        return value


def _key_name(key: Native) -> str:
    return str(key[0]) if isinstance(key, list) and len(key) == 1 else str(key)


def _storage(instance: stellar_xdr.SCContractInstance) -> dict[str, Native]:
    entries = instance.storage.sc_map if instance.storage else []
    return {_key_name(_native(entry.key)): _native(entry.val) for entry in entries}


def _read_instance(data_xdr: str) -> Instance:
    value = _contract_value(data_xdr).instance
    if value is None:
        raise ValueError("not an instance")
    executable = value.executable
    return Instance(
        wasm_hash=executable.wasm_hash.hash if executable.wasm_hash else None,
        is_asset=executable.type == stellar_xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET,
        storage=_storage(value),
    )


@lru_cache(maxsize=_REMEMBERED)
def read_instance(data_xdr: str) -> Instance:
    """A contract's instance from its entry (base64 LedgerEntryData)."""
    return decoded("a contract instance", lambda: _read_instance(data_xdr))


def address_text(value: Native) -> str:
    """The address (G… or C…) in a contract value."""
    if not isinstance(value, Address):
        raise MalformedXdrError("an address")
    return value.address


def block_from_native(fields: Native) -> Block:
    """A block from a contract value."""
    return decoded("a block", lambda: Block(**fields))


def farm_state(storage: Mapping[str, Native]) -> tuple[int, Block, bool]:
    """FarmIndex, FarmBlock and FarmPaused; the first and last are absent until first set, meaning 0 and False."""
    index = int(storage.get(FARM_INDEX, 0))
    return index, block_from_native(storage.get(FARM_BLOCK)), bool(storage.get(FARM_PAUSED, False))


@lru_cache(maxsize=_REMEMBERED)
def read_block(data_xdr: str) -> Block:
    """A block from its entry (base64 LedgerEntryData)."""
    return decoded("a block", lambda: Block(**_as_fields(data_xdr)))


@lru_cache(maxsize=_REMEMBERED)
def read_pail(data_xdr: str) -> Pail:
    """A pail from its entry (base64 LedgerEntryData)."""
    return decoded("a pail", lambda: Pail(**_as_fields(data_xdr)))


def _as_fields(data_xdr: str) -> dict[str, Native]:
    fields = scval.to_native(_contract_value(data_xdr))
    if not isinstance(fields, dict):
        raise TypeError("not a struct")
    return fields


def read_trustline_balance(data_xdr: str) -> int:
    """The balance of a trustline entry, in stroops."""

    def balance() -> int:
        line = stellar_xdr.LedgerEntryData.from_xdr(data_xdr).trust_line
        if line is None:
            raise ValueError("not a trustline")
        return line.balance.int64

    return decoded("a trustline", balance)


def read_room(data_xdr: str) -> tuple[int, bool]:
    """How many stroops a trustline entry can still take, and whether it may take and send them."""

    def room() -> tuple[int, bool]:
        line = stellar_xdr.LedgerEntryData.from_xdr(data_xdr).trust_line
        if line is None:
            raise ValueError("not a trustline")
        promised = line.ext.v1.liabilities.buying.int64 if line.ext.v1 is not None else 0
        authorised = line.flags.uint32 & stellar_xdr.TrustLineFlags.AUTHORIZED_FLAG != 0
        return line.limit.int64 - line.balance.int64 - promised, authorised

    return decoded("a trustline", room)


def read_account(data_xdr: str) -> Account:
    """An account entry's sequence number and XLM."""

    def account() -> Account:
        entry = stellar_xdr.LedgerEntryData.from_xdr(data_xdr).account
        if entry is None:
            raise ValueError("not an account")
        return Account(
            sequence=entry.seq_num.sequence_number.int64,
            balance_stroops=entry.balance.int64,
            reserved_stroops=_reserved(entry),
        )

    return decoded("an account", account)


def _reserved(entry: stellar_xdr.AccountEntry) -> int:
    """What an account cannot spend: half an XLM for itself twice, and for each entry it owns or sponsors."""
    first = entry.ext.v1
    second = first.ext.v2 if first is not None else None
    sponsored = second.num_sponsoring.uint32 - second.num_sponsored.uint32 if second is not None else 0
    selling = first.liabilities.selling.int64 if first is not None else 0
    return (_OWN_RESERVES + entry.num_sub_entries.uint32 + sponsored) * BASE_RESERVE_STROOPS + selling
