"""`kale-pooler` as a user runs it: exit codes, one-line errors, a clean end."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devnet.server import DevnetServer
from kale_chain.tx import Signer
from pooler.chain.accounts import FeeAccount
from pooler.keyfile import create_key_file
from tests.fixtures.devnet import closing
from tests.fixtures.farmyard import Farmyard
from tests.fixtures.pool_service import PoolService

SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Command:
    """`python -m pooler` with the settings of one test."""

    def __init__(self, directory: Path, devnet: DevnetServer) -> None:
        self.directory = directory
        self.env = {
            "STELLAR_NETWORK": "local",
            "STELLAR_RPC_URL": devnet.url,
            "STELLAR_NETWORK_PASSPHRASE": devnet.scenario.passphrase,
            "KALE_CONTRACT_ID": devnet.scenario.farm_id,
            "FEE_ACCOUNT_SECRET_FILE": str(directory / "fee.key"),
            "STATE_DIRECTORY": str(directory / "state"),
            "BACKEND_API_URL": "http://127.0.0.1:9",
            "MAX_WORK_PROCESSES": "3",
            "MACHINE_CPU_CORES": "1",
            "LEDGER_POLL_MS": "20",
            "PORT": "0",
            "HTTP_PORT": "0",
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pooler", *arguments),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200", **self.env},
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> Ended:
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), SECONDS)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def json(self, *arguments: str) -> Any:
        ended = await self.run(*arguments, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
        """A pooler that is ready, and its "ready" line."""
        process = await self.start("run")
        assert process.stderr is not None
        try:
            async with asyncio.timeout(SECONDS):
                lines = []
                while line := await process.stderr.readline():
                    lines.append(line.decode())
                    record = json.loads(line) if line.startswith(b"{") else {}
                    if record.get("event") == "ready":
                        yield process, record
                        break
                else:
                    pytest.fail("it ended before it was ready:\n" + "".join(lines))
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


@pytest.fixture
def command(tmp_path: Path, devnet: DevnetServer) -> Command:
    return Command(tmp_path, devnet)


@pytest.fixture
def payer(command: Command) -> Signer:
    """The fee account, whose key file is in its place."""
    return create_key_file(command.directory / "fee.key")


@pytest.fixture
async def funded(command: Command, payer: Signer, farmyard: Farmyard) -> Command:
    account = FeeAccount(farmyard.rpc, farmyard.identity, payer=payer, count=3, poll_seconds=0.01)
    async with closing(farmyard.devnet):
        await account.fund()
        await account.create_missing()
    return command


async def test_accounts_are_created_funded_and_shown(command: Command, devnet: DevnetServer) -> None:
    created = await command.json("accounts", "create")
    assert (created["balance_stroops"], created["channels"], created["channels_missing"]) == (None, 0, 3)
    assert (command.directory / "fee.key").stat().st_mode & 0o777 == 0o600
    async with closing(devnet):
        funded = await command.json("accounts", "fund")
        again = await command.json("accounts", "create")
    assert (funded["channels"], funded["channels_missing"], funded["needed_stroops"]) == (3, 0, 0)
    assert again["fee_account"] == created["fee_account"]
    shown = await command.run("accounts", "show")
    assert created["fee_account"] in shown.out
    assert "3 on the ledger" in shown.out


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_pooler_cleanly(funded: Command, name: signal.Signals) -> None:
    async with funded.running() as (process, ready):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{ready['http_port']}/pooler/status") as answer,
        ):
            assert set(await answer.json()) == {
                "status",
                "currentBlock",
                "activeFarmers",
                "workProcesses",
                "machineLoad",
            }
        process.send_signal(name)
        _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, err.decode()
    assert "Traceback" not in err.decode()
    secret = (funded.directory / "fee.key").read_text().strip()
    assert secret not in err.decode()


async def test_a_second_pooler_with_the_same_state_is_refused(funded: Command) -> None:
    async with funded.running():
        ended = await funded.run("run")
    assert ended.code == 2
    assert "STATE_DIRECTORY" in ended.err
    assert "in use" in ended.err


async def test_check_tells_what_is_missing(funded: Command, pool_service: PoolService) -> None:
    ended = await funded.run("check", "--json")
    assert ended.code == 3
    found = {one["name"]: one["ok"] for one in json.loads(ended.out)}
    assert found == {"hash engine": True, "farm": True, "fee account": True, "backend": False}
    funded.env["BACKEND_API_URL"] = pool_service.url
    ended = await funded.run("check")
    assert ended.code == 0, ended.out
    assert "FAILED" not in ended.out


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"STELLAR_NETWORK_PASSPHRASE": "another network"}, 2, "wrong network"),
        ({"KALE_CONTRACT_ID": "token"}, 2, "is the token contract of KALE:"),
        ({"KALE_CONTRACT_ID": "nonsense"}, 2, "is not a contract id"),
        ({"STELLAR_RPC_URL": "http://127.0.0.1:9"}, 3, "STELLAR_RPC_URL: getNetwork at http://127.0.0.1:9"),
        ({"FEE_ACCOUNT_SECRET_FILE": ""}, 2, "FEE_ACCOUNT_SECRET: is not set"),
        ({"HASH_KERNEL": "abacus"}, 2, "HASH_KERNEL"),
        ({"BIND_ADDRESS": "0.0.0.0"}, 2, "BIND_ADDRESS: 0.0.0.0 is not a loopback address"),  # noqa: S104
        ({"MAX_WORK_PROCESSES": "0"}, 2, "MAX_WORK_PROCESSES"),
    ],
)
@pytest.mark.usefixtures("payer")
async def test_a_mistake_is_one_line_and_an_exit_code(
    command: Command, devnet: DevnetServer, change: dict[str, str], code: int, told: str
) -> None:
    change = {name: devnet.scenario.token_id if value == "token" else value for name, value in change.items()}
    command.env |= change
    ended = await command.run("run")
    assert ended.code == code, ended.err
    (line,) = [line for line in ended.err.splitlines() if line.startswith("kale-pooler: ")]
    assert told in line
    assert "Traceback" not in ended.err


async def test_a_fee_account_without_funds_is_told_with_the_amount(command: Command, payer: Signer) -> None:
    ended = await command.run("run")
    assert ended.code == 3
    assert f"send 5 XLM to the fee account {payer.address}" in ended.err


@pytest.mark.usefixtures("payer")
async def test_a_key_file_that_others_can_read_is_refused(command: Command) -> None:
    (command.directory / "fee.key").chmod(0o644)
    ended = await command.run("accounts", "show")
    assert ended.code == 2
    assert "chmod 600" in ended.err
    assert (command.directory / "fee.key").read_text().strip() not in ended.err
