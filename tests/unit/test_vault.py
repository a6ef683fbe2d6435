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
from backend.errors import KeyFileError, KeyMissingError, SealedSeedError
from backend.vault import FileKeys, KeyRing, Seeds, create_key_file, sealing
from backend.vault.file_keys import FileKey
from backend.vault.sealing import SeedOwner

PASSPHRASE = "Test SDF Network ; September 2015"
DIGEST = hashlib.sha256(b"a transaction").digest()


def seeds_of(key_file: Path, passphrase: str = PASSPHRASE) -> Seeds:
    return Seeds(KeyRing([FileKeys(key_file)]), passphrase)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "sealing.key"
    create_key_file(path)
    return path


@pytest.fixture
def vault(key_file: Path) -> Seeds:
    return seeds_of(key_file)


def test_signature_is_that_of_the_farmers_address(vault: Seeds) -> None:
    key = vault.create(uuid4())
    signer = vault.signer(key)
    hint, signature = signer.signature(DIGEST)
    public = Keypair.from_public_key(key.address)
    public.verify(DIGEST, signature)
    assert hint == public.signature_hint()
    assert signer.address == key.address
    assert key.public_key == public.raw_public_key().hex()


def test_seed_opens_after_a_restart(vault: Seeds, key_file: Path) -> None:
    key = vault.create(uuid4())
    again = seeds_of(key_file)
    assert again.signer(key).signature(DIGEST) == vault.signer(key).signature(DIGEST)


def test_two_farmers_get_different_keys(vault: Seeds) -> None:
    assert vault.create(uuid4()).address != vault.create(uuid4()).address


def swapped_seed(key: FarmerKey, other: FarmerKey) -> FarmerKey:
    return replace(key, sealed_seed=other.sealed_seed)


def swapped_wallet(key: FarmerKey, other: FarmerKey) -> FarmerKey:
    return replace(other, farmer_id=key.farmer_id)


def swapped_address(key: FarmerKey, other: FarmerKey) -> FarmerKey:
    return replace(key, address=other.address)


def swapped_halves(key: FarmerKey, other: FarmerKey) -> FarmerKey:
    """The farmer's wrapped data key with the other's seed."""
    return replace(key, sealed_seed=key.sealed_seed[:69] + other.sealed_seed[69:])


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
        (lambda key, _: replace(key, key_version=2), "version 2 is nowhere to be found"),
        (lambda key, _: replace(key, public_key="00" * 32), "belongs to another farmer or network"),
        (lambda key, _: replace(key, public_key="not hex"), "cannot be used"),
        (flipped_bit(0), "not a sealed seed of a known format"),
        (flipped_bit(3), "sealed under another key"),
        (flipped_bit(9), "tampered with"),
        (flipped_bit(68), "tampered with"),
        (flipped_bit(69), "tampered with"),
        (flipped_bit(128), "tampered with"),
        (swapped_halves, "belongs to another farmer or network"),
        (lambda key, _: replace(key, sealed_seed=key.sealed_seed[:-1]), "not a sealed seed of a known format"),
        (lambda key, _: replace(key, sealed_seed=b""), "not a sealed seed of a known format"),
    ],
)
def test_changed_row_is_refused(
    vault: Seeds, change: Callable[[FarmerKey, FarmerKey], FarmerKey], problem: str
) -> None:
    key, other = vault.create(uuid4()), vault.create(uuid4())
    with pytest.raises(SealedSeedError, match=problem) as caught:
        vault.signer(change(key, other))
    assert caught.value.farmer_id == str(key.farmer_id)


def test_seed_of_another_network_is_refused(vault: Seeds, key_file: Path) -> None:
    key = vault.create(uuid4())
    mainnet = seeds_of(key_file, "Public Global Stellar Network ; September 2015")
    with pytest.raises(SealedSeedError, match="network"):
        mainnet.signer(key)


def test_other_key_file_is_named_as_the_cause(vault: Seeds, tmp_path: Path) -> None:
    key = vault.create(uuid4())
    create_key_file(tmp_path / "other.key")
    with pytest.raises(SealedSeedError, match="sealed under another key than the one of version 1"):
        seeds_of(tmp_path / "other.key").signer(key)


def test_seed_that_is_not_the_public_keys_is_refused(vault: Seeds, key_file: Path) -> None:
    farmer_id, public_key = uuid4(), os.urandom(32)
    wrapper = FileKeys(key_file).load(1)
    sealed = sealing.seal(bytearray(os.urandom(32)), SeedOwner(farmer_id, public_key, 1, PASSPHRASE), wrapper)
    key = FarmerKey(farmer_id, StrKey.encode_ed25519_public_key(public_key), public_key.hex(), sealed, 1)
    with pytest.raises(SealedSeedError, match="not the seed of the farmer's public key"):
        vault.signer(key)


def test_sealing_the_same_seed_twice_shows_nothing_in_common() -> None:
    wrapper, owner = FileKey(bytes(32)), SeedOwner(UUID(int=1), bytes(32), 1, PASSPHRASE)
    first, second = (sealing.seal(bytearray(32), owner, wrapper) for _ in range(2))
    assert first[:9] == second[:9]
    assert not any(first[at : at + 8] == second[at : at + 8] for at in range(9, 121))
    assert len(first) == 129


OLD_KEY = bytes(range(32))
OLD_SEED = bytes(range(100, 132))
OLD_SEALED = bytes.fromhex(
    "01d9391b70c8c9cacbcccdcecfd0d1d2d3751d07bceea5914b185171d16e779967"
    "94f29adf7c12d25f91d4459e5a10296a50112eaccea0a1e2ad9857827c3a1b1c"
)


@pytest.fixture
def old_farmer(tmp_path: Path) -> tuple[Seeds, FarmerKey]:
    """A farmer whose seed was sealed by version 0.1.0, before there were data keys."""
    (tmp_path / "old.key").touch(mode=0o600)
    (tmp_path / "old.key").write_bytes(OLD_KEY)
    public = Ed25519PrivateKey.from_private_bytes(OLD_SEED).public_key().public_bytes_raw()
    address = StrKey.encode_ed25519_public_key(public)
    return seeds_of(tmp_path / "old.key"), FarmerKey(UUID(int=5), address, public.hex(), OLD_SEALED, 1)


def test_seed_of_the_first_format_opens_and_is_sealed_anew(old_farmer: tuple[Seeds, FarmerKey]) -> None:
    seeds, key = old_farmer
    assert not seeds.is_newest(key)
    anew = seeds.reseal(key)
    assert (anew.sealed_seed[0], anew.key_version) == (2, 1)
    expected = Ed25519PrivateKey.from_private_bytes(OLD_SEED).sign(DIGEST)
    assert seeds.signer(key).signature(DIGEST)[1] == seeds.signer(anew).signature(DIGEST)[1] == expected


def test_seed_of_the_first_format_is_bound_to_its_farmer_and_network(
    old_farmer: tuple[Seeds, FarmerKey], tmp_path: Path
) -> None:
    seeds, key = old_farmer
    with pytest.raises(SealedSeedError, match="another farmer or network"):
        seeds.signer(replace(key, farmer_id=UUID(int=6)))
    with pytest.raises(SealedSeedError, match="another farmer or network"):
        seeds_of(tmp_path / "old.key", "another network").signer(key)
    create_key_file(tmp_path / "other.key")
    with pytest.raises(SealedSeedError, match="another key than the one in KEY_FILE"):
        seeds_of(tmp_path / "other.key").signer(key)


def test_new_version_seals_and_the_old_one_still_opens(vault: Seeds, key_file: Path) -> None:
    key = vault.create(uuid4())
    assert KeyRing([FileKeys(key_file)]).create() == 2
    later = vault.create(uuid4())
    assert (key.key_version, later.key_version) == (1, 2)
    moved = vault.reseal(key)
    assert moved.key_version == 2
    assert moved.sealed_seed[69:] == key.sealed_seed[69:]
    assert vault.reseal(moved) == moved
    key_file.unlink()
    fresh = seeds_of(key_file)
    assert fresh.signer(moved).signature(DIGEST) == vault.signer(key).signature(DIGEST)
    with pytest.raises(SealedSeedError, match="version 1 is nowhere to be found; restore it from a backup"):
        fresh.signer(key)


def test_seed_that_does_not_open_is_not_sealed_anew(vault: Seeds, key_file: Path) -> None:
    key = vault.create(uuid4())
    KeyRing([FileKeys(key_file)]).create()
    with pytest.raises(SealedSeedError, match="another farmer or network"):
        vault.reseal(replace(key, farmer_id=uuid4()))


def test_places_name_every_version_and_which_one_seals(key_file: Path) -> None:
    ring = KeyRing([FileKeys(key_file)])
    ring.create()
    (key_file.parent / f"{key_file.name}.head").touch()
    (key_file.parent / f"{key_file.name}.02").touch()
    assert [(place.version, place.current) for place in ring.places()] == [(1, False), (2, True)]


def test_version_in_two_places_is_refused(key_file: Path) -> None:
    ring = KeyRing([FileKeys(key_file), FileKeys(key_file)])
    with pytest.raises(KeyFileError, match="key version 1 is in"):
        ring.current()


def test_seed_shows_in_no_text_and_no_row(vault: Seeds, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = bytes(range(32))
    monkeypatch.setattr("backend.vault.seeds.os.urandom", lambda size: seed[:size])
    key = vault.create(uuid4())
    monkeypatch.undo()
    assert Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex() == key.public_key
    shown = repr([key, vault, vault.signer(key), vault._ring, vault._ring.wrapper(1)]).encode() + key.sealed_seed
    for form in (seed, seed.hex().encode(), StrKey.encode_ed25519_secret_seed(seed).encode()):
        assert form not in shown
    with pytest.raises(SealedSeedError) as caught:
        vault.signer(replace(key, farmer_id=uuid4()))
    assert seed.hex() not in str(caught.value)


@pytest.mark.parametrize("spread", [pickle.dumps, copy.copy])
def test_keys_are_not_copied_out_of_the_process(vault: Seeds, spread: Callable[[object], object]) -> None:
    for secret in (vault.signer(vault.create(uuid4())), vault._ring.wrapper(1)):
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
    with pytest.raises(KeyMissingError, match="make it with `kale-backend key create`"):
        seeds_of(tmp_path / "none").create(uuid4())


@pytest.mark.parametrize(("content", "problem"), [(b"", "0 bytes"), (b"k" * 31, "31 bytes"), (b"k" * 33, "more")])
def test_key_file_of_the_wrong_length_is_refused(key_file: Path, content: bytes, problem: str) -> None:
    key_file.write_bytes(content)
    with pytest.raises(KeyFileError, match=f"must hold 32 bytes but holds {problem}") as caught:
        FileKeys(key_file).load(1)
    assert "kkk" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyFileError, match="run chmod 600"):
        FileKeys(key_file).load(1)


def test_key_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot read .*directory"):
        FileKeys(tmp_path).load(1)
