"""The vault: sealed seeds open for their own farmer only, and never show."""

import copy
import hashlib
import os
import pickle
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stellar_sdk import Keypair, StrKey

from backend.domain.farmer import FarmerKey
from backend.domain.signing import SigningRules
from backend.errors import KeyFileError, SealedSeedError
from backend.vault import FileVault, create_key_file
from backend.vault.sealing import SealingKey, SeedOwner

PASSPHRASE = "Test SDF Network ; September 2015"
RULES = SigningRules(
    passphrase=PASSPHRASE,
    farm_id=StrKey.encode_contract(bytes(32)),
    token_id=StrKey.encode_contract(bytes(31) + b"\1"),
    asset_code="KALE",
    asset_issuer=StrKey.encode_ed25519_public_key(bytes(32)),
    sponsor=StrKey.encode_ed25519_public_key(bytes(31) + b"\1"),
)
DIGEST = hashlib.sha256(b"a transaction").digest()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "sealing.key"
    create_key_file(path)
    return path


@pytest.fixture
def vault(key_file: Path) -> FileVault:
    return FileVault.open(key_file, RULES)


async def test_signature_is_that_of_the_farmers_address(vault: FileVault) -> None:
    key = await vault.create(uuid4())
    signer = vault.signer(key)
    hint, signature = signer.signature(DIGEST)
    public = Keypair.from_public_key(key.address)
    public.verify(DIGEST, signature)
    assert hint == public.signature_hint()
    assert signer.address == key.address
    assert key.public_key == public.raw_public_key().hex()


async def test_seed_opens_after_a_restart(vault: FileVault, key_file: Path) -> None:
    key = await vault.create(uuid4())
    again = FileVault.open(key_file, RULES)
    assert again.signer(key).signature(DIGEST) == vault.signer(key).signature(DIGEST)


async def test_two_farmers_get_different_keys(vault: FileVault) -> None:
    assert (await vault.create(uuid4())).address != (await vault.create(uuid4())).address


def swapped_seed(key: FarmerKey, other: FarmerKey) -> FarmerKey:
    return replace(key, sealed_seed=other.sealed_seed)


def swapped_wallet(key: FarmerKey, other: FarmerKey) -> FarmerKey:
    return replace(other, farmer_id=key.farmer_id)


def swapped_address(key: FarmerKey, other: FarmerKey) -> FarmerKey:
    return replace(key, address=other.address)


def flipped_bit(position: int) -> Callable[[FarmerKey, FarmerKey], FarmerKey]:
    def change(key: FarmerKey, _other: FarmerKey) -> FarmerKey:
        sealed = bytearray(key.sealed_seed)
        sealed[position] ^= 1
        return replace(key, sealed_seed=bytes(sealed))

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (swapped_seed, "belongs to another farmer or network"),
        (swapped_wallet, "belongs to another farmer or network"),
        (swapped_address, "address is not that of its public key"),
        (lambda key, _: replace(key, key_version=2), "belongs to another farmer or network"),
        (lambda key, _: replace(key, public_key="00" * 32), "belongs to another farmer or network"),
        (lambda key, _: replace(key, public_key="not hex"), "cannot be used"),
        (flipped_bit(0), "not a sealed seed of a known format"),
        (flipped_bit(3), "sealed under another key"),
        (flipped_bit(10), "tampered with"),
        (flipped_bit(30), "tampered with"),
        (flipped_bit(64), "tampered with"),
        (lambda key, _: replace(key, sealed_seed=key.sealed_seed[:-1]), "not a sealed seed of a known format"),
        (lambda key, _: replace(key, sealed_seed=b""), "not a sealed seed of a known format"),
    ],
)
async def test_changed_row_is_refused(
    vault: FileVault, change: Callable[[FarmerKey, FarmerKey], FarmerKey], problem: str
) -> None:
    key, other = await vault.create(uuid4()), await vault.create(uuid4())
    with pytest.raises(SealedSeedError, match=problem) as caught:
        vault.signer(change(key, other))
    assert caught.value.farmer_id == str(key.farmer_id)


async def test_seed_of_another_network_is_refused(vault: FileVault, key_file: Path) -> None:
    key = await vault.create(uuid4())
    mainnet = FileVault.open(key_file, replace(RULES, passphrase="Public Global Stellar Network ; September 2015"))
    with pytest.raises(SealedSeedError, match="network"):
        mainnet.signer(key)


async def test_other_key_file_is_named_as_the_cause(vault: FileVault, tmp_path: Path) -> None:
    key = await vault.create(uuid4())
    create_key_file(tmp_path / "other.key")
    with pytest.raises(SealedSeedError, match="sealed under another key than the one in KEY_FILE"):
        FileVault.open(tmp_path / "other.key", RULES).signer(key)


def test_seed_that_is_not_the_public_keys_is_refused() -> None:
    sealing = SealingKey(os.urandom(32))
    farmer_id, public_key = uuid4(), os.urandom(32)
    sealed = sealing.seal(os.urandom(32), SeedOwner(farmer_id, public_key, 1, PASSPHRASE))
    key = FarmerKey(farmer_id, StrKey.encode_ed25519_public_key(public_key), public_key.hex(), sealed, 1)
    with pytest.raises(SealedSeedError, match="not the seed of the farmer's public key"):
        FileVault(sealing, RULES).signer(key)


def test_sealing_the_same_seed_twice_shows_nothing_in_common() -> None:
    sealing = SealingKey(bytes(32))
    owner = SeedOwner(UUID(int=1), bytes(32), 1, PASSPHRASE)
    first, second = sealing.seal(bytes(32), owner), sealing.seal(bytes(32), owner)
    assert first[5:] != second[5:]
    assert len(first) == 65


async def test_seed_shows_in_no_text_and_no_row(vault: FileVault, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = bytes(range(32))
    monkeypatch.setattr("backend.vault.file_vault.os.urandom", lambda size: seed[:size])
    key = await vault.create(uuid4())
    monkeypatch.undo()
    assert Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex() == key.public_key
    shown = repr([key, vault, vault.signer(key), vault._key]).encode() + key.sealed_seed
    for form in (seed, seed.hex().encode(), StrKey.encode_ed25519_secret_seed(seed).encode()):
        assert form not in shown
    with pytest.raises(SealedSeedError) as caught:
        vault.signer(replace(key, farmer_id=uuid4()))
    assert seed.hex() not in str(caught.value)


@pytest.mark.parametrize("spread", [pickle.dumps, copy.copy])
async def test_keys_are_not_copied_out_of_the_process(vault: FileVault, spread: Callable[[object], object]) -> None:
    for secret in (vault.signer(await vault.create(uuid4())), vault._key):
        with pytest.raises(TypeError, match="never pickled"):
            spread(secret)


def test_key_file_is_for_its_owner_only_and_random(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        create_key_file(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_bytes()) == 32
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_existing_key_file_is_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(KeyFileError, match="exists and is left as it is"):
        create_key_file(key_file)
    assert key_file.read_bytes() == before


def test_key_file_in_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot write .*: No such file"):
        create_key_file(tmp_path / "nowhere" / "key")


def test_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="does not exist; make it with `kale-backend key create`"):
        FileVault.open(tmp_path / "none", RULES)


@pytest.mark.parametrize(("content", "problem"), [(b"", "0 bytes"), (b"k" * 31, "31 bytes"), (b"k" * 33, "more")])
def test_key_file_of_the_wrong_length_is_refused(key_file: Path, content: bytes, problem: str) -> None:
    key_file.write_bytes(content)
    with pytest.raises(KeyFileError, match=f"must hold 32 bytes but holds {problem}") as caught:
        FileVault.open(key_file, RULES)
    assert "kkk" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyFileError, match="run chmod 600"):
        FileVault.open(key_file, RULES)


def test_key_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot read .*directory"):
        FileVault.open(tmp_path, RULES)
