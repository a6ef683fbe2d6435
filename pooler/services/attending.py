"""Being counted among the poolers: the state goes to the backend, and farmers are given and taken in return."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import structlog

from pooler.domain.assignment import Assignment
from pooler.domain.presence import Notice, State, TakenLease
from pooler.errors import BackendRefusedError, BackendUnavailableError
from pooler.ports import Backend, Journal
from pooler.services.retrying import Backoff

log = structlog.get_logger(__name__)

REFUSED_PAUSE_SECONDS = 30.0


class Attending:
    """Attends for ever; a stream that breaks is opened anew, and what still holds is told again.

    Args:
        backend: The backend.
        journal: Keeps what was given and taken.
        state: What there is to tell now; `acknowledged` and `draining` are filled in here.
        take: Called with each farmer given.
        release: Called with each farmer taken.
    """

    def __init__(
        self,
        backend: Backend,
        journal: Journal,
        *,
        state: Callable[[], State],
        take: Callable[[Assignment], None],
        release: Callable[[TakenLease], None],
    ) -> None:
        self._backend = backend
        self._journal = journal
        self._state = state
        self._take = take
        self._release = release
        self._states: asyncio.Queue[State] = asyncio.Queue()
        self._acknowledged = 0
        self._draining = False
        self._drained = asyncio.Event()
        self._settled = asyncio.Event()
        self.attends = False

    async def run(self) -> None:
        """Attends for ever."""
        backoff = Backoff()
        while True:
            pause = 0.0
            try:
                await self._attend()
            except BackendRefusedError as error:
                # A backend that knows no attendance still plants for whoever asks.
                log.warning("attendance refused", code=error.code, reason=error.reason)
                pause = REFUSED_PAUSE_SECONDS
            except BackendUnavailableError as error:
                log.info("attendance broke off", problem=str(error))
                pause = error.retry_after_seconds
            finally:
                if self.attends:
                    backoff.reset()
                self.attends = False
                self._drained.set()
                self._settled.set()
            await asyncio.sleep(backoff.seconds(pause))

    async def settled(self) -> None:
        """Waits until it is known whether this pooler attends: who asks for plants before gets no fair share."""
        await self._settled.wait()

    async def drain(self) -> None:
        """Has every farmer given to others; returns once that is done, or at once where nobody listens."""
        self._draining = True
        if not self.attends:
            return
        log.info("draining")
        self._drained.clear()
        self._tell()
        await self._drained.wait()

    async def _attend(self) -> None:
        self._states = asyncio.Queue()
        self._acknowledged = 0
        self._tell()
        async for notice in self._backend.attend(self._told()):
            await self._heed(notice)
            self._acknowledged = notice.number
            self._tell()

    async def _told(self) -> AsyncIterator[State]:
        states = self._states
        while True:
            yield await states.get()

    def _tell(self) -> None:
        self._states.put_nowait(replace(self._state(), acknowledged=self._acknowledged, draining=self._draining))

    async def _heed(self, notice: Notice) -> None:
        if notice.welcome is not None:
            log.info("attending", backend_version=notice.welcome)
            self.attends = True
            self._settled.set()
        for assignment in notice.given:
            if await self._journal.assigned(assignment):
                self._take(assignment)
        if notice.taken:
            await self._journal.taken(notice.taken)
            for lease in notice.taken:
                self._release(lease)
        if notice.drained is not None:
            log.info("drained", kept=notice.drained)
            self._drained.set()
