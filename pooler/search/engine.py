"""The native engine as an asyncio citizen: its events come out of an async iterator, never through callbacks."""

import time
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from kale_chain.hashing import farmer_bytes
from kale_hash_rs import Engine, EngineClosedError, Event, Job, KernelUnavailableError, usable_threads
from kale_hash_rs._native import measure_rate
from pooler.domain.assignment import Assignment, Find
from pooler.errors import SearchError
from pooler.ports import Found

_RATE_SECONDS = 10.0
_MEASURED_SECONDS = 0.05
_BUSY_SECONDS = 5.0
_SPARE = "spare"


class NativeSearch:
    """A job of the engine."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def hashes(self) -> int:
        """Nonces tried."""
        return self._job.hashes

    def cancel(self) -> None:
        """Ends it; a repeat does nothing."""
        self._job.cancel()


class NativeEngine:
    """The cores of this machine, which always work for the search with the fewest zeros.

    The time to one more zero grows sixteenfold with every zero reached, so the next zero is cheapest where they are
    fewest. A context manager: leaving it stops and joins every worker.

    Args:
        cores: How many to search on at most; affinity mask and quota may allow less. None: all that they allow.
        kernel: "auto", or a kernel's name.

    Raises:
        SearchError: If this CPU cannot run the kernel.
    """

    def __init__(self, *, cores: int | None, kernel: str = "auto") -> None:
        self.usable_cores = usable_threads()
        threads = self.usable_cores if cores is None else min(cores, self.usable_cores)
        try:
            self._engine = Engine(threads, kernel, "fewest_zeros")
        except KernelUnavailableError as error:
            raise SearchError(f"HASH_KERNEL: {error}") from error
        self._samples: deque[tuple[float, int]] = deque()
        self._capacity = measure_rate(self._engine.kernel, _MEASURED_SECONDS) * self._engine.threads
        self._busy_since: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops every search and joins the workers. A repeat does nothing."""
        self._engine.close()

    @property
    def threads(self) -> int:
        """How many workers search."""
        return self._engine.threads

    @property
    def kernel(self) -> str:
        """The kernel in use."""
        return self._engine.kernel

    def search(
        self,
        assignment: Assignment,
        entropy: bytes,
        *,
        min_zeros: int,
        max_zeros: int,
        nonce_start: int,
        nonce_count: int,
        spare: bool = False,
    ) -> NativeSearch:
        """Starts a search."""
        job = self._engine.submit(
            assignment.block_index,
            entropy,
            farmer_bytes(assignment.address),
            min_zeros=min_zeros,
            max_zeros=max_zeros,
            nonce_start=nonce_start,
            nonce_count=nonce_count,
            tag=f"{assignment.block_index}:{assignment.address}:{_SPARE if spare else ''}",
        )
        return NativeSearch(job)

    async def finds(self) -> AsyncIterator[list[Found]]:
        """What searches find, in batches, until the engine is closed."""
        while True:
            try:
                events = await self._engine.next_events()
            except EngineClosedError:
                return
            yield [_found(event) for event in events]

    def rate(self) -> float:
        """Hashes a second over the last ten seconds of calls to this."""
        now = time.monotonic()
        self._samples.append((now, self._engine.stats().hashes))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:  # noqa: PLR2004 - two make a rate
            self._samples.popleft()
        (then, before), (_, hashes) = self._samples[0], self._samples[-1]
        return (hashes - before) / (now - then) if now > then else 0.0

    def capacity(self) -> float:
        """Hashes a second of all cores together: as measured while they searched, before that from one core's burst."""
        now, stats = time.monotonic(), self._engine.stats()
        if not stats.jobs:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = now, stats.hashes
        elif now - self._busy_since[0] >= _BUSY_SECONDS:
            since, before = self._busy_since
            self._capacity = (stats.hashes - before) / (now - since)
            self._busy_since = now, stats.hashes
        return self._capacity


def _found(event: Event) -> Found:
    block_index, address, kind = event.tag.split(":")
    find = None if event.find is None else Find(event.find.zeros, event.find.nonce, event.find.digest)
    return Found(int(block_index), address, find, event.ended, spare=kind == _SPARE)
