"""The signer as a process: it answers its own user alone, keeps to its rules, comes back, and ends with the backend."""

import asyncio
import hashlib
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
from stellar_sdk import Keypair, StrKey

from backend.config import KeysSettings, SignerSettings
from backend.domain.farmer import FarmerKey
from backend.domain.signing import MemoKind, PaymentLeg, PayoutIntent, PayoutMemo, PlantIntent, SigningRules
from backend.errors import (
    PolicyRefusedError,
    SealedSeedError,
    SignerRulesError,
    SignerUnavailableError,
    SigningCapError,
    VaultError,
)
from backend.keys import rotate
from backend.signer import agrees
from backend.vault import FileKeys, KeyRing, create_key_file
from backend.vault.client import RemoteVault
from backend.vault.journal import SigningJournal
from backend.vault.process import SignerProcess
from backend.vault.server import SignerServer
from kale_chain.model import FarmIdentity
from kale_chain.tx import Bounds, ClassicCalls, FarmCalls, Signer, Transaction
from kale_chain.xdr import keys as ledger_keys
from tests.fixtures.backend import StartBackend
from tests.fixtures.farming import DEPOSIT, request
from tests.fixtures.stores import Query

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "Standalone Network ; February 2017"
SPONSOR, ISSUER, FRIEND = (Signer.from_seed(bytes([number]) * 32) for number in range(1, 4))
IDENTITY = FarmIdentity(
    farm_id=StrKey.encode_contract(b"f" * 32),
    token_id=ledger_keys.token_id("KALE", ISSUER.address, PASSPHRASE),
    asset_code="KALE",
    asset_issuer=ISSUER.address,
    wasm_hash=bytes(32),
    homesteader=ISSUER.address,
    passphrase=PASSPHRASE,
)
RULES = SigningRules.of(IDENTITY, SPONSOR.address)
BOUNDS = Bounds(max_ledger=100)


def plant(key: FarmerKey, stake: int = 5) -> Transaction:
    return FarmCalls(IDENTITY).plant(farmer=key.address, stake=stake, block_index=1, sequence=1, bounds=BOUNDS)


def signed(key: FarmerKey, transaction: Transaction, signature: bytes) -> bool:
    Keypair.from_public_key(key.address).verify(transaction.digest, signature)
    return True


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    create_key_file(tmp_path / "seal.key")
    return {
        "PYTHONPATH": str(ROOT),
        "KEY_FILE": str(tmp_path / "seal.key"),
        "STELLAR_NETWORK": "local",
        "STELLAR_NETWORK_PASSPHRASE": PASSPHRASE,
        "KALE_CONTRACT_ID": IDENTITY.farm_id,
        "MASTER_WALLET_ADDRESS": SPONSOR.address,
    }


@pytest.fixture
async def process(environment: dict[str, str]) -> AsyncIterator[SignerProcess]:
    async with SignerProcess(environment) as running:
        yield running


@pytest.fixture
async def served(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Path]:
    """The socket of a signer inside the test, for what does not depend on its being a process."""
    settings = SignerSettings(_env_file=None, **{name.lower(): value for name, value in environment.items()})
    ring = KeyRing([FileKeys(settings.key_file)])
    server = SignerServer(tmp_path / "signer.sock", ring, SigningJournal(None, 0), agrees(settings), os.geteuid())
    await server.start()
    yield tmp_path / "signer.sock"
    await server.stop()


@pytest.fixture
async def vault(process: SignerProcess) -> AsyncIterator[RemoteVault]:
    remote = RemoteVault(process.path, RULES)
    yield remote
    await remote.close()


async def test_signer_makes_keys_signs_and_tells_its_errors_apart(vault: RemoteVault) -> None:
    keys = await asyncio.gather(*(vault.create(uuid4()) for _ in range(20)))
    plants = [plant(key) for key in keys]
    asked = (vault.sign(key, one.envelope_bytes, PlantIntent(5)) for key, one in zip(keys, plants, strict=True))
    for key, one, signature in zip(keys, plants, await asyncio.gather(*asked), strict=True):
        assert signed(key, one, signature)
    first, second = keys[:2]
    with pytest.raises(PolicyRefusedError, match="not a plant of 6 stroops"):
        await vault.sign(first, plants[0].envelope_bytes, PlantIntent(6))
    with pytest.raises(SealedSeedError, match="another farmer or network") as caught:
        await vault.sign(replace(first, sealed_seed=second.sealed_seed), plants[0].envelope_bytes, PlantIntent(5))
    assert caught.value.farmer_id == str(first.farmer_id)


async def test_every_intent_crosses_the_socket(vault: RemoteVault) -> None:
    key = await vault.create(uuid4())
    withdrawal = UUID(int=9)
    memo = hashlib.sha256(withdrawal.bytes).digest()
    payment = ClassicCalls(IDENTITY).payment(
        source=key.address, destination=FRIEND.address, stroops=7, sequence=1, bounds=BOUNDS, memo_hash=memo
    )
    approved = PayoutIntent(
        withdrawal, (PaymentLeg(FRIEND.address, 7),), PayoutMemo(MemoKind.HASH, memo.hex()), closes_account=False
    )
    assert signed(key, payment, await vault.sign(key, payment.envelope_bytes, approved))
    with pytest.raises(PolicyRefusedError, match="not those approved"):
        await vault.sign(key, payment.envelope_bytes, replace(approved, payments=(PaymentLeg(FRIEND.address, 8),)))


async def test_what_was_signed_away_binds_the_signer_after_a_restart(environment: dict[str, str]) -> None:
    async def paid(stroops: int, number: int) -> bytes:
        transaction = ClassicCalls(IDENTITY).payment(
            source=key.address, destination=FRIEND.address, stroops=stroops, sequence=number, bounds=BOUNDS
        )
        legs = (PaymentLeg(FRIEND.address, stroops),)
        intent = PayoutIntent(UUID(int=number), legs, PayoutMemo(MemoKind.NONE))
        return await vault.sign(key, transaction.envelope_bytes, intent)

    environment["SIGNER_DAY_STROOPS"] = "10"
    async with SignerProcess(environment) as process:
        vault = RemoteVault(process.path, RULES)
        key = await vault.create(uuid4())
        before = await paid(7, 1)
        with pytest.raises(SigningCapError, match="at most 10 stroops"):
            await paid(4, 2)
        await vault.close()
    async with SignerProcess(environment) as process:
        vault = RemoteVault(process.path, RULES)
        with pytest.raises(PolicyRefusedError, match="signed before with other terms"):
            await paid(3, 1)
        with pytest.raises(SigningCapError, match="and 7 were"):
            await paid(4, 2)
        assert await paid(7, 1) == before
        await vault.close()


async def test_signer_that_was_killed_comes_back_and_calls_do_not_notice(
    process: SignerProcess, vault: RemoteVault
) -> None:
    key = await vault.create(uuid4())
    before = process.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    one = plant(key)
    assert signed(key, one, await vault.sign(key, one.envelope_bytes, PlantIntent(5)))
    assert process.pid not in {None, before}


async def test_socket_and_environment_are_closed_to_others(process: SignerProcess, vault: RemoteVault) -> None:
    await vault.check()
    assert process.pid is not None
    assert stat.S_IMODE(process.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(process.path.parent.stat().st_mode) == 0o700
    environment = psutil.Process(process.pid).environ()
    assert "MASTER_WALLET_ADDRESS" in environment
    assert not any("SECRET" in name or "DATABASE" in name for name in environment)


async def test_signer_ends_with_the_process_that_started_it(environment: dict[str, str]) -> None:
    async with SignerProcess(environment) as process:
        pid, folder = process.pid, process.path.parent
        assert pid is not None
        child = psutil.Process(pid)
    assert not child.is_running()
    assert not folder.exists()


CRASH = """
import asyncio, json, os, signal, sys
from backend.vault.process import SignerProcess
async def main():
    signer = await SignerProcess(json.loads(sys.argv[1])).__aenter__()
    print(signer.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_signer_ends_when_the_backend_is_killed(environment: dict[str, str]) -> None:
    backend = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CRASH, json.dumps(environment)), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    printed, _ = await backend.communicate()
    with suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(int(printed)).wait, 30)


@pytest.mark.parametrize(
    "other",
    [
        replace(RULES, sponsor=FRIEND.address),
        replace(RULES, passphrase="another"),
        replace(RULES, farm_id=IDENTITY.token_id),
        replace(RULES, token_id=IDENTITY.farm_id),
        replace(RULES, stake_cap_stroops=2**62),
    ],
)
async def test_backend_with_other_rules_is_refused(served: Path, other: SigningRules) -> None:
    remote = RemoteVault(served, other)
    with pytest.raises(SignerRulesError, match="give both the same settings"):
        await remote.check()


async def test_first_rules_hold_until_the_end(served: Path) -> None:
    first = RemoteVault(served, RULES)
    await first.check()
    token = ledger_keys.token_id("KALE", FRIEND.address, PASSPHRASE)
    with pytest.raises(SignerRulesError, match="another client was here"):
        await RemoteVault(served, replace(RULES, asset_issuer=FRIEND.address, token_id=token)).check()
    await first.close()


async def test_signer_without_a_key_does_not_start(environment: dict[str, str]) -> None:
    with pytest.raises(SignerUnavailableError, match="did not start"):
        async with SignerProcess(environment | {"KEY_FILE": "/nonexistent/key"}):
            pass


async def test_missing_key_version_is_told(environment: dict[str, str], served: Path) -> None:
    vault = RemoteVault(served, RULES)
    await vault.check()
    await asyncio.to_thread(Path(environment["KEY_FILE"]).unlink)
    with pytest.raises(VaultError, match="kale-backend key create"):
        await vault.create(uuid4())
    await vault.close()


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        yield client


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\2{}",
        b"\0\0\0\1x",
        b'\0\0\0\x5c{"number":1,"create":"00000000-0000-0000-0000-000000000000","more":"\xe2\x80\xa6"}',
    ],
)
async def test_malformed_message_ends_the_connection_and_nothing_else(served: Path, frame: bytes) -> None:
    def send() -> bytes:
        with connected(served) as client, suppress(BrokenPipeError):
            client.sendall(frame.ljust(200, b" "))
            return client.recv(1)
        return b""

    assert await asyncio.to_thread(send) == b""
    vault = RemoteVault(served, RULES)
    assert await vault.create(uuid4())
    await vault.close()


async def test_call_before_hello_is_refused(served: Path) -> None:
    def ask() -> bytes:
        body = b'{"number":1,"create":"00000000-0000-0000-0000-000000000000"}'
        with connected(served) as client:
            client.sendall(len(body).to_bytes(4) + body)
            return client.recv(1000)

    assert b"no client has said which rules" in await asyncio.to_thread(ask)


async def test_other_users_are_not_answered(environment: dict[str, str], tmp_path: Path) -> None:
    ring = KeyRing([FileKeys(Path(environment["KEY_FILE"]))])
    server = SignerServer(tmp_path / "s", ring, SigningJournal(None, 0), lambda _: None, client_uid=os.geteuid() + 1)
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        assert await reader.read() == b""
        writer.close()
    finally:
        await server.stop()


async def test_socket_of_a_living_signer_is_not_taken(served: Path, environment: dict[str, str]) -> None:
    ring = KeyRing([FileKeys(Path(environment["KEY_FILE"]))])
    with pytest.raises(FileExistsError, match="another signer listens"):
        await SignerServer(served, ring, SigningJournal(None, 0), lambda _: None, os.geteuid()).start()


async def test_backend_plants_through_a_signer_of_its_own(start_backend: StartBackend) -> None:
    async with start_backend(signer_in_process=False) as pool:
        await pool.onboard(3, stroops=DEPOSIT)
        (child,) = [one for one in psutil.Process().children() if "backend.signer" in one.cmdline()]
        child.kill()
        _, summary = await pool.plant(request(await pool.open_block()))
        assert (summary.planted, summary.failed) == (3, 0)
    assert not [one for one in psutil.Process().children() if "backend.signer" in one.cmdline()]


async def test_keys_rotate_while_the_backend_plants(
    start_backend: StartBackend, backend_settings: dict[str, Any], database_url: str, query: Query
) -> None:
    owner = KeysSettings(_env_file=None, **(backend_settings | {"database_owner_url": database_url}))
    key_file: Path = backend_settings["key_file"]
    async with start_backend(signer_in_process=False) as pool:
        await pool.onboard(2, stroops=DEPOSIT)
        block = await pool.open_block()
        planting = asyncio.create_task(pool.plant(request(block)))
        done = await rotate(owner, lambda _: None)
        _, summary = await planting
        assert (done.rewrapped, summary.planted, summary.failed) == (2, 2, 0)
        await asyncio.to_thread(key_file.unlink)
        await pool.world.deposit((await pool.onboard(3))[2].wallet_address, DEPOSIT)
        _, summary = await pool.plant(request(await pool.open_block(), "r-2"))
        assert (summary.planted, summary.failed) == (3, 0)
    assert await asyncio.to_thread(query, "SELECT DISTINCT key_version FROM farmers") == [(2,)]
