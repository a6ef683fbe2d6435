"""Having farmers planted and taking them on, one stream of plants per block."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from kale_chain.errors import Retry
from pooler.domain.assignment import Assignment
from pooler.errors import BackendRefusedError
from pooler.ports import Backend, Journal, PlantedEvent, PlantFailedEvent, PlantsDone
from pooler.services.retrying import resumed_plants

log = structlog.get_logger(__name__)


class Assigning:
    """Asks the backend to plant; every planted farmer becomes an assignment.

    Args:
        backend: The backend.
        journal: Keeps what was asked and assigned.
        farmers: How many farmers to ask for in a block.
        take: Called with each new assignment, as its event arrives.
        ready: Awaited before anything is asked.
        tasks: Where the streams run.
    """

    def __init__(
        self,
        backend: Backend,
        journal: Journal,
        *,
        farmers: int,
        take: Callable[[Assignment], None],
        ready: Callable[[], Awaitable[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._backend = backend
        self._journal = journal
        self._farmers = farmers
        self._take = take
        self._ready = ready
        self._tasks = tasks
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._last_number: dict[int, int] = {}
        self._done: set[int] = set()

    @property
    def asking(self) -> bool:
        """Whether plants are under way."""
        return bool(self._streams)

    def ask(self, block_index: int) -> None:
        """Has farmers planted in a block; does nothing while or after that happens."""
        if block_index in self._done or block_index in self._streams:
            return
        stream = self._tasks.create_task(self._ask(block_index), name=f"plants of block {block_index}")
        self._streams[block_index] = stream
        stream.add_done_callback(lambda _: self._streams.pop(block_index, None))

    def leave_before(self, block_index: int) -> None:
        """Ends the streams of blocks before `block_index`: nobody can be worked for in them any more."""
        for index in [index for index in self._streams if index < block_index]:
            self._streams[index].cancel()
        self._done = {index for index in self._done if index >= block_index}
        self._last_number = {index: last for index, last in self._last_number.items() if index >= block_index}

    async def _ask(self, block_index: int) -> None:
        await self._ready()
        await self._journal.requested(block_index)
        try:
            await self._until_done(block_index)
        except BackendRefusedError as error:
            log.warning("plants refused", block_index=block_index, reason=error.reason, code=error.code)
            if error.retry is Retry.NEVER:
                self._done.add(block_index)
            return
        self._done.add(block_index)

    async def _until_done(self, block_index: int) -> None:
        plants = resumed_plants(
            self._backend, block_index, farmers=self._farmers, after=self._last_number.get(block_index, 0)
        )
        async for message in plants:
            if isinstance(message, PlantsDone):
                log.info("plants are final", block_index=block_index, planted=message.planted, failed=message.failed)
            else:
                await self._event(block_index, message)

    async def _event(self, block_index: int, event: PlantedEvent | PlantFailedEvent) -> None:
        if isinstance(event, PlantFailedEvent):
            log.info(
                "plant failed",
                block_index=block_index,
                farmer_id=event.farmer_id,
                reason=event.reason,
                message=event.message,
            )
        elif await self._journal.assigned(event.assignment):
            self._take(event.assignment)
        self._last_number[block_index] = event.number
