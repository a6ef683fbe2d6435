"""EnrolmentService over gRPC."""

from __future__ import annotations

from backend.api.handlers import Context
from backend.api.peers import CALLER
from backend.errors import UnauthenticatedError
from backend.ports.trust import CertificateIssuer
from backend.services.trusting import Peer, Trusting
from kalepool.v1 import enrolment_pb2, enrolment_pb2_grpc

ENROLMENT_SERVICE = enrolment_pb2.DESCRIPTOR.services_by_name["EnrolmentService"].full_name


class EnrolmentServicer(enrolment_pb2_grpc.EnrolmentServiceServicer):
    """See enrolment.proto."""

    def __init__(self, trusting: Trusting, issuer: CertificateIssuer) -> None:
        self._trusting = trusting
        self._issuer = issuer

    async def Enrol(  # noqa: N802  (the protocol's name)
        self, request: enrolment_pb2.EnrolRequest, context: Context
    ) -> enrolment_pb2.EnrolResponse:
        """A pooler's first certificate."""
        del context
        issued = await self._trusting.enrol(_caller(), request.certificate_request, self._issuer)
        return enrolment_pb2.EnrolResponse(
            pooler_id=issued.pooler_id, certificate=issued.pem, authority=self._issuer.certificate
        )

    async def RenewCertificate(  # noqa: N802  (the protocol's name)
        self, request: enrolment_pb2.RenewCertificateRequest, context: Context
    ) -> enrolment_pb2.RenewCertificateResponse:
        """The next certificate."""
        del context
        issued = await self._trusting.renew(_caller(), request.certificate_request, self._issuer)
        return enrolment_pb2.RenewCertificateResponse(certificate=issued.pem, authority=self._issuer.certificate)


def _caller() -> Peer:
    peer = CALLER.get()
    if peer is None:
        raise UnauthenticatedError("show a certificate")
    return peer
