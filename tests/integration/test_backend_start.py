"""What `kale-backend` says, and with which exit code, when it cannot start; nothing of it shows a secret."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.vault import create_key_file
from devnet.server import DevnetServer

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "127.0.0.1:1"
Settings = dict[str, str]


@pytest.fixture
def settings(devnet: DevnetServer, database_url: str, tmp_path: Path) -> Settings:
    """A good environment."""
    key_file = tmp_path / "seal.key"
    create_key_file(key_file)
    scenario = devnet.scenario
    return {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database_url,
        "STELLAR_NETWORK": "local",
        "STELLAR_RPC_URL": devnet.url,
        "STELLAR_NETWORK_PASSPHRASE": scenario.passphrase,
        "KALE_CONTRACT_ID": scenario.farm_id,
        "MASTER_WALLET_ADDRESS": scenario.master.public_key,
        "MASTER_WALLET_SECRET": scenario.master.secret,
        "KEY_FILE": str(key_file),
        "PORT": "0",
        "HTTP_PORT": "0",
    }


async def cli(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `kale-backend`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backend",
        *arguments,
        env=settings,
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), timeout=60)
    return process.returncode or 0, output.decode(), errors.decode()


def wrong(devnet: DevnetServer) -> dict[str, tuple[Settings, int, str]]:
    """What is changed in the environment, the exit code, and a part of what is said."""
    scenario = devnet.scenario
    return {
        "token as farm": ({"KALE_CONTRACT_ID": scenario.token_id}, 2, "is the token contract of"),
        "no contract id": ({"KALE_CONTRACT_ID": "CABC"}, 2, "is not a contract id"),
        "no such contract": (
            {"KALE_CONTRACT_ID": "CDL74RF5BLYR2YBLCCI7F5FB6TPSCLKEJUBSD2RSVWZ4YHF3VMFAIGWA"},
            2,
            "there is no contract",
        ),
        "wrong passphrase": ({"STELLAR_NETWORK_PASSPHRASE": "Another Network"}, 2, "wrong network"),
        "RPC out of reach": ({"STELLAR_RPC_URL": f"http://{NOWHERE}"}, 3, "STELLAR_RPC_URL"),
        "database out of reach": ({"DATABASE_URL": f"postgresql://u:hidden@{NOWHERE}/d"}, 3, "database"),
        "missing key file": ({"KEY_FILE": "/nonexistent/seal.key"}, 2, "kale-backend key create"),
        "wrong master": ({"MASTER_WALLET_ADDRESS": scenario.faucet.public_key}, 2, "MASTER_WALLET_SECRET"),
        "public address": ({"BIND_ADDRESS": "0.0.0.0"}, 2, "set TLS_CERTIFICATE"),  # noqa: S104  (its refusal is the test)
        "missing setting": ({"DATABASE_URL": ""}, 2, "DATABASE_URL"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "token as farm",
        "no contract id",
        "no such contract",
        "wrong passphrase",
        "RPC out of reach",
        "database out of reach",
        "missing key file",
        "wrong master",
        "public address",
        "missing setting",
    ],
)
async def test_wrong_setting_ends_the_start_with_one_clear_line(
    devnet: DevnetServer, settings: Settings, case: str
) -> None:
    changes, code, text = wrong(devnet)[case]
    exit_code, output, errors = await cli(settings | changes, "run")
    said = [line for line in errors.splitlines() if line.startswith("kale-backend: ")]
    assert exit_code == code, errors
    assert len(said) == 1, errors
    assert text in said[0]
    assert settings["MASTER_WALLET_SECRET"] not in output + errors
    assert "hidden" not in output + errors


async def test_unmigrated_database_is_told_how_to_be_migrated(settings: Settings, empty_database_url: str) -> None:
    environment = settings | {"DATABASE_URL": empty_database_url}
    code, _, errors = await cli(environment, "run")
    assert code == 2
    assert "migrate" in errors
    code, output, errors = await cli(environment, "migrate", "--json")
    assert code == 0, errors
    assert json.loads(output)["applied"][:2] == ["001_initial_schema.sql", "002_indexes.sql"]
    code, output, _ = await cli(environment, "migrate")
    assert (code, "up to date" in output) == (0, True)


async def test_check_looks_at_everything(settings: Settings) -> None:
    code, output, errors = await cli(settings, "check", "--json")
    assert code == 0, errors
    found: list[dict[str, Any]] = json.loads(output)
    assert {one["name"]: one["ok"] for one in found} == {
        "database": True,
        "books": True,
        "keys": True,
        "farm": True,
        "master account": True,
        "channel accounts": True,
    }
    code, output, _ = await cli(settings | {"STELLAR_RPC_URL": f"http://{NOWHERE}"}, "check", "--json")
    assert code == 3
    assert {one["name"] for one in json.loads(output) if not one["ok"]} == {
        "farm",
        "master account",
        "channel accounts",
    }


async def test_check_tells_of_a_quarantine(settings: Settings) -> None:
    code, _, errors = await cli(settings, "quarantine", "begin", "--reason", "a test")
    assert code == 0, errors
    code, output, _ = await cli(settings, "check", "--json")
    assert code == 3
    (failed,) = [one for one in json.loads(output) if not one["ok"]]
    assert failed == {
        "name": "database",
        "ok": False,
        "detail": "in quarantine, nothing is signed: begun by an operator: a test",
    }


async def test_key_is_made_once(settings: Settings, tmp_path: Path) -> None:
    environment = settings | {"KEY_FILE": str(tmp_path / "new.key")}
    code, output, _ = await cli(environment, "key", "create", "--json")
    assert (code, json.loads(output)) == (0, {"key_file": str(tmp_path / "new.key")})
    code, _, errors = await cli(environment, "key", "create")
    assert code == 2
    assert "exists" in errors


async def test_serves_until_asked_to_stop_and_ends_with_0(settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend", "run", env=settings, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    events = []
    async with asyncio.timeout(60):
        async for line in process.stderr:
            record = json.loads(line)
            events.append(record["event"])
            if record["event"] == "ready":
                assert record["grpc_port"] > 0
                assert record["http_port"] > 0
                process.terminate()
        assert await process.wait() == 0
    assert events[-1] == "stopped"
