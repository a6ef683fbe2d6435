"""Validation of the wallet's requests, from raw values to what the services take.

All raise InvalidRequestError naming the field as the protocol spells it.
"""

from __future__ import annotations

from backend.errors import InvalidRequestError

_DEFAULT_PAGE, _MAX_PAGE = 100, 500
_MAX_TOKEN_DIGITS = 18


def numbered_page(*, page_size: int, page_token: str) -> tuple[int, int | None]:
    """The size of a page of numbered rows, and the number below which it begins; None for the first page."""
    if not 0 <= page_size <= _MAX_PAGE:
        raise InvalidRequestError("page_size", f"{page_size} is not within 0 to {_MAX_PAGE}")
    if page_token and not (page_token.isascii() and page_token.isdigit() and len(page_token) <= _MAX_TOKEN_DIGITS):
        raise InvalidRequestError("page_token", "not a next_page_token of an earlier answer")
    return page_size or _DEFAULT_PAGE, int(page_token) if page_token else None
