"""The hash functions of kale_hash_rs, against vectors that another implementation computed."""

import json
from pathlib import Path
from typing import Any

import pytest
from Crypto.Hash import keccak

from kale_hash_rs import count_zeros, hash_nonce, kernels, usable_threads

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "work_hashes.json").read_text(encoding="utf-8")
)["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_hash_nonce_and_count_zeros_reproduce_a_vector(vector: dict[str, Any]) -> None:
    digest = hash_nonce(
        vector["block_index"], vector["nonce"], bytes.fromhex(vector["entropy"]), bytes.fromhex(vector["farmer"])
    )
    assert (digest.hex(), count_zeros(digest)) == (vector["digest"], vector["zeros"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector_is_what_pycryptodome_computes(vector: dict[str, Any]) -> None:
    numbers = vector["block_index"].to_bytes(4, "big") + vector["nonce"].to_bytes(8, "big")
    data = numbers + bytes.fromhex(vector["entropy"]) + bytes.fromhex(vector["farmer"])
    assert keccak.new(data=data, digest_bits=256).hexdigest() == vector["digest"]


def test_first_vector_is_the_one_of_the_public_network() -> None:
    assert VECTORS[0]["digest"] == "0000000099be0037e5a48324959cb9dd10965ae59511cfd1996f9b917aad9980"
    assert (VECTORS[0]["block_index"], VECTORS[0]["nonce"], VECTORS[0]["zeros"]) == (37, 20495217910, 8)


@pytest.mark.parametrize("zeros", [0, 1, 2, 7, 31, 63, 64])
def test_count_zeros_counts_up_to_the_first_other_nibble(zeros: int) -> None:
    assert count_zeros(bytes.fromhex(("0" * zeros + "1" + "0" * 63)[:64])) == zeros


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, bytes(32), bytes(32)), "block_index must be from 0 to 4294967295, got -1"),
        ((2**32, 0, bytes(32), bytes(32)), "block_index must be from 0 to 4294967295, got 4294967296"),
        ((0, -1, bytes(32), bytes(32)), "nonce must be from 0 to 18446744073709551615, got -1"),
        ((0, 2**64, bytes(32), bytes(32)), "nonce must be from 0 to 18446744073709551615, got 18446744073709551616"),
        ((0, 2**300, bytes(32), bytes(32)), "nonce must be from 0 to 18446744073709551615"),
        ((0, -(2**300), bytes(32), bytes(32)), "nonce must be from 0 to 18446744073709551615"),
        ((0, 0, bytes(31), bytes(32)), "entropy must have 32 bytes, got 31"),
        ((0, 0, bytes(32), bytes(33)), "farmer must have 32 bytes, got 33"),
    ],
)
def test_hash_nonce_says_what_is_wrong_with_an_argument(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hash_nonce(*arguments)


def test_count_zeros_refuses_what_is_no_digest() -> None:
    with pytest.raises(ValueError, match="digest must have 32 bytes, got 3"):
        count_zeros(b"\0\0\0")


def test_arguments_of_another_type_are_type_errors() -> None:
    with pytest.raises(TypeError):
        hash_nonce("37", 0, bytes(32), bytes(32))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        hash_nonce(37, 0.5, bytes(32), bytes(32))  # type: ignore[arg-type]


def test_the_portable_kernel_is_always_there_and_last() -> None:
    assert kernels()[-1] == "portable"
    assert len(kernels()) == len(set(kernels()))


def test_there_is_a_usable_thread() -> None:
    assert usable_threads() >= 1
