"""A pooler's whole side of the protocol for programs of others: connect, plant, report, attend; it retries and resumes.

See docs/protocol.md for a program that uses it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from pooler.domain.presence import Notice, State
from pooler.domain.report import Acknowledgement, Report
from pooler.domain.snapshot import Circuit
from pooler.errors import BackendUnavailableError
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from pooler.link.identity import Identity
from pooler.link.renewal import renewed
from pooler.ports import PlantMessage
from pooler.services.retrying import Backoff, resumed_plants

DEADLINE_SECONDS = 10.0


class PoolClient:
    """Calls that go on until they are answered. Made by `connect`.

    What the backend refuses raises BackendRefusedError; everything else is tried again, with growing pauses drawn at
    random and over every address there is. An address that does not answer three times is left alone for up to 2 s.
    """

    def __init__(self, line: Line, backend: GrpcBackend) -> None:
        self._line = line
        self._backend = backend

    @property
    def circuits(self) -> Sequence[Circuit]:
        """How the backend's addresses stand."""
        return self._line.circuits

    def plants(self, block_index: int, *, farmers: int = 0, after: int = 0) -> AsyncGenerator[PlantMessage, None]:
        """Has farmers planted: each PlantedEvent or PlantFailedEvent once and in order, then PlantsDone.

        Args:
            block_index: The open block, or the next one once it is due.
            farmers: How many to ask for; 0: every active farmer.
            after: Number of the last event that an earlier run of the program has kept.
        """
        return resumed_plants(self._backend, block_index, farmers=farmers, after=after)

    async def report(self, reports: Sequence[Report]) -> list[Acknowledgement]:
        """Delivers reports; returns once each is acknowledged, in the order in which they were."""
        waiting = {report.report_id: report for report in reports}
        answers: list[Acknowledgement] = []
        backoff = Backoff()
        while waiting:
            error: BackendUnavailableError | None = None
            try:
                async for answer in self._backend.report_work(list(waiting.values())):
                    backoff.reset()
                    if waiting.pop(answer.report_id, None) is not None:
                        answers.append(answer)
            except BackendUnavailableError as cut:
                error = cut
            if waiting:
                await backoff.pause(error)
        return answers

    async def report_block(self, block_index: int, *, opened_at: int, ledger: int) -> bool:
        """Tells of a detected block (`opened_at`: Unix seconds of ledger time); False if it was told before."""
        backoff = Backoff()
        while True:
            try:
                return await self._backend.report_block(block_index, opened_at=opened_at, ledger=ledger)
            except BackendUnavailableError as error:
                await backoff.pause(error)

    async def attend(self, state: Callable[[], State]) -> AsyncGenerator[Notice, None]:
        """Is present for as long as it is iterated: what the backend says, over as many streams as it takes.

        A notice counts as dealt with, and is answered with `state()`, when the next one is asked for. On a new stream
        numbers begin at 1 again, and what still holds is said again.
        """
        backoff = Backoff()
        while True:
            states: asyncio.Queue[State] = asyncio.Queue()
            states.put_nowait(state())
            error: BackendUnavailableError | None = None
            try:
                async with aclosing(self._backend.attend(_drawn(states))) as notices:
                    async for notice in notices:
                        backoff.reset()
                        yield notice
                        states.put_nowait(replace(state(), acknowledged=notice.number))
            except BackendUnavailableError as cut:
                error = cut
            await backoff.pause(error)


async def _drawn(states: asyncio.Queue[State]) -> AsyncGenerator[State, None]:
    while True:
        yield await states.get()


@asynccontextmanager
async def connect(
    urls: str,
    *,
    pooler_id: str,
    identity: Identity | None = None,
    token: str | None = None,
    deadline: float = DEADLINE_SECONDS,
) -> AsyncGenerator[PoolClient, None]:
    """A client; leaving the context closes its connection.

    Args:
        urls: `http://host:port` or `https://host:port`, several separated by commas: if one is gone the next serves.
        pooler_id: The pooler's stable name, 1 to 64 characters of [A-Za-z0-9._-].
        identity: The pooler's certificate, for a pool with its own authority; it is renewed while connected.
        token: What the backend knows the pooler by, where it asks for tokens.
        deadline: Seconds that a unary call may take and a stream of plants or reports may be silent.

    Raises:
        IdentityFilesError: The certificate cannot be read.
    """
    async with Line(urls, identity) as line, renewed(line, identity):
        yield PoolClient(line, GrpcBackend(line, pooler_id=pooler_id, timeout=deadline, token=token))
