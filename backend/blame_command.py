"""`kale-backend blame`: what went wrong in a block, and whose it is."""

import asyncio
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from backend.audit_command import opened_database
from backend.failing import expected_errors
from kale_common.command import ENV_FILE, EnvFile, Json

# The latest attribution of a row counts, and only while the row is still as it was then.
_OUTCOMES = text("""
SELECT
    f.wallet_address AS farmer, p.status AS plant, p.stake_amount AS stake_stroops, w.zeros,
    coalesce(h.status, '') AS harvest, h.reward_amount AS reward_stroops,
    coalesce(b.subject, '') AS failed, coalesce(b.reason, '') AS reason, coalesce(b.cause, '') AS cause,
    coalesce(b.owner, '') AS owner
FROM plant_transactions AS p
INNER JOIN farmers AS f ON f.id = p.farmer_id
LEFT JOIN harvest_transactions AS h ON h.block_index = p.block_index AND h.farmer_id = p.farmer_id
LEFT JOIN LATERAL (
    SELECT max(r.zeros) AS zeros FROM work_results AS r
    WHERE r.block_index = p.block_index AND r.farmer_id = p.farmer_id AND r.status IN ('success', 'unverified')
) AS w ON true
LEFT JOIN LATERAL (
    SELECT DISTINCT ON (a.row_id) a.subject, a.reason, a.cause, a.owner
    FROM attributions AS a
    WHERE a.block_index = p.block_index AND a.farmer_id = p.farmer_id AND (
        (a.subject = 'plant' AND p.status = 'failed')
        OR (a.subject = 'harvest' AND h.status IN ('failed', 'lost'))
        OR (a.subject = 'work' AND EXISTS (
            SELECT FROM work_results AS r WHERE r.id = a.row_id AND r.status IN ('failed', 'timeout')
        ))
    )
    ORDER BY a.row_id, a.id DESC
) AS b ON true
WHERE p.block_index = :block_index
ORDER BY f.created_at, f.id, b.subject
""")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a farmer in a block; a line for each of its failures, or one without."""

    farmer: str
    plant: str
    stake_stroops: int
    zeros: int | None
    harvest: str
    reward_stroops: int | None
    failed: str
    """plant, work, harvest, or empty where nothing failed."""
    reason: str
    cause: str
    owner: str


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
    async with opened_database(env_file) as database, database.transaction() as connection:
        return [Outcome(*row) for row in await connection.execute(_OUTCOMES, {"block_index": block})]


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
