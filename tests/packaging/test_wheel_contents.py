"""What is in the wheel: everything that services need, and nothing else."""

import email
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from stellar_sdk import StrKey

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "backend",
    "pooler",
    "kalepool",
    "kale_chain",
    "kale_common",
    "kale_hash_rs",
    "kale_lifeboat",
    "kale_console",
)
RUST = ("kale_hash_rs/src/", "kale_hash_rs/tests/", "kale_hash_rs/benches/", "kale_hash_rs/fuzz/")

pytestmark = pytest.mark.packaging


def repository_files(*paths: str) -> set[str]:
    """The files under `paths` that git keeps, or would keep once added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *paths]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {path for path in output.split("\0") if path and (ROOT / path).exists()}


def is_rust(path: str) -> bool:
    """Whether the file only serves to build the extension."""
    return path.startswith(RUST) or path == "kale_hash_rs/Cargo.toml"


def test_wheel_has_exactly_the_packages_the_extension_and_the_sql(wheel: Path) -> None:
    expected = {path for path in repository_files(*PACKAGES) if not is_rust(path)}
    expected |= {path for path in repository_files("sql") if path.endswith(".sql")}
    expected.add("kale_hash_rs/_native.abi3.so")
    files = zipfile.ZipFile(wheel).namelist()
    assert sorted(name for name in files if ".dist-info/" not in name) == sorted(expected)


def test_wheel_serves_every_python_from_3_11_on(wheel: Path) -> None:
    assert "-cp311-abi3-manylinux" in wheel.name
    assert metadata(wheel)["Requires-Python"] == ">=3.11"


def test_wheel_has_all_commands_and_the_licence(wheel: Path) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert {"kale-backend", "kale-pooler", "kale-lifeboat", "kale-pool"} <= set(declared)
    scripts = read(wheel, "entry_points.txt").split()
    assert scripts == ["[console_scripts]", *(f"{name}={entry}" for name, entry in sorted(declared.items()))]
    assert read(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_database_libraries_come_with_the_backend_extra_only(wheel: Path) -> None:
    requirements = metadata(wheel).get_all("Requires-Dist") or []
    for library in ("psycopg", "python-pkcs11", "sqlalchemy"):
        (requirement,) = [line for line in requirements if line.startswith(library)]
        assert requirement.endswith("; extra == 'backend'")


def test_wheel_carries_no_secret_key(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    looks_secret = (found for name in archive.namelist() for found in re.findall(rb"S[A-Z2-7]{55}", archive.read(name)))
    assert [found for found in looks_secret if StrKey.is_valid_ed25519_secret_seed(found.decode())] == []


def metadata(wheel: Path) -> email.message.Message:
    """The wheel's METADATA."""
    return email.message_from_string(read(wheel, "METADATA"))


def read(wheel: Path, name: str) -> str:
    """A file of the wheel's dist-info folder."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()
