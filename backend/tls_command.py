"""`kale-backend tls`: the pool's certificate authority."""

import json
from typing import Annotated

import typer

from backend.config import load_tls_settings
from backend.failing import expected_errors
from backend.tls.authority import Authority
from kale_common.command import ENV_FILE, EnvFile, Json, existing

app = typer.Typer(help="The pool's certificate authority, which lets poolers in.", no_args_is_help=True)


@app.callback()
def _tls() -> None:
    """The pool's certificate authority."""


@app.command("create")
def create_command(
    *,
    name: Annotated[
        list[str] | None,
        typer.Option(help="A DNS name or IP address that poolers reach the backend by; may be repeated."),
    ] = None,
    env_file: EnvFile = ENV_FILE,
    as_json: Json = False,
) -> None:
    """Make the authority in TLS_DIRECTORY; one that exists is never overwritten. Keep a copy: poolers trust it."""
    with expected_errors():
        directory = load_tls_settings(existing(env_file)).authority_directory()
        names = name or ["localhost", "127.0.0.1"]
        Authority.create(directory, names)
        if as_json:
            typer.echo(json.dumps({"tls_directory": str(directory), "names": names}))
        else:
            typer.echo(f"wrote {directory} for {', '.join(names)}; keep a copy in a safe place")
