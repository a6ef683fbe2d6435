"""Starts services of the pool as child processes, waits until each is ready, and stops them cleanly."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

READY_SECONDS = 60
STOP_SECONDS = 20
SHOWN_LOG_LINES = 12


class ServiceError(Exception):
    """A service, or what it was asked to do, did not come about; its text is for the person who watches."""


class Service:
    """`python -m <arguments>` as a child; its output goes to `<directory>/<name>.log`.

    An async context manager: started on entering, stopped on leaving. A service that is started again keeps the
    ports that it had.
    """

    def __init__(self, name: str, *arguments: str, env: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.record: dict[str, Any] = {}
        self._arguments = arguments
        self._env = dict(env)
        self._child: asyncio.subprocess.Process | None = None
        self._pumps: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Starts it and waits until it serves."""
        await self.start()
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Stops it; an error of the block goes before one of stopping."""
        with contextlib.suppress(*([ServiceError] if error else [])):
            await self.stop()

    async def _spawn(self) -> asyncio.Future[dict[str, Any]]:
        ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *self._arguments,
            env={**os.environ, **self._env},
            # A session of its own: Ctrl-C reaches the parent alone, which then stops its children in order.
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        streams = [stream for stream in (child.stdout, child.stderr) if stream]
        self._child = child
        self._pumps = [asyncio.create_task(self._pump(stream, ready)) for stream in streams]
        return ready

    async def _pump(self, stream: asyncio.StreamReader, ready: asyncio.Future[dict[str, Any]]) -> None:
        with self.log.open("ab", buffering=0) as log:
            async for line in stream:
                log.write(line)
                if not ready.done() and (record := _ready_record(line)):
                    ready.set_result(record)

    async def start(self) -> dict[str, Any]:
        """Starts it; its `ready` record, or `ServiceError` with the end of its log if it ends or stays silent."""
        ready = await self._spawn()
        assert self._child
        ended = asyncio.create_task(self._child.wait())
        waits: set[asyncio.Future[Any]] = {ready, ended}
        await asyncio.wait(waits, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            code = self._child.returncode
            state = "did not become ready" if code is None else f"ended with exit code {code}"
            self.kill()
            await self._finish()
            raise ServiceError(f"{self.name} {state}. The end of its log ({self.log}):\n{self.tail()}")
        ended.cancel()
        self.record = ready.result()
        if "grpc_port" in self.record:
            self._env |= {"PORT": str(self.record["grpc_port"]), "HTTP_PORT": str(self.record["http_port"])}
        return self.record

    async def run(self) -> None:
        """Runs it to its end; `ServiceError` unless it exits 0."""
        await self._spawn()
        if code := await self._finish():
            raise ServiceError(f"{' '.join(self._arguments)} ended with exit code {code}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:])

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._child is not None and self._child.returncode is None

    @property
    def process_id(self) -> int:
        """Its process id, while it runs or after."""
        assert self._child
        return self._child.pid

    def kill(self) -> None:
        """Ends it at once, as a crash would (SIGKILL)."""
        if self._child and self.running:
            self._child.kill()

    async def _finish(self) -> int:
        assert self._child
        code = await self._child.wait()
        await asyncio.gather(*self._pumps)
        return code

    async def crash(self) -> None:
        """Kills it and waits until it is gone."""
        self.kill()
        await self._finish()

    async def stop(self) -> None:
        """Asks it to end and waits; kills it, and raises `ServiceError`, if it does not end cleanly."""
        if self._child is None:
            return
        if self.running:
            self._child.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(self._finish(), STOP_SECONDS)
        except TimeoutError:
            await self.crash()
            late = f"{self.name} did not stop within {STOP_SECONDS} s and was killed ({self.log})"
            raise ServiceError(late) from None
        if code != 0:
            raise ServiceError(f"{self.name} ended with exit code {code}:\n{self.tail()}")


async def ask(*arguments: str, env: Mapping[str, str]) -> str:
    """What `python -m <arguments>` prints on standard output; it may be a secret, and goes nowhere else.

    Raises:
        ServiceError: It did not exit 0; the text is the end of what it said on standard error.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        env={**os.environ, **env},
        start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await child.communicate()
    if child.returncode:
        end = "\n".join(said.decode(errors="replace").splitlines()[-SHOWN_LOG_LINES:])
        raise ServiceError(f"{' '.join(arguments)} ended with exit code {child.returncode}:\n{end}")
    return printed.decode()


def _ready_record(line: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        record = json.loads(line)
        if isinstance(record, dict) and record.get("event") == "ready":
            return record
    return None
