"""Which poolers are let in, and what their reports were worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

INVITATION_MINUTES = 15
WRONG_REPORTS = 3
"""Hashes that do not compute, within SCORED_BLOCKS, after which a pooler is quarantined: an honest one reports none."""
SCORED_BLOCKS = 288
"""A day of blocks, over which poolers are judged."""


class Standing(StrEnum):
    """How a pooler stands; the values are those of the column poolers.status."""

    OPEN = "open"
    """It came over a loopback connection, without a certificate."""
    ENROLLED = "enrolled"
    REVOKED = "revoked"
    QUARANTINED = "quarantined"


EXCLUDED = frozenset({Standing.REVOKED, Standing.QUARANTINED})


class CertificateKind(StrEnum):
    """What a certificate is good for; the values are those of the column pooler_certificates.kind."""

    INVITATION = "invitation"
    """To enrol, once."""
    POOLER = "pooler"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate the pool's authority has issued."""

    serial: str
    """Its serial number, in lower-case hexadecimal digits."""
    pooler_id: str
    kind: CertificateKind
    not_after: datetime
    pem: bytes = b""
    """The certificate itself, where it is handed on; the database keeps the rest."""


@dataclass(frozen=True, slots=True)
class Score:
    """A pooler's record over the last SCORED_BLOCKS blocks; counts of farmers' works."""

    pooler_id: str
    standing: Standing
    reason: str
    """Why it is revoked or quarantined, or empty."""
    attended_ledger: int
    verified: int
    """Reports whose hash computes, or that the pail confirmed."""
    late: int
    """Blocks that ended before any work of its was accepted."""
    wrong: int
    """Reports whose hash does not compute."""
    missing: int
    """Farmers it had to the end of a block without a report."""
    idle: int = 0
    """Farmers that it did not take though it was there, and that went to others."""
