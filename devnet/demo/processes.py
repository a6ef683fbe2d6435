"""Starts the pool's processes, waits until each is ready, and stops them in the opposite order."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

READY_SECONDS = 60
STOP_SECONDS = 20
SHOWN_LOG_LINES = 12


class DemoError(Exception):
    """Something the demonstration needs did not happen; its text is for the person who watches."""


class Process:
    """A child process whose output goes to a log file and whose `ready` line tells where it serves."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._child = child
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pumps = [asyncio.create_task(self._pump(stream)) for stream in (child.stdout, child.stderr) if stream]

    async def _pump(self, stream: asyncio.StreamReader) -> None:
        with self.log.open("ab", buffering=0) as log:
            async for line in stream:
                log.write(line)
                self._look_for_ready(line)

    def _look_for_ready(self, line: bytes) -> None:
        if self._ready.done() or not line.startswith(b"{"):
            return
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if record.get("event") == "ready":
                self._ready.set_result(record)

    async def ready(self) -> dict[str, Any]:
        """The process's `ready` record; `DemoError` with the end of its log if it ends or stays silent instead."""
        ended = asyncio.create_task(self._child.wait())
        waits: set[asyncio.Future[Any]] = {self._ready, ended}
        await asyncio.wait(waits, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if self._ready.done():
            return self._ready.result()
        code = self._child.returncode
        state = "did not become ready" if code is None else f"ended with exit code {code}"
        raise DemoError(f"{self.name} {state}. The end of its log ({self.log}):\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:])

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._child.returncode is None

    async def stop(self) -> None:
        """Asks the process to end and waits; kills it, and raises `DemoError`, if it does not end cleanly."""
        if self.running:
            self._child.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(self._child.wait(), STOP_SECONDS)
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
            raise DemoError(f"{self.name} did not stop within {STOP_SECONDS} s and was killed ({self.log})") from None
        finally:
            await asyncio.gather(*self._pumps)
        if code != 0:
            raise DemoError(f"{self.name} ended with exit code {code}:\n{self.tail()}")


async def start(name: str, *arguments: str, env: Mapping[str, str], directory: Path) -> Process:
    """Starts `python -m <arguments>`; its output goes to `<directory>/<name>.log`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        env={**os.environ, **env},
        # A group of its own: Ctrl-C at the terminal reaches the demo alone, which then stops its children in order.
        start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    return Process(name, child, directory / f"{name}.log")


@contextlib.asynccontextmanager
async def running(name: str, *arguments: str, env: Mapping[str, str], directory: Path) -> AsyncIterator[Process]:
    """The started process, stopped at the end of the block; an error inside the block goes first."""
    process = await start(name, *arguments, env=env, directory=directory)
    try:
        yield process
    except BaseException:
        with contextlib.suppress(DemoError):
            await process.stop()
        raise
    await process.stop()


async def run(name: str, *arguments: str, env: Mapping[str, str], directory: Path) -> None:
    """Runs `python -m <arguments>` to its end; `DemoError` unless it exits 0."""
    process = await start(name, *arguments, env=env, directory=directory)
    code = await process._child.wait()  # noqa: SLF001 — the same module
    await asyncio.gather(*process._pumps)  # noqa: SLF001
    if code != 0:
        raise DemoError(f"{' '.join(arguments)} ended with exit code {code}:\n{process.tail()}")
