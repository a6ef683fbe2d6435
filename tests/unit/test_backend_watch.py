"""The watch over the farm: what it shows of a ledger is never older than the ledger it names."""

import asyncio
from typing import Any, cast

import pytest

from backend.domain.plant import FarmView
from backend.errors import LedgerUnavailableError
from backend.ports.chain import ChainReader
from backend.services.following import FarmWatch
from kale_chain.model import Block, Farm, Ledger


class SlowReader:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked: dict[int, asyncio.Future[FarmView]] = {}

    async def view(self, ledger: Ledger) -> FarmView:
        return await self.asked.setdefault(ledger.sequence, asyncio.get_running_loop().create_future())

    def answer(self, ledger: Ledger) -> None:
        farm = Farm(7, Block.unseen(1_000), paused=False, ledger=ledger.sequence, live_until=10_000)
        self.asked[ledger.sequence].set_result(FarmView(farm, ledger, None))


@pytest.fixture
def reader() -> SlowReader:
    """The reader of the watch."""
    return SlowReader()


@pytest.fixture
def watch(reader: SlowReader) -> FarmWatch:
    """A watch that has seen nothing."""
    return FarmWatch(cast("ChainReader", reader), lambda _: None)


def ledger(sequence: int) -> Ledger:
    return Ledger(sequence, 1_000 + 5 * sequence)


async def begun(watch: FarmWatch, at: Ledger) -> asyncio.Task[Any]:
    """A refresh that waits for its answer."""
    task = asyncio.create_task(watch.refresh(at))
    await asyncio.sleep(0)
    return task


async def seen(watch: FarmWatch, reader: SlowReader, at: Ledger) -> None:
    task = await begun(watch, at)
    reader.answer(at)
    await task


async def test_ledger_is_known_only_together_with_its_view(watch: FarmWatch, reader: SlowReader) -> None:
    await seen(watch, reader, ledger(10))
    task = await begun(watch, ledger(50))
    assert (watch.last, watch.view.ledger) == (ledger(10), ledger(10))
    reader.answer(ledger(50))
    await task
    assert (watch.last, watch.view.ledger) == (ledger(50), ledger(50))


async def test_late_answer_does_not_take_the_view_back(watch: FarmWatch, reader: SlowReader) -> None:
    await seen(watch, reader, ledger(10))
    late = await begun(watch, ledger(11))
    await seen(watch, reader, ledger(12))
    reader.answer(ledger(11))
    await late
    assert (watch.last, watch.view.ledger) == (ledger(12), ledger(12))


async def test_fault_keeps_the_view_from_being_used(watch: FarmWatch, reader: SlowReader) -> None:
    await seen(watch, reader, ledger(10))
    task = await begun(watch, ledger(11))
    reader.asked[11].set_exception(LedgerUnavailableError("no answer"))
    await task
    assert watch.last == ledger(11)
    with pytest.raises(LedgerUnavailableError, match="no answer"):
        _ = watch.view
    assert watch.known is not None
