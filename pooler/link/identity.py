"""This pooler's certificate: enrolled by invitation, renewed before it ends, kept in files that only their owner reads.

The directory holds pooler.key, pooler.pem and ca.pem.
"""

from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509

from kale_common.certificates import (
    Invitation,
    due,
    key_pem,
    name_of,
    new_key,
    read_invitation,
    signing_request,
    write_private,
)
from kalepool.v1 import enrolment_pb2, enrolment_pb2_grpc
from pooler.errors import IdentityFilesError
from pooler.link.faults import translated

_KEY, _CERTIFICATE, _AUTHORITY = "pooler.key", "pooler.pem", "ca.pem"
_SECONDS = 15.0


class Identity:
    """The certificate of one pooler.

    Args:
        directory: Where its files are (TLS_DIRECTORY).
        pooler_id: The name it must be for.
    """

    def __init__(self, directory: Path, pooler_id: str) -> None:
        self._directory = directory
        self._pooler_id = pooler_id

    def credentials(self) -> grpc.ChannelCredentials:
        """What to show the backend, and whom to believe.

        Raises:
            IdentityFilesError: The files are missing, unreadable or for another pooler.
        """
        self._certificate()
        return grpc.ssl_channel_credentials(
            root_certificates=self._read(_AUTHORITY),
            private_key=self._read(_KEY),
            certificate_chain=self._read(_CERTIFICATE),
        )

    @property
    def due(self) -> bool:
        """Whether it is to be renewed. Raises IdentityFilesError."""
        return due(self._certificate())

    async def enrol(self, file: Path) -> None:
        """Exchanges an invitation for a certificate.

        Raises:
            IdentityFilesError: The invitation is none, or for another pooler; or the files cannot be written.
            BackendUnavailableError: No answer; the invitation is still good.
            BackendRefusedError: It is used, revoked or too old.
        """
        invitation = self._invitation(file)
        key = new_key()
        credentials = grpc.ssl_channel_credentials(invitation.authority, invitation.key, invitation.certificate)
        async with grpc.aio.secure_channel(invitation.backend, credentials) as channel:
            request = enrolment_pb2.EnrolRequest(certificate_request=signing_request(key, self._pooler_id))
            stub: enrolment_pb2_grpc.EnrolmentServiceAsyncStub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)
            try:
                answer = await stub.Enrol(request, timeout=_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise translated(error) from error
        self._write(key_pem(key), answer.certificate, answer.authority)

    async def renew(self, channel: grpc.aio.Channel) -> None:
        """Fetches the next certificate, for a new key.

        Raises:
            BackendError: There is none yet; the one there is stays good until it ends.
            IdentityFilesError: The files cannot be written.
        """
        key = new_key()
        request = enrolment_pb2.RenewCertificateRequest(certificate_request=signing_request(key, self._pooler_id))
        stub: enrolment_pb2_grpc.EnrolmentServiceAsyncStub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)
        try:
            answer = await stub.RenewCertificate(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise translated(error) from error
        self._write(key_pem(key), answer.certificate, answer.authority)

    def _invitation(self, file: Path) -> Invitation:
        try:
            invitation = read_invitation(file.read_bytes())
        except (OSError, ValueError) as error:
            raise IdentityFilesError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
        if invitation.pooler_id != self._pooler_id:
            raise IdentityFilesError(
                f"the invitation is for pooler {invitation.pooler_id!r}, but POOLER_ID is {self._pooler_id!r}"
            )
        return invitation

    def _certificate(self) -> x509.Certificate:
        try:
            certificate = x509.load_pem_x509_certificate(self._read(_CERTIFICATE))
        except ValueError as error:
            raise IdentityFilesError(f"TLS_DIRECTORY: {_CERTIFICATE} holds no certificate") from error
        if name_of(certificate) != self._pooler_id:
            raise IdentityFilesError(
                f"TLS_DIRECTORY: the certificate is for pooler {name_of(certificate)!r}, but POOLER_ID is "
                f"{self._pooler_id!r}"
            )
        return certificate

    def _read(self, name: str) -> bytes:
        try:
            return (self._directory / name).read_bytes()
        except OSError as error:
            raise IdentityFilesError(
                f"TLS_DIRECTORY: cannot read {self._directory / name}: {error.strerror}; run kale-pooler enrol"
            ) from error

    def _write(self, key: bytes, certificate: bytes, authority: bytes) -> None:
        """The key last: until it is there, key and certificate of before or of now do not fit together for a moment."""
        try:
            write_private(self._directory / _AUTHORITY, authority)
            write_private(self._directory / _CERTIFICATE, certificate)
            write_private(self._directory / _KEY, key)
        except OSError as error:
            raise IdentityFilesError(f"TLS_DIRECTORY: cannot write {self._directory}: {error.strerror}") from error
