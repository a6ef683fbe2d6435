"""The command behind `make demo`."""

import asyncio
import contextlib
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from devnet.demo.pool import Options, Outcome, Pool
from devnet.demo.view import account_table, block_table, console
from kale_common.processes import ServiceError

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    *,
    farmers: Annotated[int, typer.Option(min=1, max=500, help="Farmers in the pool.")] = 10,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks to farm; one more is opened to harvest the last.")] = 3,
    neighbours: Annotated[int, typer.Option(min=0, help="Simulated farmers outside the pool.")] = 20,
    close_seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two ledgers (each counts 5 s).")] = 0.5,
    keep: Annotated[bool, typer.Option("--keep", help="Farm on until Ctrl-C.")] = False,
    directory: Annotated[Path | None, typer.Option(help="Where logs and keys go (default: a new folder).")] = None,
) -> None:
    """Farms KALE with a whole pool on a local ledger, and proves every balance at the end.

    Exit code 0: every farmer planted, worked and harvested in every block, and the books equal the ledger.
    """
    place = directory or Path(tempfile.mkdtemp(prefix="kale-demo-"))
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = Options(
        farmers=farmers,
        blocks=blocks,
        neighbours=neighbours,
        close_seconds=close_seconds,
        keep=keep,
        directory=place.resolve(),
        run_id=f"demo-{secrets.token_hex(4)}",
    )
    screen = console()
    screen.print(f"Logs: {place}")
    try:
        outcome = asyncio.run(_farm(options))
    except ServiceError as error:
        screen.print(f"[bold red]The demonstration failed:[/] {error}", markup=True, highlight=False)
        raise typer.Exit(1) from error
    screen.print(block_table(outcome.blocks))
    screen.print(account_table(outcome.accounts))
    screen.print(outcome.verdict)
    raise typer.Exit(0 if outcome.good else 1)


async def _farm(options: Options) -> Outcome:
    """Runs the pool; a signal stops it in order, as soon as everything has started."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        pool = await Pool.start(options, stack, console())
        return await pool.farm(stop)


if __name__ == "__main__":
    sys.exit(app())
