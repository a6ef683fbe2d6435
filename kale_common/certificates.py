"""Keys and certificates as both services handle them: ECDSA on P-256, in PEM files that only their owner reads."""

import os
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey

_PEM = rb"-----BEGIN %b-----[^-]+-----END %b-----\s*"
_INVITATION = re.compile(
    rb"KALE Pool invitation\npooler: (?P<name>[A-Za-z0-9._-]{1,64})\nbackend: (?P<backend>[^\s]+)\n\s*"
    rb"(?P<ca>%b)(?P<pem>%b)(?P<key>%b)"
    % (_PEM % ((b"CERTIFICATE",) * 2), _PEM % ((b"CERTIFICATE",) * 2), _PEM % ((b"PRIVATE KEY",) * 2))
)

_RENEWED_AFTER = 2 / 3
"""The part of a certificate's life after which it is renewed."""


def new_key() -> Key:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """A private key as unencrypted PKCS #8; whoever writes it down keeps it from others."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(pem: bytes) -> Key:
    """The private key in a PEM text.

    Raises:
        ValueError: it holds none, or none on P-256.
    """
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TypeError("the key is not on the curve P-256")
    return key


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def signing_request(key: Key, name: str) -> bytes:
    """A request, as PEM, for a certificate of `key` under a common name; signed by the key itself."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name(name))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def common_name(name: str) -> x509.Name:
    """A distinguished name of a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def name_of(certificate: x509.Certificate) -> str:
    """The common name a certificate was issued to; empty if it has none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def describe(pem: bytes) -> tuple[str, str]:
    """Serial number (hexadecimal) and common name of a certificate in PEM.

    Raises:
        ValueError: it is none.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    return f"{certificate.serial_number:x}", name_of(certificate)


def due(certificate: x509.Certificate, now: datetime | None = None) -> bool:
    """Whether a certificate is to be renewed: two thirds of its life are over."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (now or datetime.now(UTC)) >= begin + (end - begin) * _RENEWED_AFTER


def invitation_text(name: str, backend: str, authority: bytes, certificate: bytes, key: bytes) -> bytes:
    """An invitation: a few lines for people and programs, then what it takes to enrol, all as PEM."""
    head = f"KALE Pool invitation\npooler: {name}\nbackend: {backend}\n\n".encode()
    return head + authority + certificate + key


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an invitation holds."""

    pooler_id: str
    backend: str
    """host:port."""
    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)


def read_invitation(text: bytes) -> Invitation:
    """The parts of an invitation.

    Raises:
        ValueError: it is none.
    """
    found = _INVITATION.fullmatch(text)
    if found is None:
        raise ValueError("it is no invitation, or a part of it is missing")
    return Invitation(found["name"].decode(), found["backend"].decode(), found["ca"], found["pem"], found["key"])


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner reads; it is there whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
