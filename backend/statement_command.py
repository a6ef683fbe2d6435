"""`kale-backend farmer statement` and `kale-backend verify-statement`."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from backend.api.farmer_client import FarmerClient
from backend.chain.history import RpcTransactionHistory
from backend.domain import requests
from backend.domain.statement import SignedStatement, Statement, read_document
from backend.domain.verification import Movement, Verdict, verify
from backend.errors import StatementError
from backend.failing import EXIT_FAULT, expected_errors
from backend.farmer_settings_command import DEFAULT_BACKEND, FarmerId
from backend.operator_options import BackendAddress, TokenFile, token_from
from backend.vault.statement_key import signed_by
from kale_chain.identify import KNOWN_FARMS, identify
from kale_chain.rpc import StellarRpc
from kale_common.command import Json

_AT_ONCE = 8
"""Transactions that are read at a time."""


class Form(StrEnum):
    """The form of a statement."""

    JSON = "json"
    CSV = "csv"


def statement_command(
    farmer_id: FarmerId,
    *,
    begins: Annotated[
        str | None,
        typer.Option("--from", help="2026-11-01 or 2026-11-01T12:00:00Z; else the farmer's beginning."),
    ] = None,
    ends: Annotated[str | None, typer.Option("--to", help="Up to before this time; by default up to now.")] = None,
    form: Annotated[Form, typer.Option("--format", help="The signed document, or a table.")] = Form.JSON,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
    backend: BackendAddress = DEFAULT_BACKEND,
    token_file: TokenFile = None,
) -> None:
    """Get a farmer's statement: every booking of a period with its transaction hash, between two balances."""
    with expected_errors():
        client = FarmerClient(backend, token_from(token_file))
        first, last = requests.time("--from", begins), requests.time("--to", ends)
        document = asyncio.run(client.statement(farmer_id, first, last, as_csv=form is Form.CSV))
    if output is None:
        sys.stdout.buffer.write(document)
    else:
        output.write_bytes(document)
        typer.echo(f"wrote {output}", err=True)


def verify_statement_command(
    file: Annotated[Path, typer.Argument(help="A signed statement.", exists=True, dir_okay=False)],
    rpc_url: Annotated[str, typer.Option(help="Stellar RPC of your choice; nothing else is asked.")],
    *,
    key: Annotated[
        str | None, typer.Option(help="The pool's statement key (64 hexadecimal digits); the file's own by default.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Hold this table against the statement too.", exists=True)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a statement without the pool: its signature, its sums, and each entry against the chain.

    Exit code 0: everything agrees; what no transaction can prove is listed. 1: something differs.
    """
    with expected_errors():
        document = read_document(file.read_bytes())
        verdict, read = asyncio.run(_verified(document.statement, rpc_url, quiet=as_json))
        differences = [*_formal(document, key, csv_file), *verdict.differences]
    _tell(document, Verdict(verdict.proven, differences, verdict.unproven), read, as_json=as_json)
    raise typer.Exit(EXIT_FAULT if differences else 0)


def _formal(document: SignedStatement, key: str | None, csv_file: Path | None) -> list[str]:
    """What is wrong with the document before the chain is asked."""
    differences, statement = [], document.statement
    if not signed_by(document.public_key, document.signature, document.message):
        differences.append("the signature is not of this statement: it was changed, or never signed")
    if key is not None and key.lower() != document.public_key.hex():
        differences.append(f"it is signed with the key {document.public_key.hex()}, not with {key}")
    known = KNOWN_FARMS.get(statement.network)
    if known not in (None, statement.farm):
        differences.append(f"it is of the farm {statement.farm}, but KALE's on this network is {known}")
    if csv_file is not None and csv_file.read_bytes() != statement.csv().encode():
        differences.append(f"{csv_file} is not the table of this statement")
    return differences


async def _verified(statement: Statement, rpc_url: str, *, quiet: bool) -> tuple[Verdict, int]:
    """What the chain says, and how many transactions were read."""
    hashes = list(dict.fromkeys(entry.transaction for entry in statement.entries if entry.transaction))
    slots = asyncio.Semaphore(_AT_ONCE)
    console = Console(stderr=True, quiet=quiet)
    async with StellarRpc(rpc_url) as rpc:
        identity = await identify(rpc, farm_id=statement.farm, passphrase=statement.network)
        if statement.asset != f"{identity.asset_code}:{identity.asset_issuer}":
            raise StatementError(f"it is of the asset {statement.asset}, but the farm's is {identity.asset_code}")
        history = RpcTransactionHistory(rpc, identity)
        with Progress(console=console, transient=True) as progress:
            shown = progress.add_task("reading transactions", total=len(hashes))

            async def read(name: str) -> Movement | None:
                async with slots:
                    movement = await history.movement(name, statement.address)
                progress.advance(shown)
                return movement

            found = await asyncio.gather(*(read(name) for name in hashes))
        present = await history.present(statement.address)
    movements: Mapping[str, Movement | None] = dict(zip(hashes, found, strict=True))
    return verify(statement, movements, present), len([one for one in found if one is not None])


def _tell(document: SignedStatement, verdict: Verdict, read: int, *, as_json: bool) -> None:
    statement = document.statement
    if as_json:
        values = {"public_key": document.public_key.hex(), "transactions_read": read, **asdict(verdict)}
        typer.echo(json.dumps(values))
        return
    typer.echo(f"farmer {statement.farmer_id}, account {statement.address}")
    typer.echo(f"signed with {document.public_key.hex()}; the pool's status shows its key")
    typer.echo(f"{len(statement.entries)} entries, {verdict.proven} proven by {read} transactions")
    for text in verdict.unproven:
        typer.echo(f"not proven: {text}")
    for text in verdict.differences:
        typer.echo(f"DIFFERS: {text}")
    typer.echo("the statement DIFFERS" if verdict.differences else "nothing differs")
