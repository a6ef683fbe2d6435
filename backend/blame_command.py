"""`kale-backend blame`: what went wrong in a block, and whose it is."""

import asyncio
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend.audit_command import opened_database
from backend.db.outcomes import Outcome, block_outcomes
from backend.failing import expected_errors
from kale_common.command import ENV_FILE, EnvFile, Json


def blame_command(
    block: Annotated[int, typer.Option(help="Index of the block.", min=0)],
    env_file: EnvFile = ENV_FILE,
    *,
    as_json: Json = False,
) -> None:
    """Show every farmer's outcome in a block, with the cause and the owner of what failed, and sums by owner."""
    with expected_errors():
        outcomes = asyncio.run(_outcomes(env_file, block))
    owners = Counter(outcome.owner for outcome in outcomes if outcome.owner)
    if as_json:
        typer.echo(json.dumps({"outcomes": [asdict(outcome) for outcome in outcomes], "owners": dict(owners)}))
    elif outcomes:
        _print(block, outcomes, owners)
    else:
        typer.echo(f"the pool planted nobody in block {block}")


async def _outcomes(env_file: Path, block: int) -> list[Outcome]:
    async with opened_database(env_file) as database:
        return await block_outcomes(database, block)


def _print(block: int, outcomes: list[Outcome], owners: Counter[str]) -> None:
    table = Table(title=f"Block {block}")
    for name in ("farmer", "plant", "zeros", "harvest", "failed", "reason", "cause", "owner"):
        table.add_column(name)
    for one in outcomes:
        zeros = "" if one.zeros is None else str(one.zeros)
        farmer = f"{one.farmer[:4]}…{one.farmer[-4:]}"
        table.add_row(farmer, one.plant, zeros, one.harvest, one.failed, one.reason, one.cause, one.owner)
    Console().print(table)
    sums = ", ".join(f"{owner} {count}" for owner, count in owners.most_common())
    typer.echo(f"failures by owner: {sums}" if sums else "nothing failed")
