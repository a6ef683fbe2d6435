"""The signer's side of the socket: answers calls of one user, and signs by the rules it was started with."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from backend.domain.signing import PlantIntent, SigningRules
from backend.errors import BackendError, PolicyRefusedError, SealedSeedError, SignerRulesError
from backend.vault.journal import SigningJournal
from backend.vault.key_ring import KeyRing
from backend.vault.local_vault import LocalVault
from backend.vault.messages import Answer, Call, Fault, MalformedMessageError, SignCall, WireKey, encoded, receive

_log = structlog.get_logger()

_CREDENTIALS = struct.Struct("3i")
_OWNER_ONLY = 0o600
_EVERYBODY = 0o666

CheckRules = Callable[[SigningRules], None]
"""Raises SignerRulesError for rules that are not the signer's own."""


class SignerServer:
    """Listens on a Unix socket until `stop`.

    The rules of the first client that passes the check hold for all until the process ends.

    Args:
        path: The socket; a file left there by a signer that died is replaced.
        ring: The key-encryption keys.
        journal: Remembers which payouts were signed.
        check_rules: Holds a client's rules against the signer's settings.
        client_uid: The user whose processes are answered.
    """

    def __init__(
        self, path: Path, ring: KeyRing, journal: SigningJournal, check_rules: CheckRules, client_uid: int
    ) -> None:
        self._path = path
        self._ring = ring
        self._journal = journal
        self._check_rules = check_rules
        self._client_uid = client_uid
        self._rules: SigningRules | None = None
        self._vault: LocalVault | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Opens the socket.

        Raises:
            OSError: the path cannot be used, or another signer listens there.
        """
        await asyncio.to_thread(_remove_dead, self._path)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(before)
        # Whoever connects is asked for its user below; another user must be let that far.
        self._path.chmod(_OWNER_ONLY if self._client_uid == os.geteuid() else _EVERYBODY)

    async def stop(self) -> None:
        """Closes the socket and removes it."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._allowed(writer):
                await self._answer_calls(reader, writer)
        except MalformedMessageError as error:
            _log.warning("a client was cut off", problem=str(error))
        except OSError as error:
            _log.info("a client went away", problem=str(error))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _allowed(self, writer: asyncio.StreamWriter) -> bool:
        connection = writer.get_extra_info("socket")
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = _CREDENTIALS.unpack(packed)
        if user != self._client_uid:
            _log.warning("a process of another user was refused", process=process, user=user)
        return bool(user == self._client_uid)

    async def _answer_calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (call := await receive(reader, Call)) is not None:
            try:
                answer = await self._answer(call)
            except BackendError as error:
                _log.warning("refused", problem=str(error))
                answer = Answer(number=call.number, fault=_fault(error))
            writer.write(encoded(answer))
            await writer.drain()

    async def _answer(self, call: Call) -> Answer:
        if call.hello is not None:
            self._agree(call.hello)
            return Answer(number=call.number)
        if self._vault is None:
            raise SignerRulesError("no client has said which rules it expects")
        if call.create is not None:
            return Answer(number=call.number, key=WireKey.of(await self._vault.create(call.create)))
        assert call.sign is not None
        return Answer(number=call.number, signature=await self._signed(self._vault, call.sign))

    def _agree(self, rules: SigningRules) -> None:
        self._check_rules(rules)
        if self._rules is None:
            self._rules = rules
            self._vault = LocalVault(self._ring, rules, self._journal)
        elif rules != self._rules:
            raise SignerRulesError("another client was here with other rules; restart the signer")

    @staticmethod
    async def _signed(vault: LocalVault, call: SignCall) -> bytes:
        key, intent = call.key.farmer_key(), call.intent
        signature = await vault.sign(key, call.envelope, intent)
        tell = _log.debug if isinstance(intent, PlantIntent) else _log.info
        tell("signed", farmer_id=str(key.farmer_id), intent=repr(intent))
        return signature


def _fault(error: BackendError) -> Fault:
    if isinstance(error, (SealedSeedError, PolicyRefusedError)):
        return Fault(reason=error.reason, problem=error.problem, farmer_id=error.farmer_id)
    return Fault(reason=error.reason, problem=str(error))


def _remove_dead(path: Path) -> None:
    """Removes a socket that nobody listens on. Raises OSError where somebody does, or where it is no socket."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(f"another signer listens on {path}")
