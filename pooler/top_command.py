"""`kale-pooler top`: a live view of a running pooler."""

from typing import Annotated

import typer

from kale_common.command import until_signal
from kale_common.live import show
from pooler.api.status_client import glances


def top_command(
    pooler: Annotated[str, typer.Option(help="host:port of its gRPC listener.")] = "127.0.0.1:3001",
    *,
    once: Annotated[bool, typer.Option(help="Draw one picture and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Watch a running pooler: block, seconds left, zeros of each farmer, hash rate, what is wrong."""
    until_signal(show(glances(pooler), once=once, as_json=as_json))
