"""The oldest protobuf and grpcio that may be installed are those that the generated code accepts."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "kalepool" / "v1"


def floor(library: str) -> str:
    """The version in `library>=version` of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = [line for line in project["dependencies"] if re.match(rf"{library}\b(?!-)", line)]
    match = re.fullmatch(rf"{library}>=([0-9.]+)", requirement)
    assert match, f"{requirement} states no floor alone"
    return match[1]


def generated_versions(texts: list[str], pattern: str) -> set[str]:
    """What `pattern` finds in each of the generated files."""
    return {version for text in texts for version in re.findall(pattern, text, re.MULTILINE)}


def test_protobuf_floor_is_the_generators_version() -> None:
    texts = [path.read_text(encoding="utf-8") for path in GENERATED.glob("*_pb2.py")]
    assert generated_versions(texts, r"^# Protobuf Python Version: ([0-9.]+)$") == {floor("protobuf")}


@pytest.mark.parametrize("library", ["grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status"])
def test_grpcio_floors_are_the_generators_version(library: str) -> None:
    texts = [path.read_text(encoding="utf-8") for path in GENERATED.glob("*_pb2_grpc.py")]
    assert generated_versions(texts, r"^GRPC_GENERATED_VERSION = '([0-9.]+)'$") == {floor(library)}
