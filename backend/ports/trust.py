"""Which poolers are let in, as rows of the database, and who issues their certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from backend.domain.trust import CertificateKind, Issued, Score, Standing
from backend.domain.work import WorkReport


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to let in, at one moment."""

    certificates: Mapping[str, Issued]
    """Those that are neither revoked, used up nor expired, by serial number."""
    standings: Mapping[str, tuple[Standing, str]]
    """Every pooler's standing, and the reason for it."""


class TrustStore(Protocol):
    """Certificates, standings and scores of poolers."""

    async def trust(self) -> Trust:
        """Whom to let in now."""

    async def issue(self, issued: Issued) -> None:
        """Notes an issued certificate.

        Raises:
            StoreConflictError: its serial number is known.
        """

    async def enrol(self, invitation: str, issued: Issued) -> None:
        """Uses an invitation up and notes the certificate it brought; the pooler is ENROLLED, whatever it was.

        Raises:
            InvitationError: the invitation is unknown, used, revoked or expired.
        """

    async def set_standing(self, pooler_id: str, standing: Standing, reason: str) -> bool:
        """Changes a pooler's standing; False if no pooler has this name. REVOKED revokes its certificates with it."""

    async def record_wrong(self, report: WorkReport) -> int:
        """Notes a report whose hash does not compute, once per report id; how many its pooler has had of late."""

    async def scores(self) -> list[Score]:
        """Every pooler's record, by name."""


class CertificateIssuer(Protocol):
    """The pool's certificate authority."""

    @property
    def certificate(self) -> bytes:
        """Its own certificate, as PEM."""

    def server(self) -> tuple[bytes, bytes]:
        """Key and certificate of the server, as PEM; another certificate once two thirds of its life are over."""

    def issue(self, request: bytes, pooler_id: str, kind: CertificateKind) -> Issued:
        """A certificate for the key of a signing request (PEM).

        Raises:
            InvalidRequestError: the request is malformed or not signed by its key.
        """
