"""TLS of the edge: spoken where a certificate is given, renewed without a restart, refused where files are wrong."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from backend.api.certificate import EdgeCertificate
from backend.api.client import CA_VARIABLE, open_channel
from backend.api.http import HttpServer
from backend.api.server import GrpcServer
from backend.domain.rate import Rate
from backend.services.door import Door
from kale_common.errors import ConfigError
from tests.fixtures.edge import servicers
from tests.fixtures.tokens import MemoryTokens


def issue(folder: Path, name: str) -> EdgeCertificate:
    """Writes a self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = EdgeCertificate(folder / "edge.pem", folder / "edge.key")
    files.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


async def shown_by(port: int) -> str:
    """The common name of the certificate that a port shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    del reader
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    (name,) = x509.load_der_x509_certificate(raw).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


async def test_http_speaks_tls_and_shows_the_renewed_certificate(tmp_path: Path) -> None:
    tls = issue(tmp_path, "first")
    server = HttpServer("127.0.0.1", 0, web.Application(), tls)
    await server.start()
    try:
        context = ssl.create_default_context(cafile=str(tls.chain))
        async with aiohttp.ClientSession() as session:
            url = f"https://127.0.0.1:{server.port}/"
            async with session.get(url, ssl=context) as answer:
                assert answer.status == 404
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{server.port}/")
        assert await shown_by(server.port) == "first"
        issue(tmp_path, "second")
        assert await shown_by(server.port) == "second"
        tls.key.write_bytes(b"broken")
        assert await shown_by(server.port) == "second"
    finally:
        await server.stop()


async def test_grpc_speaks_tls_and_shows_the_renewed_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = issue(tmp_path, "first")
    door = Door(MemoryTokens(), required=True, rate=Rate(10, 10))
    server = GrpcServer("127.0.0.1", 0, servicers(), door, tls)
    await server.start()
    try:
        monkeypatch.setenv(CA_VARIABLE, str(tls.chain))
        for _ in range(2):
            async with open_channel(f"https://127.0.0.1:{server.port}", "kale_x") as channel:
                stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
            issue(tmp_path, "second")
        assert await shown_by(server.port) == "second"
        async with open_channel(f"127.0.0.1:{server.port}", None) as channel:
            stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
    finally:
        await server.stop(0)


@pytest.mark.parametrize("damage", ["missing", "garbage", "foreign"])
def test_files_that_do_not_fit_end_the_start(tmp_path: Path, damage: str) -> None:
    tls = issue(tmp_path, "first")
    if damage == "missing":
        tls.key.unlink()
    elif damage == "garbage":
        tls.chain.write_bytes(b"garbage")
    else:
        (tmp_path / "other").mkdir()
        tls.key.write_bytes(issue(tmp_path / "other", "other").key.read_bytes())
    for start in (tls.for_grpc, tls.for_http):
        with pytest.raises(ConfigError, match="TLS_CERTIFICATE_FILE"):
            start()


async def test_command_sends_no_token_in_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"use https://pool\.example:3000") as caught:
        open_channel("pool.example:3000", "kale_secret")
    assert "kale_secret" not in str(caught.value)
    monkeypatch.setenv(CA_VARIABLE, "/nowhere/ca.pem")
    with pytest.raises(ConfigError, match="cannot read"):
        open_channel("https://pool.example:3000", "kale_secret")
