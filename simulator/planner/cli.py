"""The command: measures policies against the best possible and prints a table."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from simulator.planner import picture
from simulator.planner.measuring import Line, curve, lines, run_all, tasks

_WIDTH = 118

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def measure(
    *,
    scenario: Annotated[list[str] | None, typer.Option(help="Measure this scenario alone; may be repeated.")] = None,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of each season.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Seasons of each scenario, each with a seed of its own.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    svg: Annotated[Path | None, typer.Option(help="Draw the results into this folder, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measures what ways to plant and work earn, as a share of what was possible.

    Scenarios are named other farmers / our farmers / millions of hashes a second; "recorded" are blocks of the public
    network. The best possible is an oracle that knows when each block ends and loses nothing.
    """
    try:
        todo = tasks(scenario or [], seeds, blocks)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scenario") from error
    outcomes = []
    for task, outcome in run_all(todo, jobs):
        outcomes.append((task, outcome))
        typer.echo(f"{len(outcomes)} of {len(todo)} seasons: {task.name}", err=True)
    measured, once = lines(outcomes), curve(outcomes)
    if svg is not None:
        _draw(svg, measured, once)
    if as_json:
        found = {"lines": [line.as_json() for line in measured], "single_works": [line.as_json() for line in once]}
        typer.echo(json.dumps({"blocks": blocks, "seeds": seeds, **found}))
    else:
        plain = Console()
        Console(width=max(plain.width, _WIDTH)).print(_table(measured, blocks, seeds))


def main() -> None:
    """Runs the command."""
    app()


def _draw(folder: Path, measured: list[Line], once: list[Line]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "planning-shares.svg").write_text(picture.shares(measured), encoding="utf-8")
    if once:
        planned = next(line.share for line in measured if (line.scenario, line.policy) == (once[0].scenario, "planner"))
        (folder / "planning-ledgers.svg").write_text(picture.single_works(once, planned), encoding="utf-8")


def _table(measured: list[Line], blocks: int, seeds: int) -> Table:
    drawn = Table(
        title=f"{seeds} seasons of {blocks} blocks each",
        caption=(
            "share: income over the oracle's, mean (lowest–highest season); KALE, transactions, fees per block; "
            "lost stakes and unworked pails in all; missed: pails whose last work came too late"
        ),
    )
    for heading in ("scenario", "policy"):
        drawn.add_column(heading, no_wrap=True)
    for heading in (
        "share",
        "KALE",
        "stakes lost",
        "unworked",
        "last work missed",
        "transactions",
        "fees XLM",
        "overpaid",
    ):
        drawn.add_column(heading, justify="right")
    for line in measured:
        drawn.add_row(
            line.scenario,
            line.policy,
            f"{line.share:.3f} ({line.lowest:.3f}–{line.highest:.3f})",
            f"{line.kale:.1f}",
            str(line.lost_stakes),
            str(line.unworked),
            f"{line.missed:.1%}",
            f"{line.transactions:.0f}",
            f"{line.fees_xlm:.3f}",
            f"{line.overpaid:.1%}",
            end_section=line.policy == "naive",
        )
    return drawn
