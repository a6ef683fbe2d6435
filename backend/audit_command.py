"""`kale-backend audit`: the audit trail, verified and shown."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from backend.config import load_database_settings
from backend.db.database import Database
from backend.db.events import SqlEventStore
from backend.db.trail import TrailLine, block_trail
from backend.domain.audit import ChainHead, Verification, verify
from backend.errors import HeadFileError
from backend.failing import EXIT_FAULT, expected_errors
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing

app = typer.Typer(help="The audit trail: verify that nobody changed it, and show a block.", no_args_is_help=True)

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
    if as_json:
        typer.echo(json.dumps([asdict(line) | {"at": line.at.isoformat()} for line in lines]))
    elif lines:
        _print(block, lines)
    else:
        typer.echo(f"nothing is recorded of block {block}")


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


@contextlib.asynccontextmanager
async def opened_database(env_file: Path) -> AsyncIterator[Database]:
    """The database of the settings, migrated and checked."""
    settings = load_database_settings(existing(env_file))
    logs.configure(settings.log_level, settings.secrets())
    database = Database(settings.database_url.get_secret_value(), max_connections=_CONNECTIONS)
    try:
        await database.check(owner_allowed=True)
        yield database
    finally:
        await database.close()


def _print(block: int, lines: list[TrailLine]) -> None:
    table = Table(title=f"Block {block}")
    for name in ("time (UTC)", "what", "farmer", "pooler", "details"):
        table.add_column(name, overflow="fold")
    for line in lines:
        details = ", ".join(f"{name} {value}" for name, value in line.details.items())
        farmer = "" if line.farmer is None else f"{line.farmer[:4]}…{line.farmer[-4:]}"
        table.add_row(f"{line.at:%H:%M:%S.%f}"[:-3], line.what.replace("_", " "), farmer, line.pooler or "", details)
    Console().print(table)
