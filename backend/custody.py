"""Where the backend's vault is: a signer of its own, one that runs by itself, or, for tests, inside the backend."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from backend.config import Settings, SignerSettings
from backend.domain.signing import SigningRules
from backend.key_ring import key_ring
from backend.ports.vault import Vault
from backend.vault import LocalVault
from backend.vault.client import RemoteVault
from backend.vault.journal import SigningJournal
from backend.vault.process import SignerProcess
from kale_chain.model import FarmIdentity
from kale_common.errors import ConfigError

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SOFTHSM2_CONF")
"""Of the backend's environment, what its signer gets; secrets are passed on by name alone."""


class Custody:
    """Starts what holds the keys at once, while the backend looks for database and farm; then gives the vault.

    Args:
        settings: The backend's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._signer: SignerProcess | None = None
        self._starting: asyncio.Task[SignerProcess] | None = None

    async def __aenter__(self) -> Self:
        """Looks whether there are keys, and starts the signer.

        Raises:
            ConfigError: keys inside the backend are asked for outside network local, or the signer's cap is too low.
            VaultError: there is no key.
        """
        settings = self._settings
        if settings.signer_in_process and settings.stellar_network != "local":
            raise ConfigError("SIGNER_IN_PROCESS", "is for tests on network local; remove it")
        if not settings.signer_in_process and settings.signer_socket is None:
            check_caps(settings)
            if settings.pkcs11_module is None:
                key_ring(settings).check()
            self._signer = SignerProcess(signer_environment(settings))
            self._starting = asyncio.create_task(self._signer.__aenter__(), name="starting the signer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Lets go of the signer, and ends one of our own."""
        await self._stack.aclose()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._signer is not None:
            await self._signer.__aexit__()

    async def vault(self, identity: FarmIdentity) -> Vault:
        """The vault for a farm, ready to sign.

        Raises:
            VaultError: the keys cannot be used, or the signer has other settings.
            SignerUnavailableError: the signer does not answer.
        """
        settings = self._settings
        rules = SigningRules.of(identity, settings.master_wallet_address, settings.stake_cap_stroops)
        if settings.signer_in_process:
            ring = key_ring(settings)
            ring.current()
            journal = SigningJournal(settings.journal_path(), settings.signer_day_stroops)
            self._stack.callback(journal.close)
            return LocalVault(ring, rules, journal)
        path = settings.signer_socket if self._starting is None else (await self._starting).path
        assert path is not None
        vault = RemoteVault(path, rules)
        self._stack.push_async_callback(vault.close)
        await vault.check()
        return vault


def check_caps(settings: Settings) -> None:
    """Accepts limits of payments that the signer's own cap has room for.

    Raises:
        ConfigError: payments within the limits would wait for the signer.
    """
    pool, signer = settings.withdrawal_pool_day_stroops, settings.signer_day_stroops
    if 0 < signer < pool:
        raise ConfigError(
            "SIGNER_DAY_STROOPS",
            f"is {signer}, less than WITHDRAWAL_POOL_DAY_STROOPS ({pool}): payments within the limits would wait; "
            "raise the one or lower the other",
        )


def signer_environment(settings: SignerSettings) -> Mapping[str, str]:
    """The environment of the backend's own signer: its settings, and nothing that is another's secret."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Where the package is not installed, the child must find it where this process did.
    package = str(Path(__file__).resolve().parents[1])
    own = {name.upper(): str(value) for name, value in settings.signer_values().items() if value is not None}
    return passed_on | {"PYTHONPATH": package} | own
