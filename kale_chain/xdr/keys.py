"""Ledger keys of everything the pool reads or lists in a footprint. Source: the farm contract's storage layout.

Keys of one farmer or contract repeat in every block, so the parts that do are cached.
"""

from functools import lru_cache

from stellar_sdk import Address, Asset, Keypair, StrKey, scval
from stellar_sdk import xdr as stellar_xdr
from stellar_sdk.exceptions import Ed25519PublicKeyInvalidError

from kale_chain.errors import InvalidAddressError
from kale_chain.model import FarmIdentity

LedgerKey = stellar_xdr.LedgerKey

_TEMPORARY = stellar_xdr.ContractDataDurability.TEMPORARY
_PERSISTENT = stellar_xdr.ContractDataDurability.PERSISTENT
_CACHED_ADDRESSES = 8_192


def is_contract_id(text: str) -> bool:
    """Whether `text` is a well-formed contract id (C…)."""
    return StrKey.is_valid_contract(text)


@lru_cache(maxsize=_CACHED_ADDRESSES)
def sc_address(address: str) -> stellar_xdr.SCAddress:
    """An account's or contract's address as contracts see it.

    Raises:
        InvalidAddressError: If it is neither.
    """
    if not (StrKey.is_valid_ed25519_public_key(address) or StrKey.is_valid_contract(address)):
        raise InvalidAddressError(address)
    return Address(address).to_xdr_sc_address()


@lru_cache(maxsize=_CACHED_ADDRESSES)
def account_id(address: str) -> stellar_xdr.AccountID:
    """An account's id.

    Raises:
        InvalidAddressError: If `address` is no account's (G…).
    """
    try:
        return Keypair.from_public_key(address).xdr_account_id()
    except (Ed25519PublicKeyInvalidError, ValueError) as error:
        raise InvalidAddressError(address, "an account address (G…)") from error


def _variant(name: str, *values: stellar_xdr.SCVal) -> stellar_xdr.SCVal:
    return scval.to_vec([scval.to_symbol(name), *values])


def _contract_data(
    contract_id: str, key: stellar_xdr.SCVal, durability: stellar_xdr.ContractDataDurability
) -> LedgerKey:
    data = stellar_xdr.LedgerKeyContractData(sc_address(contract_id), key, durability)
    return LedgerKey(stellar_xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data)


@lru_cache(maxsize=64)
def instance(contract_id: str) -> LedgerKey:
    """A contract's instance."""
    key = stellar_xdr.SCVal(stellar_xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)
    return _contract_data(contract_id, key, _PERSISTENT)


@lru_cache(maxsize=64)
def code(wasm_hash: bytes) -> LedgerKey:
    """A contract's code, by its SHA-256."""
    data = stellar_xdr.LedgerKeyContractCode(stellar_xdr.Hash(wasm_hash))
    return LedgerKey(stellar_xdr.LedgerEntryType.CONTRACT_CODE, contract_code=data)


@lru_cache(maxsize=64)
def block(farm_id: str, index: int) -> LedgerKey:
    """The farm's block `index`."""
    return _contract_data(farm_id, _variant("Block", scval.to_uint32(index)), _TEMPORARY)


def pail(farm_id: str, farmer: str, index: int) -> LedgerKey:
    """A farmer's pail in block `index`."""
    address = stellar_xdr.SCVal(stellar_xdr.SCValType.SCV_ADDRESS, address=sc_address(farmer))
    return _contract_data(farm_id, _variant("Pail", address, scval.to_uint32(index)), _TEMPORARY)


@lru_cache(maxsize=_CACHED_ADDRESSES)
def trustline(address: str, asset_code: str, asset_issuer: str) -> LedgerKey:
    """An account's trustline of an asset."""
    asset = Asset(asset_code, asset_issuer).to_trust_line_asset_xdr_object()
    data = stellar_xdr.LedgerKeyTrustLine(account_id(address), asset)
    return LedgerKey(stellar_xdr.LedgerEntryType.TRUSTLINE, trust_line=data)


def kale_trustline(identity: FarmIdentity, address: str) -> LedgerKey:
    """An account's KALE trustline."""
    return trustline(address, identity.asset_code, identity.asset_issuer)


def data(address: str, name: str) -> LedgerKey:
    """An account's data entry of this name."""
    entry = stellar_xdr.LedgerKeyData(account_id(address), stellar_xdr.String64(name.encode()))
    return LedgerKey(stellar_xdr.LedgerEntryType.DATA, data=entry)


def account(address: str) -> LedgerKey:
    """An account."""
    data = stellar_xdr.LedgerKeyAccount(account_id(address))
    return LedgerKey(stellar_xdr.LedgerEntryType.ACCOUNT, account=data)


def token_id(asset_code: str, asset_issuer: str, passphrase: str) -> str:
    """The id (C…) the network gives an asset's own contract."""
    return Asset(asset_code, asset_issuer).contract_id(passphrase)
