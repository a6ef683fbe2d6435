"""Where the backend's vault is: a signer of its own, one that runs by itself, or, for tests, inside the backend."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from backend.config import Settings, SignerSettings
from backend.domain.signing import SigningRules
from backend.key_ring import key_ring
from backend.ports.vault import Vault
from backend.vault import LocalVault
from backend.vault.client import RemoteVault
from backend.vault.process import SignerProcess
from kale_chain.model import FarmIdentity
from kale_common.errors import ConfigError

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SOFTHSM2_CONF")
"""Of the backend's environment, what its signer gets; secrets are passed on by name alone."""


@asynccontextmanager
async def open_vault(settings: Settings, identity: FarmIdentity) -> AsyncIterator[Vault]:
    """The vault as the settings have it, ready to sign.

    Raises:
        ConfigError: keys inside the backend are asked for outside network local.
        VaultError: the keys cannot be used, or the signer has other settings.
        SignerUnavailableError: the signer does not answer.
    """
    rules = SigningRules.of(identity, settings.master_wallet_address, settings.stake_cap_stroops)
    if settings.signer_in_process:
        if settings.stellar_network != "local":
            raise ConfigError("SIGNER_IN_PROCESS", "is for tests on network local; remove it")
        ring = key_ring(settings)
        ring.current()
        yield LocalVault(ring, rules)
    elif settings.signer_socket is not None:
        async with _asked(settings.signer_socket, rules) as vault:
            yield vault
    else:
        key_ring(settings).check()
        async with SignerProcess(signer_environment(settings)) as signer, _asked(signer.path, rules) as vault:
            yield vault


def signer_environment(settings: SignerSettings) -> Mapping[str, str]:
    """The environment of the backend's own signer: its settings, and nothing that is another's secret."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Where the package is not installed, the child must find it where this process did.
    package = str(Path(__file__).resolve().parents[1])
    own = {name.upper(): str(value) for name, value in settings.signer_values().items() if value is not None}
    return passed_on | {"PYTHONPATH": package} | own


@asynccontextmanager
async def _asked(path: Path, rules: SigningRules) -> AsyncIterator[RemoteVault]:
    vault = RemoteVault(path, rules)
    try:
        await vault.check()
        yield vault
    finally:
        await vault.close()
