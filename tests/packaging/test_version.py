"""Wheel, crates and services have one version."""

import tomllib
from pathlib import Path

from kale_common.version import VERSION

ROOT = Path(__file__).resolve().parents[2]


def test_every_part_has_the_same_version() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    ledger = tomllib.loads((ROOT / "devnet" / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    crates = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]
    assert {wheel, ledger, crates} == {VERSION}
