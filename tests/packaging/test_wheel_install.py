"""The wheel at work, installed on a pooler's machine: in a clean environment without the backend's libraries."""

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="session")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel and the pooler's pinned libraries."""
    folder = tmp_path_factory.mktemp("environment")
    uv = os.environ.get("UV")  # `make test` names it; without it pip does the same, slower
    venv.create(folder, with_pip=uv is None)
    python = folder / "bin" / "python"
    installer: list[str | Path] = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    pins: list[str | Path] = ["--require-hashes", "--no-deps", "-r", ROOT / "requirements" / "pooler.txt"]
    for what in (pins, ["--no-deps", wheel]):
        subprocess.run([*installer, "--quiet", *what], check=True)
    return python.parent


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command away from the checkout, so that only what is installed can be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


def test_pooler_measures_its_hash_rate(bin_folder: Path) -> None:
    result = run(bin_folder / "kale-pooler", "bench", "--seconds", "3")
    assert (result.returncode, result.stderr) == (0, "")
    assert "portable" in result.stdout


def test_pooler_measures_its_hash_rate_for_scripts(bin_folder: Path) -> None:
    result = run(bin_folder / "kale-pooler", "bench", "--seconds", "0.5", "--threads", "1", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["rates"][0]["name"] == "sha3"


@pytest.mark.parametrize("command", [[], ["run"], ["bench"], ["check"], ["accounts"]])
def test_pooler_helps(bin_folder: Path, command: list[str]) -> None:
    result = run(bin_folder / "kale-pooler", *command, "--help")
    assert result.returncode == 0, result.stderr
    assert "Usage: kale-pooler" in result.stdout


def test_everything_comes_from_the_wheel(bin_folder: Path) -> None:
    script = "import kale_hash_rs._native, pooler.app; print(kale_hash_rs._native.__file__, pooler.app.__file__)"
    result = run(bin_folder / "python", "-c", script)
    assert result.returncode == 0, result.stderr
    assert all(Path(file).is_relative_to(bin_folder.parent) for file in result.stdout.split())


@pytest.mark.parametrize("library", ["sqlalchemy", "psycopg", "devnet"])
def test_backend_libraries_and_the_local_ledger_are_absent(bin_folder: Path, library: str) -> None:
    result = run(bin_folder / "python", "-c", f"import {library}")
    assert f"No module named '{library}'" in result.stderr
