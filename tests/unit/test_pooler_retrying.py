"""Pauses with full jitter, and streams of plants that resume by themselves."""

from collections.abc import AsyncGenerator

import pytest

from kale_chain.errors import Retry
from pooler.errors import BackendRefusedError, BackendSilentError, BackendUnavailableError
from pooler.ports import PlantFailedEvent, PlantMessage, PlantsDone
from pooler.services import retrying
from pooler.services.retrying import Backoff, resumed_plants


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The bounds that every pause was drawn between; each is drawn as 0."""
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    monkeypatch.setattr(retrying.random, "uniform", uniform)
    return drawn


def test_bound_doubles_up_to_the_longest_and_begins_anew_once_answered(bounds: list[tuple[float, float]]) -> None:
    backoff = Backoff(first=0.1, longest=0.5)
    for _ in range(4):
        backoff.seconds()
    backoff.reset()
    backoff.seconds()
    assert bounds == [(0, 0.1), (0, 0.2), (0, 0.4), (0, 0.5), (0, 0.1)]


def test_pauses_are_spread_over_the_whole_range() -> None:
    pauses = [Backoff(first=1.0).seconds() for _ in range(400)]
    assert min(pauses) < 0.2
    assert max(pauses) > 0.8


def test_what_the_backend_asks_for_is_waited_at_least(bounds: list[tuple[float, float]]) -> None:
    assert Backoff().seconds(3.0) == 3.0
    assert len(bounds) == 1


class Streams:
    """A backend whose plant streams are scripted: messages, then how each ends."""

    def __init__(self, *streams: tuple[list[PlantMessage], Exception | None]) -> None:
        self._streams = list(streams)
        self.asked: list[int] = []

    async def plant(self, _block: int, *, farmers: int, resume_after: int) -> AsyncGenerator[PlantMessage, None]:
        assert farmers == 5
        self.asked.append(resume_after)
        messages, end = self._streams.pop(0)
        for message in messages:
            yield message
        if end is not None:
            raise end


def event(number: int) -> PlantFailedEvent:
    return PlantFailedEvent(number, f"farmer {number}", "INTERNAL", "")


async def taken(streams: Streams, after: int = 0) -> list[PlantMessage]:
    return [message async for message in resumed_plants(streams, 7, farmers=5, after=after)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("bounds")
async def test_every_event_comes_once_whatever_becomes_of_the_streams() -> None:
    done = PlantsDone(0, 3)
    streams = Streams(
        ([event(1)], BackendUnavailableError("cut")),
        ([event(1), event(2)], BackendSilentError("silent")),
        ([], None),
        ([event(3), done], None),
    )
    assert await taken(streams) == [event(1), event(2), event(3), done]
    assert streams.asked == [0, 1, 2, 2]


async def test_goes_on_after_what_an_earlier_run_has_taken() -> None:
    streams = Streams(([event(5), PlantsDone(0, 5)], None))
    assert len(await taken(streams, after=4)) == 2
    assert streams.asked == [4]


async def test_a_refusal_is_not_tried_again() -> None:
    streams = Streams(([], BackendRefusedError("NOT_FOUND", "no", Retry.NEVER)))
    with pytest.raises(BackendRefusedError):
        await taken(streams)
