"""`kale-backend keys` over a real database: rotation moves every seed, once, and says what it did."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from stellar_sdk import StrKey

from backend.domain.farmer import FarmerKey, NewFarmer
from backend.ports.stores import Stores
from backend.vault import FileKeys, KeyRing, Seeds, create_key_file
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
        output, errors = await asyncio.wait_for(process.communicate(), timeout=60)
        assert process.returncode == code, errors.decode()
        return json.loads(output) if output else errors.decode()

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
