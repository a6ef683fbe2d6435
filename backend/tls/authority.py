"""The pool's certificate authority: it issues the server's certificate and one to every pooler.

A directory holds ca.key and ca.pem, server.key and server.pem. Whoever has ca.key can let poolers in: it is as secret
as the key that seals the farmers' seeds, and as readable by others as that: not at all.
"""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from backend.domain.trust import INVITATION_MINUTES, CertificateKind, Issued
from backend.errors import AuthorityError, InvalidRequestError
from kale_common.certificates import (
    Key,
    certificate_pem,
    common_name,
    due,
    key_pem,
    new_key,
    read_key,
    write_private,
)

_CA_KEY, _CA, _SERVER_KEY, _SERVER = "ca.key", "ca.pem", "server.key", "server.pem"
_CA_DAYS, _SERVER_DAYS, _POOLER_DAYS = 3650, 90, 30
_CLOCKS_DIFFER = timedelta(minutes=5)


class Authority:
    """An opened certificate authority."""

    def __init__(self, directory: Path, key: Key, certificate: x509.Certificate) -> None:
        self._directory = directory
        self._key = key
        self._own = certificate
        self._server = self._read_server()

    @classmethod
    def create(cls, directory: Path, names: Sequence[str]) -> Self:
        """Makes an authority and a server certificate for these DNS names and IP addresses.

        Raises:
            AuthorityError: there is one already, which is never overwritten, or the directory cannot be written.
        """
        if (directory / _CA_KEY).exists():
            raise AuthorityError(directory, "holds an authority already; poolers trust it, so it stays")
        key = new_key()
        certificate = _signed("KALE Pool authority", key, issuer=None, days=_CA_DAYS)
        server_key = new_key()
        server = _signed("KALE Pool", server_key, issuer=(key, certificate), days=_SERVER_DAYS, names=names)
        try:
            write_private(directory / _CA, certificate_pem(certificate))
            write_private(directory / _SERVER_KEY, key_pem(server_key))
            write_private(directory / _SERVER, certificate_pem(server))
            write_private(directory / _CA_KEY, key_pem(key))
        except OSError as error:
            raise AuthorityError(directory, f"cannot be written: {error.strerror}") from error
        return cls.open(directory)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Opens the authority in a directory.

        Raises:
            AuthorityError: there is none, or a file is unreadable, malformed or open to others.
        """
        try:
            if (directory / _CA_KEY).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise AuthorityError(directory, f"{_CA_KEY} can be read by others; run chmod 600 on it")
            key = read_key((directory / _CA_KEY).read_bytes())
            return cls(directory, key, x509.load_pem_x509_certificate((directory / _CA).read_bytes()))
        except FileNotFoundError as error:
            name = Path(str(error.filename)).name
            raise AuthorityError(directory, f"has no {name}; run `kale-backend tls create`") from error
        except (OSError, ValueError, TypeError) as error:
            raise AuthorityError(directory, "cannot be read, or a file in it is malformed") from error

    @property
    def certificate(self) -> bytes:
        """Its own certificate, as PEM."""
        return certificate_pem(self._own)

    def server(self) -> tuple[bytes, bytes]:
        """Key and certificate of the server, as PEM; renewed by itself once two thirds of its life are over."""
        if due(self._server[1]):
            self._renew_server()
        key, certificate = self._server
        return key_pem(key), certificate_pem(certificate)

    def issue(self, request: bytes, pooler_id: str, kind: CertificateKind) -> Issued:
        """A certificate for the key of a signing request. Raises InvalidRequestError."""
        try:
            parsed = x509.load_pem_x509_csr(request)
            valid = parsed.is_signature_valid
        except (ValueError, TypeError, InvalidSignature) as error:
            raise InvalidRequestError("certificate_request", "not a PKCS #10 request in PEM") from error
        if not valid:
            raise InvalidRequestError("certificate_request", "not signed by its own key")
        life = timedelta(minutes=INVITATION_MINUTES) if kind is CertificateKind.INVITATION else timedelta(_POOLER_DAYS)
        certificate = _certificate(
            common_name(pooler_id), parsed.public_key(), (self._key, self._own.subject), life, _client_uses()
        )
        return Issued(
            serial=f"{certificate.serial_number:x}",
            pooler_id=pooler_id,
            kind=kind,
            not_after=certificate.not_valid_after_utc,
            pem=certificate_pem(certificate),
        )

    def _read_server(self) -> tuple[Key, x509.Certificate]:
        key = read_key((self._directory / _SERVER_KEY).read_bytes())
        return key, x509.load_pem_x509_certificate((self._directory / _SERVER).read_bytes())

    def _renew_server(self) -> None:
        """Another certificate for the same key and names, so that one file alone changes."""
        key, old = self._server
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        life = timedelta(_SERVER_DAYS)
        new = _certificate(old.subject, key.public_key(), (self._key, self._own.subject), life, _server_uses(names))
        write_private(self._directory / _SERVER, certificate_pem(new))
        self._server = key, new


Uses = Sequence[tuple[x509.ExtensionType, bool]]


def _signed(
    name: str, key: Key, *, issuer: tuple[Key, x509.Certificate] | None, days: int, names: Sequence[str] = ()
) -> x509.Certificate:
    """A certificate of our own: the authority's, signed by itself, or the server's."""
    subject = common_name(name)
    if issuer is None:
        return _certificate(subject, key.public_key(), (key, subject), timedelta(days), _authority_uses())
    alternatives = x509.SubjectAlternativeName([_general_name(each) for each in names])
    signer = (issuer[0], issuer[1].subject)
    return _certificate(subject, key.public_key(), signer, timedelta(days), _server_uses(alternatives))


def _certificate(
    subject: x509.Name, public_key: object, issuer: tuple[Key, x509.Name], life: timedelta, uses: Uses
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[1])
        .public_key(public_key)  # type: ignore[arg-type]  # whatever a request can hold can be certified
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + life)
    )
    for extension, critical in uses:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer[0], hashes.SHA256())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_uses() -> Uses:
    return [(x509.BasicConstraints(ca=True, path_length=0), True), (_key_usage(signs_certificates=True), True)]


def _end_uses(use: x509.ObjectIdentifier) -> Uses:
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([use]), False),
    ]


def _client_uses() -> Uses:
    return _end_uses(ExtendedKeyUsageOID.CLIENT_AUTH)


def _server_uses(names: x509.SubjectAlternativeName) -> Uses:
    return [*_end_uses(ExtendedKeyUsageOID.SERVER_AUTH), (names, False)]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
