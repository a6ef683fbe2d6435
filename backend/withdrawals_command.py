"""`kale-backend withdrawals`: the operator's hand on payments out, straight on the database."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from backend.by_hand import by_hand
from backend.config import load_database_settings
from backend.db import SqlStores, open_stores
from backend.domain.payout import Switch
from backend.domain.withdrawal import LIVE, PayoutReason, Refusal, Withdrawal
from backend.errors import BackendError
from backend.failing import expected_errors
from kale_chain.model import STROOPS_PER_KALE
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing

app = typer.Typer(help="Payments out: list them, pause all of them, let one go or refuse it.", no_args_is_help=True)

_CONNECTIONS = 2
T = TypeVar("T")
Reason = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]


@app.command("list")
def list_command(
    env_file: EnvFile = ENV_FILE,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the last ones.")] = 100,
    as_json: Json = False,
) -> None:
    """List withdrawals that are under way."""
    states = () if everything else tuple(LIVE)
    found = _on(env_file, lambda stores: stores.withdrawals.page(None, after=None, states=states, size=most))
    if as_json:
        typer.echo(json.dumps([_values(one) for one in found]))
        return
    table = Table()
    for name in ("withdrawal", "farmer", "kind", "state", "KALE", "to"):
        table.add_column(name, overflow="fold")
    for one in found:
        to = one.destination.address if one.destination else ""
        kale = f"{one.stroops / STROOPS_PER_KALE:.7f}"
        table.add_row(str(one.withdrawal_id), str(one.farmer_id), one.kind, one.state, kale, to)
    Console().print(table)


@app.command("show")
def show_command(farmer_id: UUID, withdrawal_id: UUID, env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Show a farmer's withdrawal."""
    values = _values(_on(env_file, lambda stores: stores.withdrawals.get(farmer_id, withdrawal_id)))
    typer.echo(json.dumps(values) if as_json else "\n".join(f"{name}: {value}" for name, value in values.items()))


@app.command("pause")
def pause_command(env_file: EnvFile = ENV_FILE, *, reason: Reason) -> None:
    """Pay nothing more, at once, a running backend included; what is signed already may still be applied."""
    _on(env_file, lambda stores: stores.withdrawals.turn(Switch(paused=True, reason=reason)))
    typer.echo("withdrawals are paused; `kale-backend withdrawals resume` lets them go on")


@app.command("resume")
def resume_command(env_file: EnvFile = ENV_FILE, *, reason: Reason) -> None:
    """Let withdrawals go on."""
    _on(env_file, lambda stores: stores.withdrawals.turn(Switch(paused=False, reason=reason)))
    typer.echo("withdrawals go on")


@app.command("status")
def status_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Tell whether withdrawals are paused, and why."""
    switch = _on(env_file, lambda stores: stores.withdrawals.switch())
    if as_json:
        typer.echo(json.dumps({"paused": switch.paused, "reason": switch.reason}))
    else:
        typer.echo(f"{'paused' if switch.paused else 'not paused'}: {switch.reason}")


@app.command("refuse")
def refuse_command(withdrawal_id: UUID, env_file: EnvFile = ENV_FILE, *, reason: Reason) -> None:
    """Refuse a withdrawal that was not sent yet: what was set aside is the farmer's again."""
    refusal = Refusal(PayoutReason.OPERATOR, reason)
    _changed(_on(env_file, lambda stores: stores.withdrawals.refuse(withdrawal_id, refusal)), "refused", withdrawal_id)


@app.command("let-go")
def let_go_command(withdrawal_id: UUID, env_file: EnvFile = ENV_FILE) -> None:
    """Let an exit that waits go beyond the day's limits."""
    _changed(_on(env_file, lambda stores: stores.withdrawals.waive_limit(withdrawal_id)), "let go", withdrawal_id)


def _changed(changed: bool, what: str, withdrawal_id: UUID) -> None:  # noqa: FBT001  (what the store answered)
    if not changed:
        with expected_errors():
            raise BackendError(f"{withdrawal_id} cannot be {what}: it is unknown, was sent or has ended")
    typer.echo(f"{what}: {withdrawal_id}")


def _on(env_file: Path, act: Callable[[SqlStores], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _stores(env_file) as stores:
            return await act(stores)

    with expected_errors(), by_hand():
        return asyncio.run(run())


@asynccontextmanager
async def _stores(env_file: Path) -> AsyncIterator[SqlStores]:
    settings = load_database_settings(existing(env_file))
    logs.configure(settings.log_level, settings.secrets())
    url = settings.database_url.get_secret_value()
    stores = await open_stores(url, max_connections=_CONNECTIONS, owner_allowed=settings.owner_allowed)
    try:
        yield stores
    finally:
        await stores.close()


def _values(withdrawal: Withdrawal) -> dict[str, Any]:
    destination, refusal = withdrawal.destination, withdrawal.refusal
    return {
        "withdrawal_id": str(withdrawal.withdrawal_id),
        "farmer_id": str(withdrawal.farmer_id),
        "address": withdrawal.address,
        "kind": withdrawal.kind,
        "state": withdrawal.state,
        "amount_stroops": withdrawal.stroops,
        "cut_stroops": withdrawal.cut_stroops,
        "destination": destination.address if destination else None,
        "memo": str(destination.memo) if destination and destination.memo else None,
        "reason": refusal.reason if refusal else None,
        "message": refusal.message if refusal else None,
        "ledger": withdrawal.ledger,
        "transaction_hash": withdrawal.transaction_hash,
    }
