"""Reading calls of the farm from their bytes: what each transaction of a ledger did, without decoding all of it."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Literal, get_args

from stellar_sdk import StrKey

Function = Literal["plant", "work", "harvest"]

_ADDRESS = struct.pack(">iii", 18, 0, 0)
"""ScVal address of an Ed25519 account: its kind, the address's and the key's."""
_KEY_BYTES = 32
_U32 = struct.pack(">i", 3)
"""Kind of a ScVal u32."""


@dataclass(frozen=True, slots=True)
class FarmCall:
    """A call of the farm. `number` is the stake of a plant and the block of a harvest; 0 for a work.

    `block_index` is the block that a plant was built for, as its footprint says; None for other calls.
    """

    function: Function
    farmer: str
    number: int
    block_index: int | None = None


class CallReader:
    """Reads calls of one farm."""

    def __init__(self, farm_id: str) -> None:
        farm = StrKey.decode_contract(farm_id)
        self._marks: dict[Function, bytes] = {name: farm + _symbol(name) for name in get_args(Function)}

    def read(self, envelope_xdr: str) -> FarmCall | None:
        """The call that a transaction (base64 envelope, plain or fee bump) makes; None if it makes none."""
        raw = base64.b64decode(envelope_xdr)
        for function, mark in self._marks.items():
            place = raw.find(mark)
            if place >= 0:
                return _read(function, raw, place + len(mark))
        return None


def _symbol(name: str) -> bytes:
    return struct.pack(">I", len(name)) + name.encode().ljust(-(-len(name) // 4) * 4, b"\0")


def _read(function: Function, raw: bytes, place: int) -> FarmCall:
    place += 4 + len(_ADDRESS)
    key = raw[place : place + _KEY_BYTES]
    farmer = StrKey.encode_ed25519_public_key(key)
    place += _KEY_BYTES + 4
    if function == "plant":
        high, low = struct.unpack_from(">qQ", raw, place)
        return FarmCall(function, farmer, (high << 64) + low, _planted_block(raw, key))
    return FarmCall(function, farmer, struct.unpack_from(">I", raw, place)[0] if function == "harvest" else 0)


def _planted_block(raw: bytes, key: bytes) -> int | None:
    """The block of the pail that a plant's footprint names."""
    mark = _symbol("Pail") + _ADDRESS + key + _U32
    place = raw.find(mark)
    return None if place < 0 else int(struct.unpack_from(">I", raw, place + len(mark))[0])
