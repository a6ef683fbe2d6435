"""`kale-backend audit`: the audit trail, verified and shown."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from backend.by_hand import by_hand
from backend.config import DatabaseSettings, load_database_settings
from backend.db.database import Database
from backend.db.events import SqlEventStore
from backend.db.trail import TrailLine, block_trail, change_trail
from backend.domain import requests
from backend.domain.audit import ChainHead, Verification, verify
from backend.errors import HeadFileError
from backend.failing import EXIT_FAULT, expected_errors
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing

app = typer.Typer(
    help="The audit trail: verify that nobody changed it; show a block, or who changed what.", no_args_is_help=True
)

_CONNECTIONS = 2


@app.command("verify")
def verify_command(
    env_file: EnvFile = ENV_FILE,
    *,
    head: Annotated[Path | None, typer.Option(help="A head file kept outside the database; it must match.")] = None,
    as_json: Json = False,
) -> None:
    """Hash the whole trail anew; exit code 1 if an event was edited, removed, inserted or moved."""
    with expected_errors():
        found, lost = asyncio.run(_verified(env_file, None if head is None else read_head(head)))
    fault = found.fault or (f"{lost} events are not in the chain and do not wait for it" if lost else None)
    if as_json:
        head_values = {"number": found.head.number, "hash": found.head.hash.hex()}
        typer.echo(json.dumps({"links": found.links, "head": head_values, "fault": fault}))
    elif fault is None:
        typer.echo(f"{found.links} events, none changed; the last has hash {found.head.hash.hex()}")
    else:
        typer.echo(f"CHANGED: {fault}. The {found.links} events before are as they were recorded.")
    raise typer.Exit(0 if fault is None else EXIT_FAULT)


@app.command("show")
def show_command(
    block: Annotated[int, typer.Option(help="Index of the block.", min=0)],
    env_file: EnvFile = ENV_FILE,
    *,
    as_json: Json = False,
) -> None:
    """Show what happened in a block: events and transactions in the order of their recording."""
    with expected_errors():
        lines = asyncio.run(_shown(env_file, block))
    _tell(lines, f"block {block}", as_json=as_json)


@app.command("changes")
def changes_command(
    env_file: EnvFile = ENV_FILE,
    *,
    farmer: Annotated[str | None, typer.Option(help="Only this farmer's; its id.")] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the last ones.")] = 100,
    as_json: Json = False,
) -> None:
    """Show who changed what: tokens, certificates, settings, payout addresses, limits, the switch, withdrawals."""
    with expected_errors():
        farmer_id = None if farmer is None else requests.farmer_uuid(farmer)
        lines = asyncio.run(_changed(env_file, farmer_id, most))
    _tell(lines, "changes", as_json=as_json)


def read_head(path: Path) -> ChainHead:
    """The head of the chain from a head file.

    Raises:
        HeadFileError: the file is missing, unreadable or holds no head of the chain.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return ChainHead(int(values["link_number"]), bytes.fromhex(values["link_hash"]))
    except OSError as error:
        raise HeadFileError(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise HeadFileError(path, "holds no head of the audit chain; name one that the backend wrote") from None


async def _verified(env_file: Path, recorded: ChainHead | None) -> tuple[Verification, int]:
    async with opened_database(env_file) as database:
        events = SqlEventStore(database)
        return await verify(events.links(), recorded), await events.unsealed()


async def _shown(env_file: Path, block: int) -> list[TrailLine]:
    async with opened_database(env_file) as database:
        return await block_trail(database, block)


async def _changed(env_file: Path, farmer_id: UUID | None, most: int) -> list[TrailLine]:
    async with opened_database(env_file) as database:
        return await change_trail(database, farmer_id, most)


def opened_database(env_file: Path) -> AbstractAsyncContextManager[Database]:
    """The database that a file's settings name, migrated and checked."""
    return database_of(load_database_settings(existing(env_file)))


@contextlib.asynccontextmanager
async def database_of(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """The database of settings, migrated and checked."""
    logs.configure(settings.log_level, settings.secrets())
    database = Database(settings.database_url.get_secret_value(), max_connections=_CONNECTIONS)
    try:
        await database.check(owner_allowed=True)
        with by_hand():
            yield database
    finally:
        await database.close()


def _tell(lines: list[TrailLine], of: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(line) | {"at": line.at.isoformat()} for line in lines]))
    elif lines:
        Console().print(_table(lines, of.capitalize()))
    else:
        typer.echo(f"nothing is recorded of {of}")


def _table(lines: list[TrailLine], title: str) -> Table:
    table = Table(title=title)
    for name in ("time (UTC)", "what", "farmer", "pooler", "details"):
        table.add_column(name, overflow="fold")
    for line in lines:
        details = ", ".join(f"{name} {value}" for name, value in line.details.items())
        farmer = "" if line.farmer is None else f"{line.farmer[:4]}…{line.farmer[-4:]}"
        at = f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
        table.add_row(at, line.what.replace("_", " "), farmer, line.pooler or "", details)
    return table
