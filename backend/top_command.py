"""`kale-backend top`: a live view of a running backend."""

from typing import Annotated

import typer

from backend.api.status_client import glances
from backend.failing import expected_errors
from backend.operator_options import BackendAddress, TokenFile, token_from
from kale_common.command import until_signal
from kale_common.live import show


def top_command(
    backend: BackendAddress = "127.0.0.1:3000",
    token_file: TokenFile = None,
    *,
    once: Annotated[bool, typer.Option(help="Draw one picture and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Watch a running backend: block, seconds left, farmers, poolers, transactions in flight, what is wrong."""
    with expected_errors():
        until_signal(show(glances(backend, token_from(token_file)), once=once, as_json=as_json))
