"""Whether anything may be signed."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import BooksViolatedError, QuarantinedError


@dataclass
class Gate:
    """Asked before anything is signed; `closed` says why nothing is, `books` why nothing new is planted."""

    closed: str | None = None
    books: str | None = None

    def check(self) -> None:
        """Raises QuarantinedError while it is closed."""
        if self.closed is not None:
            raise QuarantinedError(self.closed)

    def check_plants(self) -> None:
        """Raises QuarantinedError or BooksViolatedError while nothing is to be planted."""
        self.check()
        if self.books is not None:
            raise BooksViolatedError(self.books)
