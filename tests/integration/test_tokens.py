"""Tokens end to end: made and revoked by command, asked for by a running backend."""

import json
import os
import subprocess
import sys
from typing import Any

import aiohttp
import grpc.aio
import pytest

from backend.app import Backend
from kalepool.v1 import farmers_pb2
from pooler.errors import BackendRefusedError
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from tests.fixtures.backend import StartBackend
from tests.fixtures.stores import Query


def run(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": url, "STELLAR_NETWORK": "local"}
    command = [sys.executable, "-m", "backend", "token", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def made(url: str, *words: str) -> dict[str, Any]:
    done = run(url, "create", "--label", "a test's", "--json", *words)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


async def farmers_status(backend: Backend, token: str, farmer_id: str) -> grpc.StatusCode:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{backend.grpc_port}") as channel:
        get = channel.unary_unary(
            "/kalepool.v1.FarmerService/GetFarmer", farmers_pb2.GetFarmerRequest.SerializeToString
        )
        call = get(farmers_pb2.GetFarmerRequest(farmer_id=farmer_id), metadata=bearer(token))
        return await call.code()


async def test_backend_serves_those_with_tokens_until_they_are_revoked(
    start_backend: StartBackend, application_url: str, query: Query
) -> None:
    async with start_backend() as pool:
        first, second = await pool.onboard(2)
    pooler = made(application_url, "--role", "pooler")
    farmer = made(application_url, "--role", "farmer", "--farmer", first.farmer_id, "--scope", "read")
    assert farmer["scopes"] == ["read"]
    async with start_backend(auth="required") as pool:
        codes = [await farmers_status(pool.backend, farmer["token"], one.farmer_id) for one in (first, second)]
        assert codes == [grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED]
        for token, served in ((pooler["token"], True), (None, False), (farmer["token"], False)):
            async with Line(f"http://127.0.0.1:{pool.backend.grpc_port}") as line:
                link = GrpcBackend(line, pooler_id="p", timeout=10, token=token)
                if served:
                    assert await link.report_block(0, opened_at=0, ledger=0)
                else:
                    with pytest.raises(BackendRefusedError):
                        await link.report_block(0, opened_at=0, ledger=0)
        async with aiohttp.ClientSession() as session:
            health = f"http://127.0.0.1:{pool.backend.http_port}/api/health"
            assert (await session.get(health)).status == 200
        assert run(application_url, "revoke", farmer["id"]).returncode == 0

        async def refused() -> bool:
            code = await farmers_status(pool.backend, farmer["token"], first.farmer_id)
            return code is grpc.StatusCode.UNAUTHENTICATED

        await pool.eventually(refused)
    dump = str(query("SELECT t FROM access_tokens AS t"))
    assert pooler["token"] not in dump


def test_command_lists_and_refuses(application_url: str) -> None:
    token = made(application_url, "--role", "operator", "--days", "1")
    listed = json.loads(run(application_url, "list", "--json").stdout)
    assert listed == [{name: value for name, value in token.items() if name != "token"}]
    shown = run(application_url, "create", "--label", "x", "--role", "pooler")
    assert shown.stdout.startswith("kale_")
    assert shown.stdout.strip() not in run(application_url, "list").stdout
    for words, message in (
        (("create", "--label", "x", "--role", "farmer"), "names its farmer"),
        (("create", "--label", "x", "--role", "pooler", "--scope", "money"), "money is not for a pooler"),
        (("create", "--label", "", "--role", "pooler"), "1 to 100 printable characters"),
        (("revoke", "7"), "not a UUID"),
        (("revoke", "00000000-0000-4000-8000-000000000000"), "no token has the id"),
        (
            ("create", "--label", "x", "--role", "farmer", "--farmer", "00000000-0000-4000-8000-000000000000"),
            "no farmer",
        ),
    ):
        done = run(application_url, *words)
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr
