"""Commands, units and images in the pages and in deploy/ are those that there are."""

import configparser
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from backend.cli import app as backend
from kale_console.cli import app as console
from kale_lifeboat.cli import app as lifeboat
from pooler.cli import app as pooler

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "kale-backend": typer.main.get_command(backend),
    "kale-pooler": typer.main.get_command(pooler),
    "kale-lifeboat": typer.main.get_command(lifeboat),
    "kale-pool": typer.main.get_command(console),
}
PAGES = ("docs/operations.md", "docs/backups.md", "docs/lifeboat.md", "docs/go-live.md")
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "LimitCORE": "0",
    "UMask": "0077",
}


def commands_of(page: str) -> Iterator[str]:
    """Every line with a command of ours in a page's blocks, and every such command in its text."""
    text = (ROOT / page).read_text()
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
        yield from re.findall(r"^(?:[#$] )?(kale-.*)", block, flags=re.MULTILINE)
        yield from re.findall(r"\$\((kale-[^)]*)\)", block)
    yield from re.findall(r"`(kale-(?:backend|pooler|lifeboat|pool) [^`\n]+)`", text)


def check(line: str) -> None:
    """Fails if a command or one of its options does not exist."""
    name, *words = shlex.split(line, comments=True)
    command: Any = COMMANDS[name]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        word = words.pop(0)
        assert word in command.commands, f"{line!r}: there is no {word!r}"
        command = command.commands[word]
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
    assert [word for word in words if word.startswith("--") and word.split("=")[0] not in options] == [], line


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_a_page_exist_with_their_options(page: str) -> None:
    lines = list(commands_of(page))
    assert lines
    for line in lines:
        check(line)


def test_a_wrong_command_is_found() -> None:
    for wrong in ("kale-backend backups list", "kale-backend backup list --jsonn"):
        with pytest.raises(AssertionError):
            check(wrong)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_unit_runs_a_command_that_exists_and_is_hardened(unit: Path) -> None:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(unit.read_text())
    service = parsed["Service"]
    check(service["ExecStart"].removeprefix("/opt/kale/bin/"))
    assert {name: service[name] for name in HARDENING} == HARDENING
    if service.get("Type") != "oneshot":
        assert (service["Restart"], parsed["Unit"]["StartLimitIntervalSec"]) == ("always", "0")


def test_images_run_commands_that_exist_on_ports_that_the_services_use() -> None:
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    entries = re.findall(r'ENTRYPOINT \["([^"]+)"\]', text)
    assert set(entries) == {"kale-pooler", "kale-backend"} <= set(scripts)
    assert re.findall(r"EXPOSE (.*)", text) == ["3001 8001", "3000 8000"]
    for copied in re.findall(r"COPY (requirements/\S+)", text):
        assert (ROOT / copied).exists()
    compose = yaml.safe_load((ROOT / "deploy/docker/compose.yml").read_text())
    base = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name, service in compose["services"].items():
        check(" ".join([f"kale-{service['build']['target']}", *service["command"]]))
        assert service["network_mode"] == "host", name
        assert set(service.get("depends_on", ())) <= {*compose["services"], *base["services"]}
        named = {mount.partition(":")[0] for mount in service.get("volumes", ())}
        assert named <= set(compose["volumes"]), name
