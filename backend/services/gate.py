"""Whether anything may be signed."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import QuarantinedError


@dataclass
class Gate:
    """Asked before anything is signed; `closed` says why nothing is."""

    closed: str | None = None

    def check(self) -> None:
        """Raises QuarantinedError while it is closed."""
        if self.closed is not None:
            raise QuarantinedError(self.closed)
