"""`kale-backend farmer profit`: which farmers pay for their fees."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from backend.audit_command import database_of
from backend.config import DatabaseSettings
from backend.db.attempts import SqlAttemptStore
from backend.db.earnings import farmer_earnings
from backend.domain.attempt import AttemptKind
from backend.domain.earning import Balance, Verdict, balance
from backend.economy_config import EconomySettings
from backend.failing import expected_errors
from backend.services.learning import UNMEASURED_FEES
from kale_chain.model import STROOPS_PER_KALE, STROOPS_PER_XLM
from kale_common.command import ENV_FILE, EnvFile, Json, existing
from kale_common.settings import load

_A_DAY = 288


class ProfitSettings(DatabaseSettings, EconomySettings):
    """What the command needs."""


def profit_command(
    env_file: EnvFile = ENV_FILE,
    *,
    blocks: Annotated[int, typer.Option(min=1, help="Look at so many of the last blocks; 288 are a day.")] = _A_DAY,
    floor_price: Annotated[
        float | None, typer.Option(min=0, help="XLM that a KALE is worth at the least, instead of KALE_FLOOR_PRICE.")
    ] = None,
    unprofitable: Annotated[bool, typer.Option("--unprofitable", help="Show only farmers who do not pay.")] = False,
    as_json: Json = False,
) -> None:
    """Show what each farmer earned and what its transactions cost, and whether it pays for them.

    Earnings and fees are those in the money ledger, of blocks that have ended for the farmer. Poolers pay for works
    themselves; two works for each pail they worked are counted at what a work of the backend's own costs.
    """
    with expected_errors():
        price, found = asyncio.run(_balances(env_file, blocks, floor_price))
    shown = [one for one in found if not unprofitable or one.verdict is Verdict.DOES_NOT_PAY]
    verdicts = Counter(one.verdict for one in found)
    if as_json:
        told = {"blocks": blocks, "floor_price": None if price is None else float(price), "verdicts": dict(verdicts)}
        typer.echo(json.dumps(told | {"farmers": [_values(one) for one in shown]}))
        return
    _print(blocks, shown)
    typer.echo(", ".join(f"{verdict.replace('_', ' ')}: {count}" for verdict, count in sorted(verdicts.items())))
    if price is None:
        typer.echo("without KALE_FLOOR_PRICE or --floor-price nobody can say who pays")


async def _balances(env_file: Path, blocks: int, floor_price: float | None) -> tuple[Fraction | None, list[Balance]]:
    """The price that counts, and every farmer's balance."""
    settings = load(ProfitSettings, existing(env_file))
    price = settings.floor_price() if floor_price is None else Fraction(str(floor_price))
    async with database_of(settings) as database:
        earnings = await farmer_earnings(database, blocks)
        fees = await SqlAttemptStore(database).fees()
    work_fee = fees.get(AttemptKind.WORK, UNMEASURED_FEES.work)
    return price, [balance(one, work_fee=work_fee, price=price) for one in earnings]


def _values(one: Balance) -> dict[str, Any]:
    earnings = one.earnings
    return {
        "farmer_id": str(earnings.farmer_id),
        "wallet_address": earnings.address,
        "blocks": earnings.blocks,
        "reward_stroops": earnings.reward_stroops,
        "lost_stroops": earnings.lost_stroops,
        "fee_stroops": earnings.fee_stroops,
        "work_fee_estimate_stroops": one.work_stroops,
        "worth_xlm_stroops": one.worth_stroops,
        "verdict": one.verdict,
    }


def _print(blocks: int, shown: Sequence[Balance]) -> None:
    table = Table(title=f"The last {blocks} blocks")
    table.add_column("farmer", overflow="fold")
    for name in ("blocks", "KALE earned", "KALE lost", "fees (XLM)", "works, about (XLM)", "worth (XLM)", "verdict"):
        table.add_column(name, justify="right")
    for one in shown:
        earnings = one.earnings
        table.add_row(
            str(earnings.farmer_id),
            str(earnings.blocks),
            _amount(earnings.reward_stroops, STROOPS_PER_KALE),
            _amount(earnings.lost_stroops, STROOPS_PER_KALE),
            _amount(earnings.fee_stroops, STROOPS_PER_XLM),
            _amount(one.work_stroops, STROOPS_PER_XLM),
            "" if one.worth_stroops is None else _amount(one.worth_stroops, STROOPS_PER_XLM),
            one.verdict.replace("_", " "),
        )
    Console().print(table)


def _amount(stroops: int, unit: int) -> str:
    return f"{Decimal(stroops) / unit:.4f}"
