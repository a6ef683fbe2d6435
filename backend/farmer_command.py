"""`kale-backend farmer`: farmers of a running backend."""

import asyncio
import json
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console
from rich.progress import Progress

from backend.api.client import create_farmers
from backend.domain.farmer import (
    DEFAULT_HARVEST_AFTER_BLOCKS,
    DEFAULT_STAKE_BASIS_POINTS,
    MAX_HARVEST_AFTER_BLOCKS,
    MAX_STAKE_BASIS_POINTS,
    FarmerState,
)
from backend.failing import expected_errors
from backend.operator_options import BackendAddress, TokenFile, token_from
from kale_common.command import Json

app = typer.Typer(help="Farmers of a running backend.", no_args_is_help=True)

_PERCENT = 100
_EXIT_UNFINISHED = 1


@app.callback()
def _farmer() -> None:
    """Farmers of a running backend."""


@app.command("create")
def create_command(
    *,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 1,
    request_id: Annotated[
        str, typer.Option(help="Idempotency key: a repeat with the same one creates nothing more. Random by default.")
    ] = "",
    stake_percentage: Annotated[
        float, typer.Option(min=0, max=MAX_STAKE_BASIS_POINTS / _PERCENT, help="Part of the balance staked in a block.")
    ] = DEFAULT_STAKE_BASIS_POINTS / _PERCENT,
    harvest_after_blocks: Annotated[
        int, typer.Option(min=1, max=MAX_HARVEST_AFTER_BLOCKS, help="Harvest so many blocks after the plant.")
    ] = DEFAULT_HARVEST_AFTER_BLOCKS,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the accounts.")] = 120.0,
    backend: BackendAddress = "127.0.0.1:3000",
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Create farmers: sealed keys, sponsored accounts, KALE trustlines; many in one transaction.

    Exit code 1 if some are still being onboarded at the end of the time; that goes on by itself, and a repeat with the
    same --request-id waits for them.
    """
    prefix = request_id or str(uuid4())
    with expected_errors(), Progress(console=Console(stderr=True), transient=True) as progress:
        shown = progress.add_task("creating farmers", total=count)
        farmers = asyncio.run(
            create_farmers(
                backend,
                [f"{prefix}:{number}" for number in range(count)],
                stake_basis_points=round(stake_percentage * _PERCENT),
                harvest_after_blocks=harvest_after_blocks,
                wait_seconds=timeout,
                created=lambda: progress.advance(shown),
                token=token_from(token_file),
            )
        )
    if as_json:
        typer.echo(json.dumps({"request_id": prefix, "farmers": farmers}))
    else:
        typer.echo("\n".join(f"{one['farmer_id']} {one['wallet_address']} {one['state']}" for one in farmers))
    if any(one["state"] != FarmerState.ACTIVE for one in farmers):
        typer.echo(f"not all are active yet; repeat with --request-id {prefix} to wait for them", err=True)
        raise typer.Exit(_EXIT_UNFINISHED)
