"""When to ask the backend again: exponential pauses with full jitter, and plant streams that resume by themselves."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from pooler.errors import BackendError, BackendSilentError, BackendUnavailableError
from pooler.ports import Backend, PlantMessage, PlantsDone

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
"""Below a ledger's time: whatever the backend missed is asked of it within the ledger in which it is back."""


class Backoff:
    """Pauses between tries: the n-th is drawn between 0 and `first` · 2^n, at most `longest` (full jitter).

    Many poolers that lost the backend at one moment so come back spread out. What a backend asks for itself
    (`retry_after_seconds`) is waited at least.

    Args:
        first: Bound of the first pause, seconds.
        longest: Bound of every pause, seconds.
    """

    def __init__(self, first: float = FIRST_PAUSE_SECONDS, longest: float = LONGEST_PAUSE_SECONDS) -> None:
        self._first = first
        self._longest = longest
        self._bound = first

    def reset(self) -> None:
        """Something was answered: the next pause is a first one."""
        self._bound = self._first

    def seconds(self, asked: float = 0.0) -> float:
        """The next pause; `asked` is what the backend asked for."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        return asked + random.uniform(0.0, bound)  # noqa: S311  (no secret hangs on it)

    async def pause(self, error: BackendError | None = None) -> None:
        """Waits before the next try."""
        await asyncio.sleep(self.seconds(0.0 if error is None else error.retry_after_seconds))


async def resumed_plants(
    backend: Backend, block_index: int, *, farmers: int, after: int = 0
) -> AsyncGenerator[PlantMessage, None]:
    """A block's plants, each event once and in order, over as many streams as it takes; ends with `PlantsDone`.

    Args:
        backend: The backend.
        block_index: The block.
        farmers: How many to ask for; 0: every one.
        after: Number of the last event that was taken before.

    Raises:
        BackendRefusedError: The backend refused; its `retry` says whether to ask again.
    """
    backoff = Backoff()
    while True:
        try:
            async with aclosing(backend.plant(block_index, farmers=farmers, resume_after=after)) as stream:
                async for message in stream:
                    backoff.reset()
                    if isinstance(message, PlantsDone):
                        yield message
                        return
                    if message.number > after:
                        yield message
                        after = message.number
        except BackendSilentError:
            log.info("the plant stream was silent; asking again", block_index=block_index)
            continue
        except BackendUnavailableError as error:
            await backoff.pause(error)
        else:  # it ended without its summary
            await backoff.pause()
