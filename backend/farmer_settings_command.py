"""`kale-backend farmer show | list | update`: farmers and their settings."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from backend.api.farmer_client import FarmerClient, FarmerSettings
from backend.domain.farmer import MAX_HARVEST_AFTER_BLOCKS, FarmerState
from backend.errors import InvalidRequestError
from backend.failing import expected_errors
from backend.operator_options import BackendAddress, TokenFile, token_from
from kale_chain.model import STROOPS_PER_KALE
from kale_common.command import Json

_BASIS_POINTS_PER_PERCENT = 100
DEFAULT_BACKEND = "127.0.0.1:3000"


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None


FarmerId = Annotated[str, typer.Argument(help="The farmer's id.")]


class Farming(StrEnum):
    """Whether a farmer is planted."""

    ACTIVE = FarmerState.ACTIVE.value
    INACTIVE = FarmerState.INACTIVE.value


def register(app: typer.Typer) -> None:
    """Adds the commands to the group `farmer`."""
    app.command("show")(show_command)
    app.command("list")(list_command)
    app.command("update")(update_command)


def show_command(
    farmer_id: FarmerId,
    *,
    backend: BackendAddress = DEFAULT_BACKEND,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Show a farmer: its settings, what it has, what it earned."""
    with expected_errors():
        farmer = asyncio.run(FarmerClient(backend, token_from(token_file)).get(farmer_id))
    _tell(farmer, as_json=as_json)


def list_command(
    *, backend: BackendAddress = DEFAULT_BACKEND, token_file: TokenFile = None, as_json: Json = False
) -> None:
    """List every farmer, oldest first."""
    with expected_errors():
        farmers = asyncio.run(FarmerClient(backend, token_from(token_file)).all())
    if as_json:
        typer.echo(json.dumps(farmers))
    else:
        _print(farmers)


def update_command(
    farmer_id: FarmerId,
    *,
    stake_percentage: Annotated[
        Decimal | None, typer.Option(parser=_decimal, help="Stake this part of the balance in each block, 0 to 100.")
    ] = None,
    fixed_stake: Annotated[
        Decimal | None, typer.Option(parser=_decimal, help="Stake so many KALE in each block instead.")
    ] = None,
    harvest_after_blocks: Annotated[
        int | None, typer.Option(min=1, max=MAX_HARVEST_AFTER_BLOCKS, help="Harvest so many blocks after the plant.")
    ] = None,
    status: Annotated[Farming | None, typer.Option(help="Plant for it or not; open pails are harvested.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="name=value; takes the place of all labels. Several may be given.")
    ] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Remove all labels.")] = False,
    backend: BackendAddress = DEFAULT_BACKEND,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Change a farmer's settings; they count from the next block on. What is not given stays as it is."""
    with expected_errors():
        settings = FarmerSettings(
            stake_basis_points=_whole("--stake-percentage", stake_percentage, _BASIS_POINTS_PER_PERCENT),
            fixed_stake_stroops=_whole("--fixed-stake", fixed_stake, STROOPS_PER_KALE),
            harvest_after_blocks=harvest_after_blocks,
            state=None if status is None else FarmerState(status),
            labels={} if no_labels else None if label is None else dict(_pair(text) for text in label),
        )
        farmer = asyncio.run(FarmerClient(backend, token_from(token_file)).update(farmer_id, settings))
    _tell(farmer, as_json=as_json)


def _whole(option: str, value: Decimal | None, unit: int) -> int | None:
    """The value in units, which it must be a whole number of."""
    if value is None:
        return None
    units = value * unit
    if not units.is_finite() or units < 0 or units != units.to_integral_value():
        raise InvalidRequestError(option, f"{value} is not a positive number with as many decimals as 1/{unit} has")
    return int(units)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidRequestError("--label", f"{text[:64]!r} is not of the form name=value")
    return name, value


def _tell(farmer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(farmer))
        return
    table = Table(show_header=False)
    for name, value in farmer.items():
        shown = f"{Decimal(value) / STROOPS_PER_KALE:f} KALE" if name.endswith("_stroops") else value
        table.add_row(name.removesuffix("_stroops").replace("_", " "), str(shown))
    Console().print(table)


def _print(farmers: Sequence[dict[str, Any]]) -> None:
    table = Table()
    for name in ("id", "address", "state", "stake", "balance (KALE)", "labels"):
        table.add_column(name, overflow="fold")
    for farmer in farmers:
        fixed = farmer.get("fixed_stake_stroops")
        percent = Decimal(farmer["stake_basis_points"]) / _BASIS_POINTS_PER_PERCENT
        stake = f"{percent} %" if fixed is None else f"{Decimal(fixed) / STROOPS_PER_KALE:f} KALE"
        table.add_row(
            farmer["farmer_id"],
            farmer["wallet_address"],
            farmer["state"],
            stake,
            f"{Decimal(farmer['balance_stroops']) / STROOPS_PER_KALE:f}",
            " ".join(f"{name}={value}" for name, value in farmer["labels"].items()),
        )
    Console().print(table)
