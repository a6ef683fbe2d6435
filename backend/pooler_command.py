"""`kale-backend pooler`: who may search for the pool's farmers."""

import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from backend.by_hand import by_hand
from backend.config import TrustSettings, load_trust_settings
from backend.db import open_stores
from backend.domain.requests import pooler_name
from backend.domain.trust import SCORED_BLOCKS, CertificateKind, Score, Standing
from backend.errors import UnknownPoolerError
from backend.failing import expected_errors
from backend.ports.stores import Stores
from backend.tls.authority import Authority
from kale_common import logs
from kale_common.certificates import invitation_text, key_pem, new_key, signing_request, write_private
from kale_common.command import ENV_FILE, EnvFile, Json, existing, until_signal

app = typer.Typer(help="Poolers that are let in with certificates, and how they do.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The pooler's POOLER_ID.")]
Result = TypeVar("Result")


@app.command("enrol")
def enrol_command(
    name: Name,
    *,
    backend: Annotated[str, typer.Option(help="Where the pooler reaches this backend: host:port of POOLER_PORT.")] = "",
    output: Annotated[Path | None, typer.Option(help="The invitation's file; by default NAME.invitation.")] = None,
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Invite a pooler: write a file for `kale-pooler enrol`, good once within 15 minutes. It is a secret."""
    with expected_errors():
        settings = _settings(env_file)
        address = backend or f"localhost:{settings.pooler_port}"
        path = output or Path(f"{name}.invitation")
        authority = Authority.open(settings.authority_directory())
        key = new_key()
        issued = authority.issue(signing_request(key, name), pooler_name(name), CertificateKind.INVITATION)
        _with_stores(settings, lambda stores: stores.trust.issue(issued))
        text = invitation_text(name, address, authority.certificate, issued.pem, key_pem(key))
        write_private(path, text)
        until = f"{issued.not_after:%Y-%m-%d %H:%M:%S} UTC"
        if as_json:
            typer.echo(json.dumps({"pooler_id": name, "invitation": str(path), "backend": address, "until": until}))
        else:
            typer.echo(
                f"wrote {path}, good once until {until}; on the pooler's machine: kale-pooler enrol --invitation {path}"
            )


@app.command("list")
def list_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show every pooler, how it stands, and what became of its farmers over the last 288 blocks."""
    with expected_errors():
        scores = _with_stores(_settings(env_file), lambda stores: stores.trust.scores())
        if as_json:
            typer.echo(json.dumps([dataclasses.asdict(score) for score in scores]))
        else:
            Console().print(_table(scores))


@app.command("revoke")
def revoke_command(
    name: Name,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the list later.")] = "revoked by the operator",
    env_file: EnvFile = ENV_FILE,
) -> None:
    """Let a pooler in no longer: its certificates and invitations are void, its streams end within a second."""
    _stand(name, Standing.REVOKED, reason, env_file)
    typer.echo(f"{name} is revoked; its farmers go to the other poolers")


@app.command("readmit")
def readmit_command(name: Name, *, env_file: EnvFile = ENV_FILE) -> None:
    """End a pooler's quarantine; one that was revoked needs a new invitation instead."""
    with expected_errors():
        scores = _with_stores(_settings(env_file), lambda stores: stores.trust.scores())
        known = {score.pooler_id: score.standing for score in scores}
        if known.get(name) is not Standing.QUARANTINED:
            raise UnknownPoolerError(name, "in quarantine")
    _stand(name, Standing.ENROLLED, "", env_file)
    typer.echo(f"{name} is let in again")


def _stand(name: str, standing: Standing, reason: str, env_file: Path) -> None:
    with expected_errors():

        async def stand(stores: Stores) -> bool:
            return await stores.trust.set_standing(name, standing, reason)

        if not _with_stores(_settings(env_file), stand):
            raise UnknownPoolerError(name, "known")


def _settings(env_file: Path) -> TrustSettings:
    settings = load_trust_settings(existing(env_file))
    logs.configure(settings.log_level, settings.secrets())
    return settings


def _with_stores(settings: TrustSettings, act: Callable[[Stores], Awaitable[Result]]) -> Result:
    async def acted() -> Result:
        url = settings.database_url.get_secret_value()
        stores = await open_stores(url, max_connections=2, owner_allowed=settings.owner_allowed)
        try:
            return await act(stores)
        finally:
            await stores.close()

    with by_hand():
        return until_signal(acted())


def _table(scores: list[Score]) -> Table:
    table = Table(title=f"Poolers; counts over the last {SCORED_BLOCKS} blocks")
    for column in ("pooler", "standing", "last ledger", "verified", "late", "wrong", "missing", "idle", "reason"):
        table.add_column(column)
    for score in scores:
        counts = (score.verified, score.late, score.wrong, score.missing, score.idle)
        table.add_row(score.pooler_id, score.standing, str(score.attended_ledger), *map(str, counts), score.reason)
    return table
