"""The command: runs a number of blocks, tells how it goes, and ends with 1 at the first violation."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from simulator.shards import SHARD_BLOCKS, Result, Results, Shard, run_all, run_shard, shards_of

_SUMS = ("ledgers", "pails", "lost", "checks", "lives", "restores")


class Store(StrEnum):
    """The kinds of databases."""

    MEMORY = "memory"
    POSTGRES = "postgres"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def simulate(
    *,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks to simulate.")] = 2000,
    seed: Annotated[int, typer.Option(help="Decides everything that happens.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    shard: Annotated[int, typer.Option(min=1, help="Blocks of one world.")] = SHARD_BLOCKS,
    results: Annotated[Path | None, typer.Option(help="Records finished shards; a later run goes on from it.")] = None,
    store: Annotated[Store, typer.Option(help="What the worlds keep their rows in.")] = Store.MEMORY,
    replay: Annotated[str | None, typer.Option(help="A shard's seed, as a violation names it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Lets the real backend farm in simulated worlds where much goes wrong, and checks that nothing is lost.

    Ends with 0 if no promise was broken, with 1 and what replays it at the first that was.
    """
    if replay is not None:
        _tell([run_shard(Shard(replay, blocks, store))], seconds=0.0, as_json=as_json)
        return
    record = Results(results)
    shards, finished = shards_of(seed, blocks, size=shard, store=store), record.finished()
    found = [finished[one] for one in shards if one in finished]
    started = time.monotonic()
    for result in run_all([one for one in shards if one not in finished], jobs=jobs):
        record.add(result)
        found.append(result)
        _progress(found, len(shards), started)
        if result.violation is not None:
            break
    _tell(found, seconds=time.monotonic() - started, as_json=as_json)


def main() -> None:
    """Runs the command."""
    app()


def _progress(found: list[Result], shards: int, started: float) -> None:
    blocks = sum(result.shard.blocks for result in found)
    seconds = time.monotonic() - started
    print(f"{len(found)} of {shards} shards, {blocks} blocks, {seconds:.0f} s", file=sys.stderr, flush=True)  # noqa: T201


def _tell(found: list[Result], *, seconds: float, as_json: bool) -> None:
    violations = [result for result in found if result.violation is not None]
    sums = {"blocks": sum(result.shard.blocks for result in found), "violations": len(violations)}
    sums |= {name: sum(result.outcome[name] for result in found) for name in _SUMS}
    if as_json:
        details = [{"what": result.violation, "replay": result.shard.command} for result in violations]
        typer.echo(json.dumps({**sums, "seconds": round(seconds, 1), "found": details}))
    else:
        typer.echo(", ".join(f"{name} {value}" for name, value in sums.items()))
        for result in violations:
            typer.echo(f"{result.violation}\nreplay: {result.shard.command}", err=True)
    if violations:
        raise typer.Exit(1)
