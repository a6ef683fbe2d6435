"""How long pails live: what of their lives is used, when that is alarming, and when a life is extended.

A pail can be harvested while both it and its block live; after that its stake and reward are gone. Lives are counted in
ledgers, which a halted ledger does not use up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from backend.domain.harvest import OpenPail, is_due
from kale_chain.model import BlockEntry, PailEntry

ALARM_PERCENTS = (25, 50, 75)
"""Parts of a pail's life whose use raises an alarm."""
EXTENSION_PERCENT = 60
"""Part of a life after which it is extended: harvests are due from the half on, and had a tenth of it."""
EXTENSION_LEDGERS = 17_280
"""How long an extended life lasts from then on: a day of five-second ledgers."""
_LEAST_LEFT_LEDGERS = 20
"""Short lives are extended earlier: an extension that is lost must be noticed and repeated in time."""


@dataclass(frozen=True, slots=True)
class PailLife:
    """An unharvested pail and the alarm it last raised: the part of its life used, in percent, or 0."""

    pail: OpenPail
    alarm_percent: int = 0


@dataclass(frozen=True, slots=True)
class Risk:
    """Pails that have raised an alarm."""

    pails: int
    stake_stroops: int
    percent: int
    """The worst of their alarms."""


@dataclass(frozen=True, slots=True)
class LifeBand:
    """Unharvested pails that have used a part of their lives: from `from_percent` to below `to_percent`."""

    from_percent: int
    to_percent: int | None
    """None: to the end; both 0: their lives were not read yet."""
    pails: int
    stake_stroops: int
    first_end_ledger: int | None
    """The first ledger after which one of them is gone."""


def last_ledger(pail: OpenPail, blocks: Mapping[int, int]) -> int | None:
    """The last ledger in which a pail can be harvested; `blocks` has the last ledgers of blocks, where known."""
    if pail.live_until is None:
        return None
    return min(pail.live_until, blocks.get(pail.block_index, pail.live_until))


def used_percent(planted_ledger: int, end: int, ledger: int) -> int:
    """Which part of a life from `planted_ledger` to `end` is used as of `ledger`, 0 to 100, rounded down."""
    return max(0, min(100, 100 * (ledger - planted_ledger) // max(end - planted_ledger, 1)))


def alarm_of(pail: OpenPail, end: int | None, *, farm_index: int, ledger: int) -> int:
    """The alarm that a pail's age raises: 25, 50 or 75, or 0 for none.

    A pail that only waits for the blocks its farmer asked for raises none: it is harvested at half of its life.
    """
    if end is None or _waits_by_choice(pail, farm_index=farm_index, ledger=ledger):
        return 0
    used = used_percent(pail.planted_ledger, end, ledger)
    return max((percent for percent in ALARM_PERCENTS if used >= percent), default=0)


def nears_its_end(pail: OpenPail, end: int | None, ledger: int) -> bool:
    """Whether a pail that lives until `end` needs its life extended."""
    if end is None:
        return False
    used = used_percent(pail.planted_ledger, end, ledger)
    return used >= EXTENSION_PERCENT or end - ledger <= _LEAST_LEFT_LEDGERS


def is_extensible(
    pail: OpenPail, entry: PailEntry | None, block: BlockEntry | None, *, farm_index: int, ledger: int
) -> bool:
    """Whether extending a pail's life, as the ledger shows it, is needed and worth its fee.

    Not once it is gone, or can never be harvested: its block is missing, or over without work.
    """
    if entry is None or block is None or not (entry.pail.worked or pail.block_index >= farm_index):
        return False
    return nears_its_end(pail, min(entry.live_until, block.live_until), ledger)


def risk_of(lives: Collection[PailLife]) -> Risk:
    """The sums over pails that have raised an alarm."""
    alarming = [life for life in lives if life.alarm_percent]
    return Risk(
        pails=len(alarming),
        stake_stroops=sum(life.pail.stake_stroops for life in alarming),
        percent=max((life.alarm_percent for life in alarming), default=0),
    )


def bands(pails: Iterable[OpenPail], ledger: int) -> list[LifeBand]:
    """Unharvested pails by the part of their lives used as of `ledger`, in quarters; the unread ones come last."""
    quarters: list[list[OpenPail]] = [[], [], [], [], []]
    for pail in pails:
        if pail.live_until is None:
            quarters[4].append(pail)
        else:
            quarters[min(used_percent(pail.planted_ledger, pail.live_until, ledger) // 25, 3)].append(pail)
    limits: list[tuple[int, int | None]] = [(0, 25), (25, 50), (50, 75), (75, None), (0, 0)]
    return [
        LifeBand(
            *limit,
            pails=len(held),
            stake_stroops=sum(pail.stake_stroops for pail in held),
            first_end_ledger=min((p.live_until for p in held if p.live_until is not None), default=None),
        )
        for limit, held in zip(limits, quarters, strict=True)
    ]


def _waits_by_choice(pail: OpenPail, *, farm_index: int, ledger: int) -> bool:
    return pail.block_index < farm_index and not is_due(pail, farm_index=farm_index, closed_ledger=ledger)
