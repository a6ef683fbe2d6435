"""The services of a rehearsal: real processes in a folder of its own, with a database of its own."""

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from kale_chain.model import STROOPS_PER_XLM
from kale_common.errors import ConfigError
from kale_common.processes import Service, ServiceError, ask

_FIRST_MIGRATION = "001_"
_KEY_FILE = "sealing.key"
_MARKER = "rehearsal.json"
_LABEL = "rehearsal"
_ONBOARDING_SECONDS = 300
_NOT_INHERITED = ("TLS_", "BACKUP_", "ALARM_", "SIGNER_", "PKCS11_", "POOL_CUT_")
"""A rehearsal neither serves others, nor backs up, nor alarms, nor takes a cut: their settings are left aside."""


@dataclass
class Crew:
    """Backend and pooler, started one after the other.

    Args:
        directory: Keeps keys, logs and what is needed to go on with the same farmers.
        env_file: The operator's settings.
        network: The network; it wins over the file's.
        farmers: How many.
    """

    directory: Path
    env_file: Path
    network: str
    farmers: int
    wallets: dict[str, str] = field(default_factory=dict)
    """Addresses by farmer id."""
    _env: dict[str, str] = field(default_factory=dict)
    _run: dict[str, Any] = field(default_factory=dict)

    async def prepare(self) -> None:
        """Makes the keys and the tables.

        Raises:
            ConfigError: The database is in use by something else, or the folder by another network.
            ServiceError: A command failed; the text says why.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        no_file = self.directory / "empty.env"
        no_file.touch(mode=0o600)
        self._env = self._settings()
        marker = self.directory / _MARKER
        if marker.exists():
            self._run = json.loads(marker.read_text(encoding="utf-8"))
            if self._run["network"] != self.network:
                raise ConfigError("--directory", f"{self.directory} is of a rehearsal on {self._run['network']}")
        else:
            await self._claim_database()
            self._run = {"network": self.network, "run_id": f"rehearsal-{secrets.token_hex(8)}"}
            marker.write_text(json.dumps(self._run), encoding="utf-8")
        if not (self.directory / _KEY_FILE).exists():
            await self._ask("backend", "key", "create")
        await self._ask("backend", "migrate")

    async def _claim_database(self) -> None:
        pending = json.loads(await self._ask("backend", "migrate", "--dry-run", "--json"))["pending"]
        if not any(name.startswith(_FIRST_MIGRATION) for name in pending):
            raise ConfigError("DATABASE_URL", "names a database that is in use; a rehearsal needs an empty one")

    async def start_backend(self, stack: contextlib.AsyncExitStack) -> None:
        """Starts the backend and has it onboard the farmers; a repeat in the same folder finds them again."""
        backend = Service("backend", "backend", "run", *self._no_file, env=self._env, directory=self.directory)
        await stack.enter_async_context(backend)
        self._env |= {"BACKEND_API_URL": f"http://127.0.0.1:{backend.record['grpc_port']}"}
        self._env |= {"HTTP_URL": f"http://127.0.0.1:{backend.record['http_port']}"}
        for role in ("operator", "pooler"):
            await self._token(role)
        address = ("--backend", f"127.0.0.1:{backend.record['grpc_port']}")
        told = await self._ask(
            *("backend", "farmer", "create", "--count", str(self.farmers), "--request-id", self._run["run_id"]),
            *("--harvest-after-blocks", "1", "--timeout", str(_ONBOARDING_SECONDS), "--json", *address),
            *("--token-file", str(self.directory / "operator.token")),
            settings=False,
        )
        self.wallets = {one["farmer_id"]: one["wallet_address"] for one in json.loads(told)["farmers"]}

    async def start_pooler(self, stack: contextlib.AsyncExitStack) -> None:
        """Starts the pooler.

        Raises:
            ServiceError: Its fee account has no XLM (on test networks it is funded by itself).
        """
        survey = json.loads(await self._ask("pooler", "accounts", "create", "--json"))
        if survey["needed_stroops"] and self.network != "mainnet":
            survey = json.loads(await self._ask("pooler", "accounts", "fund", "--json"))
        if survey["needed_stroops"]:
            needed = survey["needed_stroops"] / STROOPS_PER_XLM
            raise ServiceError(
                f"send {needed:.7f} XLM to the pooler's fee account {survey['fee_account']}; run it again"
            )
        pooler = Service("pooler", "pooler", "run", *self._no_file, env=self._env, directory=self.directory)
        await stack.enter_async_context(pooler)

    @property
    def http_url(self) -> str:
        """The backend's JSON routes."""
        return self._env["HTTP_URL"]

    @property
    def operator_token(self) -> str:
        """The operator's token."""
        return (self.directory / "operator.token").read_text(encoding="ascii").strip()

    @property
    def _no_file(self) -> tuple[str, str]:
        """Everything is in the environment: a file in the folder that it is run in must not step in."""
        return "--env-file", str(self.directory / "empty.env")

    async def _ask(self, *arguments: str, settings: bool = True) -> str:
        return await ask(*arguments, *(self._no_file if settings else ()), env=self._env)

    async def _token(self, role: str) -> None:
        file = self.directory / f"{role}.token"
        if file.exists():
            return
        told = await self._ask("backend", "token", "create", "--role", role, "--label", _LABEL, "--json")
        file.touch(mode=0o600)
        file.write_text(json.loads(told)["token"], encoding="ascii")

    def _settings(self) -> dict[str, str]:
        """The operator's settings, and over them what a rehearsal needs."""
        given: Mapping[str, str | None] = {**dotenv_values(self.env_file), **os.environ}
        kept = {name: value for name, value in given.items() if value is not None}
        aside = {name: "" for name in kept if name.startswith(_NOT_INHERITED)}
        place = self.directory
        needed = {
            "STELLAR_NETWORK": self.network,
            "KEY_FILE": str(place / _KEY_FILE),
            "HEAD_FILE": "",
            "STATEMENT_KEY_FILE": "",
            "BIND_ADDRESS": "127.0.0.1",
            "PORT": "0",
            "HTTP_PORT": "0",
            "STAKE_POLICY": "asked",
            "HARVEST_CHANNELS": str(self.farmers),
            "MAX_WORK_PROCESSES": str(self.farmers),
            "WORK_CHANNELS": "",
            "POOLER_ID": _LABEL,
            "STATE_DIRECTORY": str(place / "pooler"),
            "BACKEND_TOKEN": "",
            "BACKEND_TOKEN_FILE": str(place / "pooler.token"),
        }
        if not kept.get("FEE_ACCOUNT_SECRET"):
            needed["FEE_ACCOUNT_SECRET_FILE"] = kept.get("FEE_ACCOUNT_SECRET_FILE") or str(place / "fee-account.key")
        return kept | aside | needed
