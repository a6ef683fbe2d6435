"""The signer as a child of the backend: started, started again when it dies, and ended with the backend."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Self

import structlog

from backend.errors import SignerUnavailableError

_log = structlog.get_logger()

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0
READY = b"ready\n"
"""What the signer writes to its standard output once it listens."""


class SignerProcess:
    """Runs `python -m backend.signer` with a socket in a folder of its own while the block lasts.

    The child inherits nothing but what it is given: no database password, no master key. It ends when its standard
    input ends, that is with this process, however that ends.

    Args:
        environment: The child's environment.

    Attributes:
        path: The socket.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._folder = tempfile.TemporaryDirectory(prefix="kale-signer-")
        self.path = Path(self._folder.name) / "signer.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[NoReturn] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def __aenter__(self) -> Self:
        """Starts the child and waits until it listens.

        Raises:
            SignerUnavailableError: it ended, or did not listen in time; its log says why.
        """
        try:
            await self._start()
        except BaseException:
            self._folder.cleanup()
            raise
        self._watching = asyncio.create_task(self._watch(), name="signer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the child."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._stop()
        self._folder.cleanup()

    async def _start(self) -> None:
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend.signer", "--socket", str(self.path), "--until-stdin-closes"),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Neither Ctrl-C in the backend's terminal nor a signal to its group ends it before the backend has ended.
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                said = await process.stdout.readline()
        except TimeoutError:
            said = b""
        except asyncio.CancelledError:
            await self._stop()
            raise
        if said != READY:
            await self._stop()
            raise SignerUnavailableError("the signer did not start; its log lines say why")

    async def _watch(self) -> NoReturn:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if self._process is not None:
                _log.error("the signer ended and is started again", exit_code=await self._process.wait())
            await asyncio.sleep(pause)
            try:
                await self._start()
                pause = _FIRST_PAUSE_SECONDS
            except SignerUnavailableError as error:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                _log.exception("the signer does not start", problem=str(error), again_in_seconds=pause)

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
