"""A pool of real processes that farms until it is stopped, in a folder that goes with it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console

from devnet.demo.pool import Options
from kale_common.processes import ServiceError

_NEIGHBOURS = 3


@contextlib.contextmanager
def scratch_pool(name: str, *, farmers: int, close_seconds: float, console: Console) -> Iterator[Options]:
    """What to start a pool with; its folder is there while the block runs.

    Raises:
        typer.Exit: With code 1, and said on the console, where a process of the pool did not come back.
    """
    with tempfile.TemporaryDirectory(prefix=f"kale-{name.partition('-')[0]}-") as place:
        options = Options(
            farmers=farmers,
            blocks=1,
            neighbours=_NEIGHBOURS,
            close_seconds=close_seconds,
            keep=True,
            directory=Path(place),
            run_id=name,
            usual_ports=False,
        )
        try:
            yield options
        except ServiceError as error:
            console.print(f"the pool did not come back: {error}", markup=False)
            raise typer.Exit(1) from error
