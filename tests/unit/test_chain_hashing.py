"""The work hash against a vector found on the public network."""

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Address, StrKey

from kale_chain.errors import HashMismatchError, InvalidAddressError
from kale_chain.hashing import MESSAGE_BYTES, count_zeros, farmer_bytes, message, verify_work, work_hash

FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
ENTROPY = base64.b64decode("AAAAAAn66y/43JP7M02rwTmONZoWOmu1OPYz/bmzJ8o=")
NONCE = 20_495_217_910
DIGEST = bytes.fromhex("0000000099be0037e5a48324959cb9dd10965ae59511cfd1996f9b917aad9980")


def test_work_hash_matches_the_public_network() -> None:
    assert work_hash(37, NONCE, ENTROPY, FARMER) == DIGEST
    assert verify_work(37, NONCE, ENTROPY, FARMER, DIGEST) == 8


def test_message_layout_is_big_endian_and_76_bytes() -> None:
    text = message(1, 2, b"\x03" * 32, b"\x04" * 32)
    assert len(text) == MESSAGE_BYTES
    assert text == b"\0\0\0\1" + b"\0\0\0\0\0\0\0\2" + b"\x03" * 32 + b"\x04" * 32


@given(st.binary(min_size=32, max_size=32), st.booleans())
def test_farmer_bytes_are_the_end_of_the_address_xdr(key: bytes, contract: bool) -> None:
    address = StrKey.encode_contract(key) if contract else StrKey.encode_ed25519_public_key(key)
    assert farmer_bytes(address) == Address(address).to_xdr_sc_address().to_xdr_bytes()[-32:] == key


@pytest.mark.parametrize(
    "address",
    [
        "",
        "G",
        FARMER[:-1] + "F",
        FARMER.lower(),
        FARMER + "AAAAAAAA",
        "Ä" * 56,
        StrKey.encode_ed25519_secret_seed(bytes(32)),
    ],
)
def test_farmer_bytes_refuse_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidAddressError):
        farmer_bytes(address)


def test_a_secret_key_given_as_an_address_is_not_repeated() -> None:
    secret = StrKey.encode_ed25519_secret_seed(secrets.token_bytes(32))
    with pytest.raises(InvalidAddressError) as caught:
        farmer_bytes(secret)
    assert secret not in str(caught.value)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 64))
def test_count_zeros_counts_leading_zero_nibbles(tail: bytes, zeros: int) -> None:
    text = ("0" * zeros + tail.hex())[:64]
    digits = text.lstrip("0")
    assert count_zeros(bytes.fromhex(text)) == 64 - len(digits)


@pytest.mark.parametrize(("index", "nonce"), [(38, NONCE), (37, NONCE + 1)])
def test_verify_work_refuses_another_blocks_or_nonces_hash(index: int, nonce: int) -> None:
    with pytest.raises(HashMismatchError, match="does not belong"):
        verify_work(index, nonce, ENTROPY, FARMER, DIGEST)
