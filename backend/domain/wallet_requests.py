"""Validation of the wallet's requests, from raw values to what the services take.

All raise InvalidRequestError naming the field as the protocol spells it.
"""

from __future__ import annotations

import re

from backend.domain.withdrawal import Destination
from backend.errors import InvalidRequestError
from kale_chain.model import Memo, MemoKind
from kale_chain.xdr.addresses import AddressKind, address_kind

_DEFAULT_PAGE, _MAX_PAGE = 100, 500
_MAX_TOKEN_DIGITS = 18
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MAX_MEMO_BYTES = 28
_MAX_U64 = 2**64 - 1
_MAX_STROOPS = 2**63 - 1


def page_size(size: int) -> int:
    """The size of a page; 0 means the usual one."""
    if not 0 <= size <= _MAX_PAGE:
        raise InvalidRequestError("page_size", f"{size} is not within 0 to {_MAX_PAGE}")
    return size or _DEFAULT_PAGE


def numbered_page(*, size: int, page_token: str) -> tuple[int, int | None]:
    """The size of a page of numbered rows, and the number below which it begins; None for the first page."""
    if page_token and not (page_token.isascii() and page_token.isdigit() and len(page_token) <= _MAX_TOKEN_DIGITS):
        raise InvalidRequestError("page_token", "not a next_page_token of an earlier answer")
    return page_size(size), int(page_token) if page_token else None


def idempotency_key(value: str) -> str:
    """An idempotency key."""
    if not _KEY.fullmatch(value):
        raise InvalidRequestError("idempotency_key", "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -")
    return value


def amount(stroops: int) -> int:
    """An amount to be paid."""
    if not 0 < stroops <= _MAX_STROOPS:
        raise InvalidRequestError("amount_stroops", f"{stroops} is not within 1 to {_MAX_STROOPS}")
    return stroops


def destination(address: str, memo: Memo | None) -> Destination:
    """A destination. A contract cannot receive a classic payment, and a muxed address is its own memo."""
    kind = address_kind(address)
    if kind is AddressKind.CONTRACT:
        raise InvalidRequestError(
            "destination.address", "is a contract's (C…); contracts get no payments, name an account (G…) or M…"
        )
    if kind is AddressKind.SEED:
        raise InvalidRequestError(
            "destination.address", "is a secret key (S…), not an address; whoever has seen it can use it: replace it"
        )
    if kind is AddressKind.NONE:
        raise InvalidRequestError("destination.address", "is no Stellar address (G… or M…), or has a mistake in it")
    if kind is AddressKind.MUXED and memo is not None:
        raise InvalidRequestError("destination.memo", "does not go with a muxed address (M…), which is its own memo")
    return Destination(address, None if memo is None else _checked(memo))


def _checked(memo: Memo) -> Memo:
    if memo.kind is MemoKind.TEXT and not 0 < len(memo.value.encode()) <= _MAX_MEMO_BYTES:
        raise InvalidRequestError("destination.memo_text", f"must have 1 to {_MAX_MEMO_BYTES} bytes of UTF-8")
    if memo.kind is MemoKind.TEXT and "\0" in memo.value:
        raise InvalidRequestError("destination.memo_text", "must not hold the zero character")
    if memo.kind is MemoKind.ID and not 0 <= int(memo.value) <= _MAX_U64:
        raise InvalidRequestError("destination.memo_id", f"is not within 0 to {_MAX_U64}")
    if memo.kind is MemoKind.HASH:
        if not _HASH.fullmatch(memo.value):
            raise InvalidRequestError("destination.memo_hash", "must be 64 hexadecimal digits")
        return Memo(MemoKind.HASH, memo.value.lower())
    return memo
