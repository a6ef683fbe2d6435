"""The hash that work is measured by: Keccak-256 (original padding) of 76 bytes.

The pooler searches nonces with its native engine; this module checks what was found, on the backend and in tests.
"""

import base64
import binascii
import struct

from Crypto.Hash import keccak

from kale_chain.errors import HashMismatchError, InvalidAddressError

MESSAGE_BYTES = 76
_STRKEY_CHARACTERS = 56
_ACCOUNT_OR_CONTRACT = (6 << 3, 2 << 3)  # version bytes of G… and C…


def farmer_bytes(address: str) -> bytes:
    """The last 32 bytes of an address's XDR: an account's Ed25519 key, or a contract's hash.

    Raises:
        InvalidAddressError: If `address` is neither G… nor C… or its checksum (SEP-23) is wrong.
    """
    try:
        raw = base64.b32decode(address)
    except (binascii.Error, ValueError) as error:
        raise InvalidAddressError(address) from error
    body, checksum = raw[:-2], raw[-2:]
    known = len(address) == _STRKEY_CHARACTERS and body[0] in _ACCOUNT_OR_CONTRACT
    if not known or binascii.crc_hqx(body, 0).to_bytes(2, "little") != checksum:
        raise InvalidAddressError(address)
    return body[1:]


def message(index: int, nonce: int, entropy: bytes, farmer32: bytes) -> bytes:
    """The 76 bytes hashed: index u32 BE, nonce u64 BE, the block's entropy (32), `farmer_bytes` (32)."""
    return struct.pack(">IQ32s32s", index, nonce, entropy, farmer32)


def keccak256(data: bytes) -> bytes:
    """Keccak-256 with the original padding, 32 bytes."""
    digest: bytes = keccak.new(data=data, digest_bits=256).digest()
    return digest


def work_hash(index: int, nonce: int, entropy: bytes, farmer: str) -> bytes:
    """The digest (32 bytes) the farm demands for `farmer`'s `nonce` in block `index`.

    Raises:
        InvalidAddressError: If `farmer` is no address.
    """
    return keccak256(message(index, nonce, entropy, farmer_bytes(farmer)))


def count_zeros(digest: bytes) -> int:
    """Leading zero nibbles, 0 to 64 for a 32-byte digest."""
    return (len(digest) * 8 - int.from_bytes(digest).bit_length()) // 4


def verify_work(index: int, nonce: int, entropy: bytes, farmer: str, claimed: bytes) -> int:
    """The zeros of a claimed work hash, once it has been computed again.

    Raises:
        HashMismatchError: If `claimed` is another digest.
        InvalidAddressError: If `farmer` is no address.
    """
    actual = work_hash(index, nonce, entropy, farmer)
    if actual != claimed:
        raise HashMismatchError(claimed, actual)
    return count_zeros(actual)
