"""Translating kale_chain's errors into the backend's, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import LedgerUnavailableError
from kale_chain.errors import FarmMissingError, MalformedXdrError, RpcError


@contextmanager
def ledger_faults() -> Iterator[None]:
    """Raises LedgerUnavailableError for whatever keeps the ledger from being read or written."""
    try:
        yield
    except (RpcError, FarmMissingError, MalformedXdrError) as error:
        raise LedgerUnavailableError(str(error)) from error
