"""`kale-devnet` as a process."""

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from stellar_sdk import Keypair, SorobanServer


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "devnet", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


@contextlib.asynccontextmanager
async def ledger(*arguments: str, stop: signal.Signals = signal.SIGTERM) -> AsyncIterator[dict[str, Any]]:
    """The record a running ledger printed; leaving stops it and checks that it ended cleanly and silently."""
    process = await start("--json", "--port", "0", *arguments)
    assert process.stdout
    try:
        yield json.loads(await process.stdout.readline())
        process.send_signal(stop)
        rest = await process.communicate()
        assert (process.returncode, rest) == (0, (b"", b""))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_json_line_tells_all_and_a_signal_ends_it_cleanly(stop: signal.Signals) -> None:
    async with ledger("--close-seconds", "0.05", "--neighbours", "2", stop=stop) as facts:
        assert facts["event"] == "ready"
        assert Keypair.from_secret(facts["master_secret"]).public_key == facts["master_address"]
        assert Keypair.from_secret(facts["faucet_secret"]).public_key == facts["faucet_address"]
        assert len(facts["neighbours"]) == 2
        with SorobanServer(facts["rpc_url"]) as rpc:
            passphrase = (await asyncio.to_thread(rpc.get_network)).passphrase
            assert passphrase == facts["passphrase"]
            # The clock runs by itself.
            while (await asyncio.to_thread(rpc.get_health)).latest_ledger <= facts["latest_ledger"]:
                pass


async def test_halted_ledger_ends_though_somebody_waits_for_it() -> None:
    somebody = {"addr": Keypair.random().public_key}
    async with aiohttp.ClientSession() as session:
        async with ledger("--close-seconds", "0.01") as facts:
            url = facts["rpc_url"]
            async with session.post(f"{url}/devnet/halt", json={"halted": True}) as answer:
                before = await answer.json()
            waiting = asyncio.create_task(session.get(facts["friendbot_url"], params=somebody))
            async with session.post(f"{url}/devnet/advance", json={"ledgers": 2}) as answer:
                after = await answer.json()
            # The timer may have been closing one when it was halted.
            assert after["sequence"] - before["sequence"] in {2, 3}
        with contextlib.suppress(aiohttp.ClientError):
            (await waiting).close()


async def test_text_says_what_the_secrets_are_worth() -> None:
    process = await start("--port", "0", "--close-seconds", "0")
    assert process.stdout
    text = b""
    while b"homesteader" not in text or len(re.findall(rb"\n    S[A-Z2-7]{55}\n", text)) < 4:
        text += await process.stdout.readline()
    process.terminate()
    await process.communicate()
    assert process.returncode == 0
    assert b"worth nothing outside this ledger" in text


async def test_state_is_saved_at_the_end(tmp_path: Path) -> None:
    arguments = "--close-seconds", "0.01", "--state", str(tmp_path / "ledger.db")
    async with ledger(*arguments) as first:
        pass
    async with ledger(*arguments) as second:
        assert second["latest_ledger"] >= first["latest_ledger"]
        assert second["farm_id"] == first["farm_id"]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--neighbour-zeros", "5-4"], 2, "neighbour"),
        (["--close-seconds", "-1"], 2, "close-seconds"),
        (["--farm-wasm", "nothing.wasm"], 1, "nothing.wasm"),
        (["--farm-wasm", __file__], 1, "upload the farm contract"),
        (["--state", "missing-folder/ledger.db"], 1, "missing-folder"),
    ],
)
async def test_wrong_options_say_what_is_wrong(arguments: list[str], code: int, reason: str) -> None:
    process = await start("--port", "0", *arguments)
    _, error = await process.communicate()
    assert process.returncode == code
    assert reason in error.decode()
    assert "Traceback" not in error.decode()


async def test_taken_port_says_so() -> None:
    async with ledger("--close-seconds", "0") as facts:
        process = await start("--port", facts["rpc_url"].rsplit(":", 1)[1])
        _, error = await process.communicate()
        assert process.returncode == 1
        assert b"in use" in error
