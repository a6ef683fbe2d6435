"""What kind of address a text is."""

from enum import StrEnum

from stellar_sdk import MuxedAccount, StrKey


class AddressKind(StrEnum):
    """Kinds of addresses that people give for an account."""

    ACCOUNT = "account"
    MUXED = "muxed"
    CONTRACT = "contract"
    SEED = "seed"
    NONE = "none"
    """Not an address, or one with a mistake: the checksum says so."""


def address_kind(text: str) -> AddressKind:
    """What kind of address `text` is."""
    if StrKey.is_valid_ed25519_public_key(text):
        return AddressKind.ACCOUNT
    if StrKey.is_valid_med25519_public_key(text):
        return AddressKind.MUXED
    if StrKey.is_valid_contract(text):
        return AddressKind.CONTRACT
    if StrKey.is_valid_ed25519_secret_seed(text):
        return AddressKind.SEED
    return AddressKind.NONE


def base_account(address: str) -> str:
    """The account (G…) that a plain or muxed address stands for."""
    return MuxedAccount.from_account(address).account_id
