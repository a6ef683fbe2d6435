"""The live views of both services: what a status says, drawn on a terminal and kept up to date."""

import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kale_chain.model import BLOCK_SECONDS

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 100
_HISTORY = 90
_MOST_ROWS = 30
_MEGA = 1_000_000


class Light(IntEnum):
    """How a part is."""

    UP = 1
    DEGRADED = 2
    DOWN = 3


_COLOURS = {Light.UP: "green", Light.DEGRADED: "yellow", Light.DOWN: "red"}


@dataclass(frozen=True, slots=True)
class PartLight:
    """One part, how it is, and why it is not up."""

    name: str
    light: Light
    detail: str


@dataclass(frozen=True, slots=True)
class Glance:
    """A service at one moment.

    Attributes:
        title: Which service, and where.
        version: Its version.
        uptime_seconds: Since it began.
        ledger_sequence: The last closed ledger.
        block_index: The farm's block.
        block_age_seconds: Ledger time since it opened; None before the first block.
        farm_paused: Whether the farm takes no plants.
        parts: What it depends on.
        figures: Name and text of its figures, in order.
        hashes_per_second: Its hash rate.
        header: Names of the table's columns.
        rows: The table.
        problem: Why there is no answer now; None while there is.
    """

    title: str
    version: str = ""
    uptime_seconds: int = 0
    ledger_sequence: int = 0
    block_index: int = 0
    block_age_seconds: int | None = None
    farm_paused: bool = False
    parts: Sequence[PartLight] = ()
    figures: Sequence[tuple[str, str]] = ()
    hashes_per_second: float = 0.0
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    problem: str | None = None


class LiveView:
    """The picture: the newest glance, and the hash rates before it."""

    def __init__(self) -> None:
        self._glance = Glance("connecting …")
        self._rates: deque[float] = deque(maxlen=_HISTORY)

    def take(self, glance: Glance) -> None:
        """Shows a glance; one without an answer leaves the last picture and says why."""
        if glance.problem is None:
            self._rates.append(glance.hashes_per_second)
        self._glance = glance

    def __rich__(self) -> RenderableType:
        """The picture."""
        glance = self._glance
        parts: list[RenderableType] = [self._block(), self._figures(), self._rate(), _lights(glance.parts)]
        if glance.rows:
            parts.append(_rows(glance))
        if glance.problem is not None:
            parts.insert(0, Text(f"no answer, trying again: {glance.problem}", style="bold red"))
        return Panel(Group(*parts), title=f"{glance.title} {glance.version}", width=_WIDTH)

    def _block(self) -> RenderableType:
        glance = self._glance
        if glance.block_age_seconds is None:
            return Text(f"ledger {glance.ledger_sequence}: no block has opened yet")
        age = min(glance.block_age_seconds, BLOCK_SECONDS)
        state = "PAUSED by its owner" if glance.farm_paused else f"{BLOCK_SECONDS - age} s left"
        line = f"block {glance.block_index}   ledger {glance.ledger_sequence}   {state}"
        return Group(Text(line, style="bold"), ProgressBar(total=BLOCK_SECONDS, completed=age, width=_WIDTH - 6))

    def _figures(self) -> RenderableType:
        grid = Table.grid(padding=(0, 3))
        pairs = [*self._glance.figures, ("up", _duration(self._glance.uptime_seconds))]
        for start in range(0, len(pairs), 4):
            grid.add_row(*(f"{name} [bold]{text}[/]" for name, text in pairs[start : start + 4]))
        return grid

    def _rate(self) -> RenderableType:
        return Text(f"hash rate {self._glance.hashes_per_second / _MEGA:8.2f} MH/s  {graph(self._rates)}")


def graph(values: Sequence[float] | deque[float]) -> str:
    """The values as bars, the greatest the highest."""
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BARS[min(int(value / top * len(_BARS)), len(_BARS) - 1)] for value in values)


def _lights(parts: Sequence[PartLight]) -> RenderableType:
    lights = Table.grid(padding=(0, 2))
    for part in parts:
        lights.add_row(Text("●", style=_COLOURS[part.light]), part.name, Text(part.detail, overflow="fold"))
    return lights


def _rows(glance: Glance) -> RenderableType:
    table = Table(box=None, padding=(0, 1))
    for name in glance.header:
        table.add_column(name)
    for row in glance.rows[:_MOST_ROWS]:
        table.add_row(*row)
    if len(glance.rows) > _MOST_ROWS:
        table.add_row(f"and {len(glance.rows) - _MOST_ROWS} more")
    return table


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{left:02}"


async def show(glances: AsyncIterator[Glance], *, once: bool, as_json: bool) -> None:
    """Draws glances as they come, until there are no more; with `once` the first that has an answer, and ends.

    As JSON each is one line.
    """
    view = LiveView()
    if as_json:
        async for glance in glances:
            typer.echo(json.dumps(asdict(glance)))
            if once and glance.problem is None:
                return
        return
    if once:
        async for glance in glances:
            if glance.problem is None:
                view.take(glance)
                Console().print(view)
                return
    with Live(view, screen=False, refresh_per_second=4):
        async for glance in glances:
            view.take(glance)
