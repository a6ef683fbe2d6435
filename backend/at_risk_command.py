"""`kale-backend at-risk`: KALE in unharvested pails, by how much of their lives is used."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from backend.config import load_ledger_settings
from backend.db.database import Database
from backend.db.harvests import SqlHarvestStore, last_known_ledger
from backend.domain.life import LifeBand, bands
from backend.failing import expected_errors
from kale_chain.errors import RpcError
from kale_chain.model import STROOPS_PER_KALE
from kale_chain.rpc import StellarRpc
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing

_CONNECTIONS = 2


def at_risk_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show the KALE in unharvested pails by the part of their lives that is used; after its life a pail is lost.

    Where no RPC answers, lives are counted to the last ledger that the rows know, and that is said.
    """
    with expected_errors():
        ledger, fault, held = asyncio.run(_held(env_file))
    if as_json:
        values = {"ledger": ledger, "fault": fault, "pails": [asdict(band) for band in held]}
        typer.echo(json.dumps(values))
    else:
        _print(ledger, fault, held)


async def _held(env_file: Path) -> tuple[int, str | None, Sequence[LifeBand]]:
    """The ledger counted to, why it may be an old one, and the pails."""
    settings = load_ledger_settings(existing(env_file))
    logs.configure(settings.log_level, settings.secrets())
    database = Database(settings.database_url.get_secret_value(), max_connections=_CONNECTIONS)
    try:
        await database.check(owner_allowed=True)
        lives = await SqlHarvestStore(database).unharvested()
        ledger, fault = await _last_closed(settings.stellar_rpc_urls)
        if fault is not None:
            ledger = await last_known_ledger(database)
    finally:
        await database.close()
    return ledger, fault, bands([life.pail for life in lives], ledger)


async def _last_closed(urls: Sequence[str]) -> tuple[int, str | None]:
    try:
        async with StellarRpc(urls) as rpc:
            return (await rpc.latest_ledger()).sequence, None
    except RpcError as error:
        return 0, str(error)


def _print(ledger: int, fault: str | None, held: Sequence[LifeBand]) -> None:
    table = Table(title=f"Unharvested pails as of ledger {ledger}")
    for name in ("life used", "pails", "stakes (KALE)", "first ends with ledger"):
        table.add_column(name, justify="right")
    for band in held:
        used = "not read yet" if band.to_percent == 0 else f"{band.from_percent} % to {band.to_percent or 100} %"
        stakes = f"{Decimal(band.stake_stroops) / STROOPS_PER_KALE:f}"
        table.add_row(used, str(band.pails), stakes, str(band.first_end_ledger or ""))
    Console().print(table)
    if fault is not None:
        typer.echo(f"No RPC answers ({fault}): ledger {ledger} is the last one the rows know; lives may be shorter.")
