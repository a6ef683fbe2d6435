"""`kale-backend signer`: the process that holds farmers' seeds in clear, and signs what the rules allow.

It reads the key-encryption keys, keeps a journal of payouts, and nothing else: no database, no network, no master key.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import structlog
import typer

from backend.config import ENV_FILE as DEFAULT_ENV_FILE
from backend.config import SignerSettings, load_signer_settings
from backend.domain.signing import SigningRules
from backend.errors import SignerRulesError, SignerUnavailableError
from backend.failing import expected_errors
from backend.key_ring import key_ring
from backend.vault.hardening import harden
from backend.vault.journal import SigningJournal
from backend.vault.process import READY
from backend.vault.server import CheckRules, SignerServer
from kale_chain.xdr import keys as ledger_keys
from kale_common import logs
from kale_common.command import EnvFile, existing, until_signal

_log = structlog.get_logger(__name__)

Socket = Annotated[Path | None, typer.Option(help="The socket to listen on; by default SIGNER_SOCKET.")]
UntilStdinCloses = Annotated[bool, typer.Option(help="End when standard input ends, as under a backend.", hidden=True)]


def signer_command(
    env_file: EnvFile = DEFAULT_ENV_FILE,
    *,
    socket: Socket = None,
    until_stdin_closes: UntilStdinCloses = False,
) -> None:
    """Sign for a backend with SIGNER_SOCKET, over a Unix socket, until Ctrl-C or SIGTERM.

    A backend without SIGNER_SOCKET runs a signer of its own; this command is for one that runs as another user.
    """
    with expected_errors():
        settings = load_signer_settings(None if until_stdin_closes else existing(env_file))
        logs.configure(settings.log_level, settings.secrets())
        until_signal(_serve(settings, socket, until_stdin_closes=until_stdin_closes))


async def _serve(settings: SignerSettings, path: Path | None, *, until_stdin_closes: bool) -> None:
    path = path or settings.signer_socket
    if path is None:
        raise SignerUnavailableError("give a socket to listen on: SIGNER_SOCKET, or --socket")
    hardening = harden()
    ring = key_ring(settings)
    version, _ = ring.current()
    journal = SigningJournal(settings.journal_path(), settings.signer_day_stroops)
    server = SignerServer(path, ring, journal, agrees(settings), settings.client_uid())
    try:
        await server.start()
    except OSError as error:
        raise SignerUnavailableError(f"cannot listen on {path}: {error.strerror or error}") from None
    _log.info("signing", key_version=version, undumpable=hardening.undumpable, memory_locked=hardening.locked)
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    try:
        await (_stdin_closed() if until_stdin_closes else asyncio.Event().wait())
    finally:
        await server.stop()
        journal.close()


async def _stdin_closed() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def agrees(settings: SignerSettings) -> CheckRules:
    """Holds a backend's rules against the settings; only KALE's issuer is the backend's to say, found on the ledger."""

    def check(rules: SigningRules) -> None:
        own = replace(
            rules,
            passphrase=settings.stellar_network_passphrase,
            farm_id=settings.kale_contract_id,
            token_id=ledger_keys.token_id(rules.asset_code, rules.asset_issuer, settings.stellar_network_passphrase),
            sponsor=settings.master_wallet_address,
            stake_cap_stroops=settings.stake_cap_stroops,
        )
        if rules != own:
            raise SignerRulesError(
                "the backend has another network, farm, master account or STAKE_CAP_STROOPS than the signer; "
                "give both the same settings"
            )

    return check


def main() -> None:
    """Entry point of the backend's own signer."""
    typer.run(signer_command)


if __name__ == "__main__":
    main()
