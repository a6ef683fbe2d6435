"""The chain loop: every closed ledger is read once, ends what it ends, and then wakes everything else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from backend.domain.plant import FarmView
from backend.errors import BackendError, LeaseLostError, LedgerUnavailableError
from backend.ports.chain import ChainReader, ClosedLedgers, LedgerFeed
from backend.services.booking import Booking
from backend.services.pulse import Pulse
from backend.services.submitting import Ended, Submitting
from kale_chain.clock import BlockClock, Pace
from kale_chain.model import Farm, Ledger

_log = structlog.get_logger()


class FarmWatch:
    """What is known of the farm now. `closed` beats at every closed ledger, after its transactions were settled.

    `follow` is told of every sight of the farm before anything is built from it.
    """

    def __init__(self, reader: ChainReader, follow: Callable[[Farm], None]) -> None:
        self._reader = reader
        self._follow = follow
        self.closed = Pulse()
        self.fault: str | None = "the ledger has not been read yet"
        self._clock = BlockClock()
        self._view: FarmView | None = None
        self._last: Ledger | None = None

    @property
    def last(self) -> Ledger | None:
        """The last closed ledger whose transactions were settled."""
        return self._last

    @property
    def pace(self) -> Pace:
        """How fast ledgers close."""
        return self._clock.pace

    @property
    def known(self) -> FarmView | None:
        """The last view, however old; None before the first."""
        return self._view

    @property
    def view(self) -> FarmView:
        """The farm as of the last closed ledger.

        Raises:
            LedgerUnavailableError: it could not be read.
        """
        if self._view is None or self.fault is not None:
            raise LedgerUnavailableError(f"the farm cannot be read: {self.fault}")
        return self._view

    async def refresh(self, last: Ledger) -> None:
        """Reads the farm after `last` closed; a fault is remembered, not raised.

        `last` and `view` move together, and never back: whoever sees that a ledger has closed must not act on a view
        from before it, and two may ask at once.
        """
        self._clock.observe(last)
        view, fault = None, None
        try:
            view = await self._reader.view(last)
        except LedgerUnavailableError as error:
            fault = str(error)
        if self._last is not None and last.sequence < self._last.sequence:
            return
        self._last, self.fault = last, fault
        if view is not None:
            self._view = view
            self._follow(view.farm)


class Following:
    """Runs the chain loop; `listeners` are told of the attempts that ended."""

    def __init__(
        self,
        feed: LedgerFeed,
        submitting: Submitting,
        watch: FarmWatch,
        booking: Booking,
        listeners: Sequence[Callable[[Sequence[Ended]], None]] = (),
    ) -> None:
        self._feed = feed
        self._submitting = submitting
        self._watch = watch
        self._booking = booking
        self._listeners = listeners
        self._resending: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Reads the open attempts and the farm; the ledger after which to follow, so that none is missed or read twice.

        Raises:
            LedgerUnavailableError: the ledger is out of reach.
            DatabaseUnavailableError: the database is.
        """
        last = await self._feed.last()
        oldest = await self._submitting.load()
        await self._watch.refresh(last)
        _ = self._watch.view
        return await self._booking.start(oldest, last.sequence)

    async def run(self, after: int) -> None:
        """Follows the ledger for ever."""
        try:
            async for update in self._feed.updates(after):
                await self._take(update)
        finally:
            if self._resending is not None:
                self._resending.cancel()

    async def _take(self, update: ClosedLedgers) -> None:
        passage = await self._booking.read(update)
        ended = await self._submitting.advance(update, passage)
        for listener in self._listeners:
            listener(ended)
        await self._watch.refresh(update.last)
        self._watch.closed.beat()
        if self._resending is None or self._resending.done():
            self._resending = asyncio.create_task(self._submitting.resend())


async def repeat(
    name: str, watch: FarmWatch, act: Callable[[], Awaitable[None]], *, ledgers: int = 1, seconds: float | None = None
) -> None:
    """Runs `act` now, then every `ledgers` closed ledgers and at least every `seconds`.

    A fault, of database or ledger or of the program, is logged and only delays it.

    Raises:
        LeaseLostError: a newer backend acts now, and this one must end.
    """
    while True:
        seen = watch.closed.count
        try:
            await act()
        except LeaseLostError:
            raise
        except BackendError as error:
            _log.warning("going on at the next ledger", service=name, reason=error.reason, error=str(error))
        except Exception:  # noqa: BLE001  (a fault in one duty must not end the others: stakes depend on them)
            _log.exception("a fault of the program; going on at the next ledger", service=name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await watch.closed.after(seen + ledgers - 1)
