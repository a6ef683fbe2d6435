"""Whom to let in: certificates are looked up here, and poolers that are revoked or quarantined go out at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from backend.domain.trust import EXCLUDED, WRONG_REPORTS, CertificateKind, Issued, Standing
from backend.domain.work import WorkReport
from backend.errors import (
    BackendError,
    DatabaseUnavailableError,
    InvitationError,
    PoolerExcludedError,
    PoolerQuarantinedError,
    PoolerRevokedError,
    UnauthenticatedError,
)
from backend.ports.stores import Stores
from backend.ports.trust import CertificateIssuer, Trust
from backend.services.attending import Attending

_log = structlog.get_logger()

LOOK_SECONDS = 0.5
"""How often the database is asked who is trusted: a revocation is felt within a second."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who holds a certificate, and what it is good for."""

    pooler_id: str
    serial: str
    kind: CertificateKind


class Trusting:
    """Standings of poolers, as last read from the database."""

    def __init__(self, stores: Stores, attending: Attending) -> None:
        self._store = stores.trust
        self._attending = attending
        self._trust = Trust({}, {})
        self._endings: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Looks for ever; while the database is out of reach, what was known last holds."""
        while True:
            try:
                await self.look()
            except DatabaseUnavailableError as error:
                _log.warning("standings of poolers not read", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Reads who is trusted; ends the streams of those who are no longer, and gives their farmers to others.

        Raises:
            DatabaseUnavailableError: what was known last holds.
        """
        self._trust = await self._store.trust()
        excluded = {
            pooler_id: _exclusion(pooler_id, standing, reason)
            for pooler_id, (standing, reason) in self._trust.standings.items()
            if standing in EXCLUDED
        }
        for serial, ending in list(self._endings.items()):
            certificate = self._trust.certificates.get(serial)
            if certificate is None or certificate.pooler_id in excluded:
                ending.set()
                del self._endings[serial]
        try:
            await self._attending.exclude(excluded)
        except BackendError as error:
            _log.warning("leases of excluded poolers not handed over yet", error=str(error))

    async def identify(self, serial: str, common_name: str) -> Peer:
        """Who holds a certificate that the authority signed.

        Raises:
            UnauthenticatedError: it is not known, used up, revoked or expired.
            PoolerExcludedError: its pooler is revoked or quarantined.
        """
        issued = self._trust.certificates.get(serial)
        if issued is None:
            await self.look()
            issued = self._trust.certificates.get(serial)
        standing, reason = self._trust.standings.get(common_name, (Standing.OPEN, ""))
        # A pooler that was revoked may be invited again; until it has enrolled only the invitation is good.
        if standing in EXCLUDED and (issued is None or issued.kind is not CertificateKind.INVITATION):
            raise _exclusion(common_name, standing, reason)
        if issued is None or issued.pooler_id != common_name:
            raise UnauthenticatedError("the certificate is not known, used up, revoked or expired; enrol again")
        return Peer(issued.pooler_id, issued.serial, issued.kind)

    def ending(self, serial: str) -> asyncio.Event:
        """Set once a certificate is good no longer."""
        return self._endings.setdefault(serial, asyncio.Event())

    async def enrol(self, peer: Peer, request: bytes, issuer: CertificateIssuer) -> Issued:
        """A pooler's first certificate for its invitation, which is used up by it.

        Raises:
            InvalidRequestError: the signing request is malformed.
            InvitationError: the certificate presented is none, or somebody was faster.
        """
        if peer.kind is not CertificateKind.INVITATION:
            raise InvitationError(peer.pooler_id)
        issued = issuer.issue(request, peer.pooler_id, CertificateKind.POOLER)
        await self._store.enrol(peer.serial, issued)
        _log.info("pooler enrolled", pooler_id=peer.pooler_id, serial=issued.serial)
        await self.look()
        return issued

    async def renew(self, peer: Peer, request: bytes, issuer: CertificateIssuer) -> Issued:
        """Another certificate for an enrolled pooler. The one it has stays good until it ends.

        Raises:
            InvalidRequestError: the signing request is malformed.
        """
        issued = issuer.issue(request, peer.pooler_id, CertificateKind.POOLER)
        await self._store.issue(issued)
        _log.info("certificate renewed", pooler_id=peer.pooler_id, serial=issued.serial)
        await self.look()
        return issued

    async def wrong(self, report: WorkReport) -> None:
        """A report's hash does not compute; too many of them quarantine its pooler."""
        count = await self._store.record_wrong(report)
        if count < WRONG_REPORTS:
            return
        reason = f"{count} reports whose hashes do not compute, the last of block {report.block_index}"
        _log.error("pooler quarantined", pooler_id=report.pooler_id, reason=reason)
        await self._store.set_standing(report.pooler_id, Standing.QUARANTINED, reason)
        await self.look()


def _exclusion(pooler_id: str, standing: Standing, reason: str) -> PoolerExcludedError:
    kind = PoolerQuarantinedError if standing is Standing.QUARANTINED else PoolerRevokedError
    return kind(pooler_id, reason)
