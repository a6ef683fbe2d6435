"""`kale-pooler` as a user runs it: exit codes, one-line errors, a clean end."""

import asyncio
import json
import signal

import aiohttp
import pytest

from devnet.server import DevnetServer
from kale_chain.tx import Signer
from tests.fixtures.devnet import closing
from tests.fixtures.pool_service import PoolService
from tests.fixtures.pooler_command import SECONDS, Command


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
