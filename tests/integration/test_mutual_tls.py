"""Poolers over mutual TLS: enrolled by invitation, known by certificate, cut off within a second."""

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from backend.domain.trust import CertificateKind
from backend.tls import authority as authorities
from backend.tls.authority import Authority
from kale_common.certificates import (
    certificate_pem,
    common_name,
    key_pem,
    new_key,
    read_invitation,
    signing_request,
)
from kalepool.v1 import (
    enrolment_pb2,
    enrolment_pb2_grpc,
    farmers_pb2,
    farmers_pb2_grpc,
    pool_pb2,
    pool_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)
from pooler.errors import BackendRefusedError, IdentityFilesError
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from pooler.link.identity import Identity
from pooler.link.renewal import renewed
from tests.fixtures.backend import PATIENCE_SECONDS, Pool, StartBackend
from tests.fixtures.grpc_errors import reason_of

ROOT = Path(__file__).resolve().parents[2]


class Trusted:
    """A backend with an authority, and commands that act on its database."""

    def __init__(self, pool: Pool, directory: Path, environment: dict[str, str]) -> None:
        self.pool = pool
        self.directory = directory
        self._environment = environment

    @property
    def address(self) -> str:
        return f"localhost:{self.pool.backend.pooler_port}"

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    async def command(self, *arguments: str) -> str:
        """Runs `kale-backend pooler …`; what it printed."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend", "pooler", *arguments),
            env={**os.environ, **self._environment},
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(child.communicate(), PATIENCE_SECONDS)
        assert child.returncode == 0, err.decode()
        return out.decode()

    async def invited(self, name: str) -> Path:
        """A fresh invitation."""
        out = json.loads(await self.command("enrol", name, "--backend", self.address, "--json"))
        return self.directory / str(out["invitation"])

    async def enrolled(self, name: str) -> Identity:
        """An enrolled pooler's certificate."""
        identity = Identity(self.directory / f"{name}-tls", name)
        await identity.enrol(await self.invited(name))
        return identity

    def channel(self, authority: bytes, key: bytes, certificate: bytes) -> grpc.aio.Channel:
        """A channel with any certificate."""
        return grpc.aio.secure_channel(self.address, grpc.ssl_channel_credentials(authority, key, certificate))


@pytest.fixture
async def trusted(
    start_backend: StartBackend, backend_settings: dict[str, Any], tmp_path: Path
) -> AsyncIterator[Trusted]:
    """A backend that serves poolers with mutual TLS."""
    Authority.create(tmp_path / "tls", ["localhost", "127.0.0.1"])
    environment = {
        "DATABASE_URL": str(backend_settings["database_url"]),
        "STELLAR_NETWORK": "local",
        "TLS_DIRECTORY": str(tmp_path / "tls"),
        "PYTHONPATH": str(ROOT),
    }
    async with start_backend(tls_directory=tmp_path / "tls", pooler_port=0) as pool:
        yield Trusted(pool, tmp_path, environment)


async def read_to_the_end(call: Any) -> None:
    """Reads a stream until it ends; raises what it ended with."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await call.read() is not grpc.aio.EOF:
            pass


async def detected(backend: GrpcBackend) -> bool:
    """A call that only poolers may make."""
    return await backend.report_block(0, opened_at=0, ledger=0)


async def test_enrolled_pooler_is_served_under_its_own_name_alone(trusted: Trusted) -> None:
    identity = await trusted.enrolled("p-1")
    async with Line(trusted.url, identity) as line:
        assert await detected(GrpcBackend(line, pooler_id="p-1", timeout=10))
        with pytest.raises(BackendRefusedError) as refused:
            await detected(GrpcBackend(line, pooler_id="p-2", timeout=10))
        assert refused.value.code == "PERMISSION_DENIED"
        status: status_pb2_grpc.StatusServiceAsyncStub = status_pb2_grpc.StatusServiceStub(line.channel)
        assert (await status.GetStatus(status_pb2.GetStatusRequest())).status.version
        farmers: farmers_pb2_grpc.FarmerServiceAsyncStub = farmers_pb2_grpc.FarmerServiceStub(line.channel)
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await farmers.ListFarmers(farmers_pb2.ListFarmersRequest())
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    (listed,) = json.loads(await trusted.command("list", "--json"))
    assert (listed["pooler_id"], listed["standing"]) == ("p-1", "enrolled")


async def test_invitation_is_good_once_and_for_nothing_else(trusted: Trusted) -> None:
    file = await trusted.invited("p-1")
    assert file.stat().st_mode & 0o077 == 0
    invitation = read_invitation(file.read_bytes())
    async with trusted.channel(invitation.authority, invitation.key, invitation.certificate) as channel:
        pool: pool_pb2_grpc.PoolServiceAsyncStub = pool_pb2_grpc.PoolServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await pool.ReportBlock(pool_pb2.ReportBlockRequest(pooler_id="p-1"))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    identity = Identity(trusted.directory / "p", "p-1")
    await identity.enrol(file)
    with pytest.raises(BackendRefusedError) as again:
        await Identity(trusted.directory / "thief", "p-1").enrol(file)
    assert again.value.code == "UNAUTHENTICATED"


async def test_invitation_for_another_pooler_is_not_sent(trusted: Trusted) -> None:
    file = await trusted.invited("p-1")
    with pytest.raises(IdentityFilesError, match="p-1"):
        await Identity(trusted.directory / "p", "p-2").enrol(file)
    await Identity(trusted.directory / "p", "p-1").enrol(file)


async def test_revocation_ends_live_streams_within_a_second_and_a_new_invitation_lets_in_again(
    trusted: Trusted,
) -> None:
    identity = await trusted.enrolled("p-1")
    async with Line(trusted.url, identity) as line:
        stub: pool_pb2_grpc.PoolServiceAsyncStub = pool_pb2_grpc.PoolServiceStub(line.channel)
        attendance, reports = stub.Attend(), stub.ReportWork()
        await attendance.write(pool_pb2.AttendRequest(pooler_id="p-1", max_farmers=5))
        assert (await attendance.read()).HasField("welcome")
        await reports.wait_for_connection()
        await trusted.command("revoke", "p-1", "--reason", "its machine was stolen")
        for call in (attendance, reports):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await read_to_the_end(call)
            assert (ended.value.code(), reason_of(ended.value)) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "POOLER_REVOKED",
            )
        with pytest.raises(BackendRefusedError, match="its machine was stolen"):
            await detected(GrpcBackend(line, pooler_id="p-1", timeout=10))
    async with Line(trusted.url, await trusted.enrolled("p-1")) as line:
        assert await detected(GrpcBackend(line, pooler_id="p-1", timeout=10))


def self_signed(name: str) -> tuple[bytes, bytes]:
    """A key and a certificate that the authority never saw."""
    key = new_key()
    own = common_name(name)
    authority = x509.CertificateBuilder().subject_name(own).issuer_name(own).public_key(key.public_key())
    now, day = datetime.now(UTC), timedelta(days=1)
    made = (
        authority.serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )
    return key_pem(key), certificate_pem(made)


def expired(name: str, authority: Authority) -> tuple[bytes, bytes]:
    """A key and a certificate of the pool's own authority that ended a minute ago."""
    key = new_key()
    signer = authority._key, authority._own.subject
    uses = authorities._client_uses()
    made = authorities._certificate(common_name(name), key.public_key(), signer, timedelta(minutes=-1), uses)
    return key_pem(key), certificate_pem(made)


@pytest.mark.parametrize("stranger", ["none", "self-signed", "another authority", "expired"])
async def test_strangers_do_not_get_past_the_handshake(trusted: Trusted, tmp_path: Path, stranger: str) -> None:
    authority = (tmp_path / "tls" / "ca.pem").read_bytes()
    key: bytes | None = None
    certificate: bytes | None = None
    if stranger == "self-signed":
        key, certificate = self_signed("p-1")
    elif stranger == "another authority":
        other, own = Authority.create(tmp_path / "other", ["localhost"]), new_key()
        key = key_pem(own)
        certificate = other.issue(signing_request(own, "p-1"), "p-1", CertificateKind.POOLER).pem
    elif stranger == "expired":
        key, certificate = expired("p-1", Authority.open(tmp_path / "tls"))
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    async with grpc.aio.secure_channel(trusted.address, credentials) as channel:
        stub: enrolment_pb2_grpc.EnrolmentServiceAsyncStub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Enrol(enrolment_pb2.EnrolRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_certificate_that_the_database_does_not_know_is_refused(trusted: Trusted, tmp_path: Path) -> None:
    """As after a restore to a time before it was issued: the authority's signature alone lets nobody in."""
    authority, key = Authority.open(tmp_path / "tls"), new_key()
    issued = authority.issue(signing_request(key, "p-1"), "p-1", CertificateKind.POOLER)
    async with trusted.channel(authority.certificate, key_pem(key), issued.pem) as channel:
        stub: pool_pb2_grpc.PoolServiceAsyncStub = pool_pb2_grpc.PoolServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ReportBlock(pool_pb2.ReportBlockRequest(pooler_id="p-1"))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def negotiated(port: int, version: ssl.TLSVersion, directory: Path) -> str | None:
    """The version a handshake ends with; None if it fails."""
    context = ssl.create_default_context(cafile=directory / "ca.pem")
    context.load_cert_chain(directory / "pooler.pem", directory / "pooler.key")
    context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return secure.version()
    except ssl.SSLError:
        return None


async def test_nothing_older_than_tls_1_3_is_spoken(trusted: Trusted, tmp_path: Path) -> None:
    await trusted.enrolled("p-1")
    port = trusted.pool.backend.pooler_port
    assert port is not None
    for version, expected in ((ssl.TLSVersion.TLSv1_2, None), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        assert await asyncio.to_thread(negotiated, port, version, tmp_path / "p-1-tls") == expected


async def test_certificate_is_renewed_while_calls_go_on(trusted: Trusted, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = await trusted.enrolled("p-1")
    file = trusted.directory / "p-1-tls" / "pooler.pem"
    before = file.read_bytes()
    async with Line(trusted.url, identity) as line:
        backend = GrpcBackend(line, pooler_id="p-1", timeout=10)
        assert await detected(backend)
        monkeypatch.setattr("pooler.link.identity.due", lambda certificate: certificate_pem(certificate) == before)
        first = line.channel
        async with renewed(line, identity, look_seconds=0.05):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while line.channel is first:  # noqa: ASYNC110  (the line has no event to wait for)
                    await asyncio.sleep(0.02)
            assert file.read_bytes() != before
            assert not await detected(backend)


async def test_server_certificate_is_renewed_without_a_restart(
    trusted: Trusted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    identity = await trusted.enrolled("p-1")
    before = (tmp_path / "tls" / "server.pem").read_bytes()
    monkeypatch.setattr("backend.tls.authority.due", lambda certificate: certificate_pem(certificate) == before)
    async with Line(trusted.url, identity) as line:
        assert await detected(GrpcBackend(line, pooler_id="p-1", timeout=10))
    assert (tmp_path / "tls" / "server.pem").read_bytes() != before


async def test_wrong_hashes_quarantine_a_pooler_until_it_is_readmitted(trusted: Trusted) -> None:
    pool = trusted.pool
    await pool.onboard(1)
    block = await pool.open_block()
    identity = await trusted.enrolled("liar")
    async with Line(trusted.url, identity) as line:
        stub: pool_pb2_grpc.PoolServiceAsyncStub = pool_pb2_grpc.PoolServiceStub(line.channel)
        request = pool_pb2.PlantRequest(request_id="r", pooler_id="liar", block_index=block)

        async def planted() -> list[pool_pb2.PlantResponse]:
            return [response async for response in stub.Plant(request)]

        event = (await pool.while_advancing(planted()))[0].event
        reports = stub.ReportWork()
        for number in range(3):
            accepted = pool_pb2.WorkAccepted(work_hash="00" * 32, nonce=number, zeros=64, gap=1)
            await reports.write(
                pool_pb2.ReportWorkRequest(
                    report_id=f"w{number}",
                    pooler_id="liar",
                    block_index=block,
                    farmer_id=event.farmer_id,
                    accepted=accepted,
                )
            )
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await read_to_the_end(reports)
        assert reason_of(ended.value) == "POOLER_QUARANTINED"
        (score,) = json.loads(await trusted.command("list", "--json"))
        assert (score["standing"], score["wrong"]) == ("quarantined", 3)
        await trusted.command("readmit", "liar")

        async def served() -> bool:
            try:
                await detected(GrpcBackend(line, pooler_id="liar", timeout=10))
            except BackendRefusedError as error:
                return error.code == "FAILED_PRECONDITION"
            return True

        await pool.eventually(served)


async def test_grpcurl_speaks_with_a_certificate_as_the_docs_show(trusted: Trusted, grpcurl: str) -> None:
    await trusted.enrolled("north")
    files = trusted.directory / "north-tls"
    shown = ["-cacert", files / "ca.pem", "-cert", files / "pooler.pem", "-key", files / "pooler.key"]

    async def call(*words: str, certificate: bool = True) -> tuple[int, str]:
        options = shown if certificate else shown[:2]
        child = await asyncio.create_subprocess_exec(
            grpcurl, *options, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(child.communicate(), PATIENCE_SECONDS)
        return child.returncode or 0, output.decode()

    code, services = await call(trusted.address, "list")
    assert code == 0, services
    assert set(services.split()) == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "kalepool.v1.EnrolmentService",
        "kalepool.v1.PoolService",
        "kalepool.v1.StatusService",
    }
    state = json.dumps({"pooler_id": "north", "max_farmers": 20, "hashes_per_second": 5e6})
    code, attended = await call("-d", state, trusted.address, "kalepool.v1.PoolService/Attend")
    assert code == 0, attended
    assert '"silent_ledgers": 3' in attended
    state = json.dumps({"pooler_id": "south", "max_farmers": 20})
    code, refused = await call("-d", state, trusted.address, "kalepool.v1.PoolService/Attend")
    assert code != 0
    assert "PermissionDenied" in refused
    code, stranger = await call("-connect-timeout", "3", trusted.address, "list", certificate=False)
    assert code != 0, stranger
