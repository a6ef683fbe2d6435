"""The vault behind a Unix socket: the backend's side."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import structlog

from backend.domain.farmer import FarmerKey
from backend.domain.signing import Intent, SigningRules
from backend.errors import (
    PolicyRefusedError,
    SealedSeedError,
    SignerRulesError,
    SignerUnavailableError,
    SigningCapError,
    VaultError,
)
from backend.vault.messages import Answer, Call, Fault, MalformedMessageError, SignCall, encoded, receive

_log = structlog.get_logger()

_ANSWER_SECONDS = 20.0
_CONNECT_SECONDS = 20.0
_BETWEEN_TRIES_SECONDS = 0.05
_TRIES = 2


class RemoteVault:
    """Asks a signer; see backend.ports.vault.Vault. A signer that was restarted meanwhile is asked again.

    Args:
        path: The signer's socket.
        rules: What the signer is to sign by; one with other rules is refused.
    """

    def __init__(self, path: Path, rules: SigningRules) -> None:
        self._path = path
        self._rules = rules
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def check(self) -> None:
        """Connects and agrees on the rules.

        Raises:
            SignerUnavailableError: nobody answers.
            SignerRulesError: the signer has other rules.
        """
        await self._connected()

    async def create(self, farmer_id: UUID) -> FarmerKey:
        """See backend.ports.vault.Vault."""
        answer = await self._ask(create=farmer_id)
        assert answer.key is not None
        return answer.key.farmer_key()

    async def sign(self, key: FarmerKey, envelope: bytes, intent: Intent) -> bytes:
        """See backend.ports.vault.Vault."""
        answer = await self._ask(sign=SignCall.of(key, envelope, intent))
        assert answer.signature is not None
        return answer.signature

    async def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def _ask(self, **call: Any) -> Answer:
        for _ in range(_TRIES):
            connection = await self._connected()
            try:
                return _checked(await connection.ask(**call))
            except ConnectionError:
                continue
        raise SignerUnavailableError(f"the signer at {self._path} went away twice; nothing was signed")

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.ended:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> _Connection:
        """A connection with rules agreed on; waits a while for a signer that is being started again."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                while True:
                    try:
                        return await self._introduced()
                    except (OSError, ConnectionError):
                        await asyncio.sleep(_BETWEEN_TRIES_SECONDS)
        except TimeoutError:
            raise SignerUnavailableError(f"no signer answers at {self._path}; nothing was signed") from None

    async def _introduced(self) -> _Connection:
        connection = _Connection(*await asyncio.open_unix_connection(self._path))
        try:
            _checked(await connection.ask(hello=self._rules))
        except BaseException:
            await connection.close()
            raise
        return connection


class _Connection:
    """Calls in flight over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._reading = asyncio.create_task(self._read(reader), name="signer's answers")

    @property
    def ended(self) -> bool:
        """Whether the other side is gone."""
        return self._reading.done()

    async def ask(self, **call: Any) -> Answer:
        """The answer to a call.

        Raises:
            ConnectionError: the connection ended before.
            SignerUnavailableError: there is none in time.
        """
        if self.ended:
            raise ConnectionResetError
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(encoded(Call(number=number, **call)))
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise SignerUnavailableError(f"the signer did not answer within {_ANSWER_SECONDS:.0f} s") from None
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Ends it."""
        self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (answer := await receive(reader, Answer)) is not None:
                waiting = self._waiting.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except (MalformedMessageError, OSError) as error:
            _log.warning("the connection to the signer broke", problem=str(error))
        finally:
            self._writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError())


def _checked(answer: Answer) -> Answer:
    if answer.fault is not None:
        _raise(answer.fault)
    return answer


def _raise(fault: Fault) -> NoReturn:
    match fault.reason:
        case SealedSeedError.reason:
            raise SealedSeedError(fault.farmer_id, fault.problem)
        case PolicyRefusedError.reason:
            raise PolicyRefusedError(fault.farmer_id, fault.problem)
        case SigningCapError.reason:
            raise SigningCapError(fault.problem)
        case SignerRulesError.reason:
            raise SignerRulesError(fault.problem)
        case _:
            raise VaultError(fault.problem)
