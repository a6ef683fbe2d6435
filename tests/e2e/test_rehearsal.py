"""`kale-pool rehearse` against the local ledger: real services of its own, real deposits, go, and everybody leaves."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import Asset, Keypair

from devnet.demo.onboarding import deposit
from devnet.postgres import EmbeddedPostgres
from kale_common.processes import Service

ROOT = Path(__file__).resolve().parents[2]
STROOPS_PER_KALE = 10_000_000
FARMERS = 2
PATIENCE_SECONDS = 300

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE_SECONDS)]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """A local ledger with some neighbours, who open blocks."""
    options = ("--json", "--port", "0", "--close-seconds", "0.2", "--neighbours", "3")
    async with Service("ledger", "devnet", *options, env={}, directory=tmp_path) as service:
        yield service.record


def settings_of(ledger: dict[str, Any], server: EmbeddedPostgres) -> dict[str, str]:
    """What an operator would have in backend.env."""
    return {
        "STELLAR_RPC_URL": ledger["rpc_url"],
        "STELLAR_NETWORK_PASSPHRASE": f'"{ledger["passphrase"]}"',
        "KALE_CONTRACT_ID": ledger["farm_id"],
        "LEDGER_POLL_MS": "40",
        "DATABASE_URL": server.application_url,
        "DATABASE_OWNER_URL": server.url,
        "MASTER_WALLET_ADDRESS": ledger["master_address"],
        "MASTER_WALLET_SECRET": ledger["master_secret"],
    }


async def rehearse(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    """The command, started."""
    options = ("--network", "local", "--env-file", str(directory / "backend.env"), *arguments)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kale_console", "rehearse", *options),
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def addresses_asked_for(process: asyncio.subprocess.Process) -> list[str]:
    """The farmers that the command waits for to hold KALE."""
    found: list[str] = []
    assert process.stderr
    while len(found) < FARMERS:
        line = (await process.stderr.readline()).decode().strip()
        assert process.returncode is None, line
        if line.startswith("G"):
            found.append(line)
    return found


async def test_a_rehearsal_farms_compares_and_pays_everything_back(ledger: dict[str, Any], tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        lines = [f"{name}={value}" for name, value in settings_of(ledger, server).items()]
        (tmp_path / "backend.env").write_text("\n".join(lines))
        place = tmp_path / "rehearsal"
        back = Keypair.from_secret(ledger["faucet_secret"]).public_key
        process = await rehearse(
            tmp_path,
            *("--farmers", str(FARMERS), "--blocks", "1", "--deposit", "20", "--return-to", back),
            *("--directory", str(place), "--json"),
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            farmers = await addresses_asked_for(process)
            await deposit(
                ledger["rpc_url"],
                faucet_secret=ledger["faucet_secret"],
                asset=Asset(ledger["asset_code"], ledger["asset_issuer"]),
                passphrase=ledger["passphrase"],
                amounts=dict.fromkeys(farmers, 20 * STROOPS_PER_KALE),
            )
            printed, said = await process.communicate()
        told = json.loads(printed)
        assert (process.returncode, told["go"]) == (0, True), (told, said.decode())
        assert set(told["farmers"]) == set(farmers)
        lines_of = {(line["area"], line["name"]): line for line in told["lines"]}
        assert lines_of["results", "rewards, KALE"]["predicted"] == lines_of["results", "rewards, KALE"]["actual"]
        assert lines_of["fees", "plant, for resources, stroops"]["grade"] == "good"
        assert lines_of["resources", "plant, bytes written"]["actual"].startswith("1,560")
        assert said.decode().count("has left") == FARMERS
        again = await rehearse(tmp_path, "--directory", str(tmp_path / "another"))
        _, refused = await again.communicate()
        assert (again.returncode, b"a rehearsal needs an empty one" in refused) == (2, True), refused.decode()


async def test_mainnet_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / "backend.env").write_text("STELLAR_RPC_URL=http://127.0.0.1:9\n")
    process = await rehearse(tmp_path, "--network", "mainnet")
    _, said = await process.communicate()
    assert (process.returncode, b"--real-money" in said) == (2, True)
