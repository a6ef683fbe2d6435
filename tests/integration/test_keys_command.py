"""`kale-backend keys` over a real database: rotation moves every seed, once, and says what it did."""

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from stellar_sdk import StrKey

from backend.domain.farmer import FarmerKey, NewFarmer
from backend.domain.signing import SigningRules
from backend.ports.stores import Stores
from backend.vault import FileKeys, KeyRing, Seeds, create_key_file
from backend.vault.client import RemoteVault
from backend.vault.process import SignerProcess
from kale_chain.xdr import keys as ledger_keys
from tests.fixtures.stores import Query

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "Standalone Network ; February 2017"
NOWHERE = "http://127.0.0.1:1"

Keys = Callable[..., Any]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    create_key_file(tmp_path / "seal.key")
    return tmp_path / "seal.key"


@pytest.fixture
def seeds(key_file: Path) -> Seeds:
    return Seeds(KeyRing([FileKeys(key_file)]), PASSPHRASE)


@pytest.fixture
def environment(database_url: str, application_url: str, key_file: Path) -> dict[str, str]:
    """What the command reads; no ledger is needed."""
    return {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": application_url,
        "DATABASE_OWNER_URL": database_url,
        "STELLAR_NETWORK": "local",
        "STELLAR_RPC_URL": NOWHERE,
        "STELLAR_NETWORK_PASSPHRASE": PASSPHRASE,
        "KALE_CONTRACT_ID": StrKey.encode_contract(bytes(32)),
        "KEY_FILE": str(key_file),
    }


@pytest.fixture
def keys(environment: dict[str, str], tmp_path: Path) -> Keys:
    """Runs `kale-backend keys`: the JSON it prints, or what it complains about where another exit code is awaited."""

    async def run(*arguments: str, code: int = 0, **changes: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend", "keys", *arguments),
            env=environment | changes,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), timeout=120)
        assert process.returncode == code, errors.decode()
        return json.loads(output) if "--json" in arguments else output.decode() + errors.decode()

    return run


@pytest.fixture
async def farmers(stores: Stores, seeds: Seeds) -> Sequence[FarmerKey]:
    """A few more farmers than one batch holds."""
    made = [seeds.create(uuid4()) for _ in range(103)]
    for key in made:
        await stores.farmers.create(NewFarmer(key, str(key.farmer_id)))
    return made


def stored(query: Query) -> list[FarmerKey]:
    rows = query("SELECT id, wallet_address, public_key, sealed_seed, key_version FROM farmers ORDER BY id")
    return [FarmerKey(*row[:3], bytes(row[3]), row[4]) for row in rows]


async def test_rotation_moves_every_seed_to_a_new_key(
    keys: Keys, query: Query, key_file: Path, farmers: Sequence[FarmerKey]
) -> None:
    assert await keys("rotate", "--json") == {"version": 2, "created": True, "rewrapped": len(farmers)}
    await asyncio.to_thread(key_file.unlink)
    moved = await asyncio.to_thread(stored, query)
    assert {key.farmer_id for key in moved} == {key.farmer_id for key in farmers}
    fresh = Seeds(KeyRing([FileKeys(key_file)]), PASSPHRASE)
    for key in moved:
        assert key.key_version == 2
        assert fresh.signer(key).address == key.address
    (count,) = await asyncio.to_thread(
        query, "SELECT count(*), min(old_key_version), max(new_key_version) FROM seed_rewraps"
    )
    assert count == (len(farmers), 1, 2)


async def test_broken_off_rotation_is_finished_without_another_key(
    keys: Keys, key_file: Path, farmers: Sequence[FarmerKey]
) -> None:
    KeyRing([FileKeys(key_file)]).create()
    assert await keys("rotate", "--json") == {"version": 2, "created": False, "rewrapped": len(farmers)}
    assert [one["seeds"] for one in await keys("status", "--json")] == [0, len(farmers)]


async def test_rotation_stops_at_a_seed_that_does_not_open(
    keys: Keys, stores: Stores, seeds: Seeds, query: Query
) -> None:
    good, bad = seeds.create(uuid4()), seeds.create(uuid4())
    swapped = FarmerKey(bad.farmer_id, bad.address, bad.public_key, good.sealed_seed, 1)
    for key in (good, swapped):
        await stores.farmers.create(NewFarmer(key, str(key.farmer_id)))
    assert str(bad.farmer_id) in await keys("rotate", code=1)
    assert {key.key_version for key in await asyncio.to_thread(stored, query)} == {1}
    found = await keys("verify", "--json", code=1)
    assert found["opened"] == 1
    assert [one["farmer_id"] for one in found["unopened"]] == [str(bad.farmer_id)]


async def test_status_misses_a_key_that_is_gone(keys: Keys, key_file: Path, farmers: Sequence[FarmerKey]) -> None:
    assert await keys("verify", "--json") == {"opened": len(farmers), "unopened": []}
    await asyncio.to_thread(key_file.unlink)
    found = await keys("status", "--json", code=1)
    assert found == [{"version": 1, "place": None, "current": False, "seeds": len(farmers)}]
    assert "kale-backend key create" in await keys("rotate", code=2)


async def test_application_role_cannot_rotate(
    keys: Keys, environment: dict[str, str], query: Query, farmers: Sequence[FarmerKey]
) -> None:
    refused = await keys("rotate", code=1, DATABASE_OWNER_URL=environment["DATABASE_URL"])
    assert "permission denied" in refused
    assert {key.key_version for key in await asyncio.to_thread(stored, query)} == {1}
    assert len(farmers) == 103


async def test_keys_move_into_a_device_and_out_of_it(
    keys: Keys, device: dict[str, str], key_file: Path, farmers: Sequence[FarmerKey]
) -> None:
    assert await keys("rotate", "--json", **device) == {"version": 2, "created": True, "rewrapped": len(farmers)}
    await asyncio.to_thread(key_file.unlink)
    assert await keys("verify", "--json", **device) == {"opened": len(farmers), "unopened": []}
    (version,) = await keys("status", "--json", **device)
    assert version == {"version": 2, "place": "PKCS#11 token test", "current": True, "seeds": len(farmers)}
    again = {"version": 3, "created": True, "rewrapped": len(farmers)}
    assert await keys("rotate", "--json", "--to", "file", **device) == again
    assert await keys("verify", "--json") == {"opened": len(farmers), "unopened": []}


async def test_seed_wrapped_by_a_device_is_bound_to_its_farmer(
    keys: Keys, device: dict[str, str], stores: Stores, seeds: Seeds, query: Query
) -> None:
    for key in [seeds.create(uuid4()) for _ in range(2)]:
        await stores.farmers.create(NewFarmer(key, str(key.farmer_id)))
    await keys("rotate", **device)
    await asyncio.to_thread(
        query,
        "ALTER TABLE farmers DISABLE TRIGGER USER; "
        "UPDATE farmers AS one SET sealed_seed = other.sealed_seed FROM farmers AS other WHERE one.id <> other.id",
    )
    found = await keys("verify", "--json", code=1, **device)
    assert found["opened"] == 0
    assert all("belongs to another farmer" in one["problem"] for one in found["unopened"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"PKCS11_TOKEN": "none"}, "NoSuchToken"),
        ({"PKCS11_MODULE": "/nonexistent.so"}, "cannot open shared object file"),
        ({"PKCS11_PIN_FILE": "", "PKCS11_PIN": "9999"}, "PinIncorrect"),
        ({"PKCS11_PIN_FILE": ""}, "PKCS11_PIN: is not set"),
    ],
)
async def test_device_that_cannot_be_used_is_told(
    keys: Keys, device: dict[str, str], change: dict[str, str], said: str
) -> None:
    complaint = await keys("rotate", code=2, **(device | change))
    assert said in complaint
    assert "9999" not in complaint


async def test_signer_uses_a_device(
    environment: dict[str, str], device: dict[str, str], farmers: Sequence[FarmerKey], keys: Keys
) -> None:
    await keys("rotate", **device)
    settings = {name: environment[name] for name in ("PYTHONPATH", "KEY_FILE", "STELLAR_NETWORK", "KALE_CONTRACT_ID")}
    master = farmers[0].address
    async with SignerProcess(
        settings | device | {"STELLAR_NETWORK_PASSPHRASE": PASSPHRASE, "MASTER_WALLET_ADDRESS": master}
    ) as process:
        farm, token = environment["KALE_CONTRACT_ID"], ledger_keys.token_id("KALE", master, PASSPHRASE)
        vault = RemoteVault(process.path, SigningRules(PASSPHRASE, farm, token, "KALE", master, master))
        key = await vault.create(uuid4())
        await vault.close()
    assert key.key_version == 2


@pytest.fixture
def passphrase_file(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    path.write_text("correct horse battery staple\n")
    return str(path)


async def test_two_backups_bring_every_key_back(
    keys: Keys, key_file: Path, tmp_path: Path, passphrase_file: str, farmers: Sequence[FarmerKey]
) -> None:
    sealed, kek, passphrase = tmp_path / "sealed.json", tmp_path / "kek.json", ("--passphrase-file", passphrase_file)
    assert await keys("export-sealed", str(sealed), "--json") == {"seeds": len(farmers), "key_versions": [1]}
    assert await keys("export-kek", str(kek), *passphrase, "--json") == {"key_versions": [1], "in_device": []}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (sealed, kek)} == {0o600}
    key = await asyncio.to_thread(key_file.read_bytes)
    assert key.hex() not in await asyncio.to_thread(kek.read_text)
    both = ("--sealed", str(sealed), "--kek", str(kek), *passphrase, "--json")
    passed = {"opened": len(farmers), "unopened": [], "not_backed_up": [], "passed": True}
    assert await keys("drill", *both) == passed
    await asyncio.to_thread(key_file.unlink)
    assert await keys("import-kek", str(kek), *passphrase, "--json") == {"restored": [1]}
    assert await asyncio.to_thread(key_file.read_bytes) == key
    assert await keys("import-kek", str(kek), *passphrase, "--json") == {"restored": []}


async def test_drill_fails_for_what_the_backups_lack(
    keys: Keys, stores: Stores, seeds: Seeds, key_file: Path, passphrase_file: str
) -> None:
    tmp_path = key_file.parent
    sealed, kek, passphrase = tmp_path / "sealed.json", tmp_path / "kek.json", ("--passphrase-file", passphrase_file)
    await keys("export-kek", str(kek), *passphrase)
    KeyRing([FileKeys(key_file)]).create()
    early, late = seeds.create(uuid4()), seeds.create(uuid4())
    await stores.farmers.create(NewFarmer(early, "early"))
    await keys("export-sealed", str(sealed))
    await stores.farmers.create(NewFarmer(late, "late"))
    both = ("--sealed", str(sealed), "--kek", str(kek), *passphrase, "--json")
    found = await keys("drill", *both, code=1)
    assert found["opened"] == 0
    assert "version 2 is nowhere to be found" in found["unopened"][0]["problem"]
    assert found["not_backed_up"] == [late.address]
    assert "cannot write" in await keys("export-kek", str(kek), *passphrase, code=2)
