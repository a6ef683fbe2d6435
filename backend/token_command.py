"""`kale-backend token`: who may call the backend."""

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from backend.audit_command import opened_database
from backend.db.tokens import SqlTokenStore
from backend.domain import requests
from backend.domain.access import AccessToken, NewToken, Role, Scope, allowed_scopes, digest_of, new_token
from backend.errors import InvalidRequestError
from backend.failing import expected_errors
from kale_common.command import ENV_FILE, EnvFile, Json

app = typer.Typer(help="Tokens: who may call the backend, and what they may do.", no_args_is_help=True)

_DEFAULT_DAYS, _MAX_DAYS = 90, 3650

Farmer = Annotated[str | None, typer.Option(help="A farmer's id.")]


@app.command("create")
def create_command(
    role: Annotated[Role, typer.Option(help="For whom it is.")],
    label: Annotated[str, typer.Option(help="What it is for, 1 to 100 characters.")],
    env_file: EnvFile = ENV_FILE,
    *,
    farmer: Farmer = None,
    scope: Annotated[list[Scope] | None, typer.Option(help="Only these scopes; by default all of the role's.")] = None,
    days: Annotated[int, typer.Option(help="Days until it ends by itself.", min=1, max=_MAX_DAYS)] = _DEFAULT_DAYS,
    as_json: Json = False,
) -> None:
    """Make a token and print it. It is shown this once: only its SHA-256 is kept."""
    with expected_errors():
        farmer_id = None if farmer is None else requests.farmer_uuid(farmer)
        scopes = allowed_scopes(role, farmer_id, frozenset(scope or ()))
        text = new_token()
        digest = digest_of(text)
        assert digest is not None
        stored = asyncio.run(_created(env_file, NewToken(digest, requests.label(label), scopes, days, farmer_id)))
    if as_json:
        typer.echo(json.dumps({"token": text, **token_values(stored)}))
    else:
        typer.echo(text)
        typer.echo(f"id {stored.token_id}, good until {stored.expires_at:%Y-%m-%d %H:%M} UTC; shown only now", err=True)


@app.command("list")
def list_command(env_file: EnvFile = ENV_FILE, *, farmer: Farmer = None, as_json: Json = False) -> None:
    """Show every token, or one farmer's; the tokens themselves are not kept."""
    with expected_errors():
        farmer_id = None if farmer is None else requests.farmer_uuid(farmer)
        tokens = asyncio.run(_listed(env_file, farmer_id))
    if as_json:
        typer.echo(json.dumps([token_values(token) for token in tokens]))
    elif tokens:
        _print(tokens)
    else:
        typer.echo("there are no tokens")


@app.command("revoke")
def revoke_command(
    token_id: Annotated[str, typer.Argument(help="The token's id, as `token list` shows it.")],
    env_file: EnvFile = ENV_FILE,
    *,
    as_json: Json = False,
) -> None:
    """End a token for good, within a second; streams that it began end with their next message."""
    with expected_errors():
        token = asyncio.run(_revoked(env_file, _token_id(token_id)))
    typer.echo(json.dumps(token_values(token)) if as_json else f"revoked {token.token_id} ({token.label})")


def token_values(token: AccessToken) -> dict[str, Any]:
    """A token as JSON."""
    return {
        "id": str(token.token_id),
        "label": token.label,
        "farmerId": None if token.farmer_id is None else str(token.farmer_id),
        "scopes": sorted(token.scopes),
        "createdAt": token.created_at.isoformat(),
        "expiresAt": token.expires_at.isoformat(),
        "revokedAt": None if token.revoked_at is None else token.revoked_at.isoformat(),
        "valid": token.valid,
    }


def _token_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequestError("token id", f"{text[:64]!r} is not a UUID; `token list` shows them") from None


async def _created(env_file: EnvFile, token: NewToken) -> AccessToken:
    async with opened_database(env_file) as database:
        return await SqlTokenStore(database).create(token)


async def _listed(env_file: EnvFile, farmer_id: UUID | None) -> Sequence[AccessToken]:
    async with opened_database(env_file) as database:
        return await SqlTokenStore(database).all(farmer_id)


async def _revoked(env_file: EnvFile, token_id: UUID) -> AccessToken:
    async with opened_database(env_file) as database:
        return await SqlTokenStore(database).revoke(token_id)


def _print(tokens: Sequence[AccessToken]) -> None:
    table = Table()
    for name in ("id", "label", "farmer", "scopes", "expires (UTC)", "state"):
        table.add_column(name, overflow="fold")
    for token in tokens:
        state = "valid" if token.valid else "revoked" if token.revoked_at else "expired"
        farmer = "all" if token.farmer_id is None else str(token.farmer_id)
        scopes = " ".join(sorted(token.scopes))
        table.add_row(str(token.token_id), token.label, farmer, scopes, f"{token.expires_at:%Y-%m-%d %H:%M}", state)
    Console().print(table)
