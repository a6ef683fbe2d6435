"""The wheel, built once for all tests that look into it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's file."""
    folder = tmp_path_factory.mktemp("dist")
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([ROOT / "scripts" / "build_wheel.sh", folder], check=True, env={**os.environ, "PATH": tools})
    (file,) = folder.glob("*.whl")
    return file
