"""What the vital signs say of every alarm: one table, in which each alarm is a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.domain.alarm import Condition, Severity
from backend.domain.life import ALARM_PERCENTS
from backend.services.status import Health
from backend.services.tally import Planned, Tally
from backend.services.vitals import Vitals
from kale_chain.model import STROOPS_PER_KALE, STROOPS_PER_XLM
from kale_chain.planning.plants import Reason

LEAST_MASTER_STROOPS = 100 * STROOPS_PER_XLM
_LEAST_FREE = 0.1
_LEAST_FREE_BYTES = 1 << 30
_OLD_BASE_SECONDS = 2 * 3_600.0
_OLD_LOG_SECONDS = 300.0
_UPGRADE_TOLD_LEDGERS = 720
_URGENT_PERCENT = 50


def conditions(vitals: Vitals, tally: Tally) -> list[Condition]:
    """Every alarm's condition; the list of names is always the same."""
    seen = _Seen(vitals, tally)
    return [Condition(name, severity, find(seen)) for name, severity, find in _ALARMS]


@dataclass(frozen=True, slots=True)
class _Seen:
    vitals: Vitals
    tally: Tally

    def component(self, name: str, least: Health = Health.DEGRADED) -> str | None:
        """Why a component is not up."""
        found = (one for one in self.vitals.status.components if one.name == name and one.health >= least)
        return next((one.detail or f"{name} is not up" for one in found), None)


def _master(seen: _Seen) -> str | None:
    vitals = seen.vitals
    balance = vitals.status.master_balance_stroops
    if balance >= max(LEAST_MASTER_STROOPS, vitals.spent_day_stroops):
        return None
    lasts = "" if vitals.hours_left is None else f", which lasts {vitals.hours_left:.1f} hours at today's spending"
    return f"the master account holds {balance / STROOPS_PER_XLM:.2f} XLM{lasts}; send it XLM"


def _pails(percent: int) -> Callable[[_Seen], str | None]:
    def find(seen: _Seen) -> str | None:
        # One alarm for each part of a life, from its own bands of pails.
        held = [band for band in seen.vitals.bands if band.from_percent == percent and band.pails]
        if not held or seen.component("harvests") is None:
            return None
        staked = sum(band.stake_stroops for band in held) / STROOPS_PER_KALE
        pails = sum(band.pails for band in held)
        return f"{pails} unharvested pails with {staked:.2f} KALE staked have used {percent} % of their lives"

    return find


_LEFT_OUT = {
    Reason.FEES: "would not earn their fees at KALE_FLOOR_PRICE",
    Reason.TOO_LATE: "were asked for too late to be worked in time",
    Reason.FARM_PAUSED: "cannot be planted while the farm is paused",
}


def _missed(seen: _Seen) -> str | None:
    planned = _planned_nobody(seen)
    if planned is not None:
        reasons = ", ".join(f"{count} {_LEFT_OUT[reason]}" for reason, count in planned.left_out.items())
        return f"planned nobody in block {planned.block_index}, for of the farmers {reasons}"
    return "nobody was planted in the last block" if seen.tally.last_missed else None


def _planned_nobody(seen: _Seen) -> Planned | None:
    """What was planned of this block, the last or the next, if nobody is planted by it."""
    planned, view = seen.tally.planned, seen.vitals.status.view
    if planned is None or view is None or planned.planting or not planned.left_out:
        return None
    if planned.block_index < view.farm.index - 1:
        return None
    # A backend restarted in mid-block plans anew for those left over; and one plant may just have opened the block.
    opening = 1 if Reason.FEES in planned.left_out else 0
    others = planned.block_index == view.farm.index and seen.vitals.status.counts.planted > opening
    return None if others else planned


def _paused(seen: _Seen) -> str | None:
    view = seen.vitals.status.view
    return "the farm's owner paused it: nothing can be planted" if view is not None and view.farm.paused else None


def _upgraded(seen: _Seen) -> str | None:
    view, at = seen.vitals.status.view, seen.tally.upgraded_at
    if view is None or at is None or view.ledger.sequence - at > _UPGRADE_TOLD_LEDGERS:
        return None
    return f"the farm's code was replaced at ledger {at}: see that plants, works and harvests succeed"


def _rpcs(seen: _Seen) -> str | None:
    wrong = [one for one in seen.vitals.status.components if one.name.startswith("rpc ") and one.health > Health.UP]
    return "; ".join(f"{one.name}: {one.detail}" for one in wrong) or None


def _disks(seen: _Seen) -> str | None:
    low = [
        f"{name}: {disk.free / 1e9:.1f} GB of {disk.total / 1e9:.0f} GB are free"
        for name, disk in seen.vitals.disks.items()
        if disk.free < max(_LEAST_FREE_BYTES, 0) or disk.free < _LEAST_FREE * disk.total
    ]
    return "; ".join(low) or None


def _backups(seen: _Seen) -> str | None:
    ages = seen.vitals.backups
    if ages is None:
        return None
    told = f": {ages.problem}" if ages.problem else ""
    if ages.base_seconds is None or ages.base_seconds > _OLD_BASE_SECONDS:
        return f"the last base backup is {_age(ages.base_seconds)}{told}"
    if ages.log_seconds is None or ages.log_seconds > _OLD_LOG_SECONDS:
        return f"the log was last fetched up to its end {_age(ages.log_seconds)}{told}"
    return None


def _drill(seen: _Seen) -> str | None:
    ages = seen.vitals.backups
    return f"the last restore drill failed: {ages.problem}" if ages is not None and not ages.drill_passed else None


def _poolers(seen: _Seen) -> str | None:
    vitals = seen.vitals
    if vitals.poolers_silent:
        return f"{vitals.poolers_silent} poolers are silent; {vitals.poolers_attending} attend"
    if vitals.status.counts.active_farmers and not vitals.poolers_attending:
        return "no pooler attends: stakes are safe by the backstop, but rewards are small"
    return None


def _age(seconds: float | None) -> str:
    return "not there yet" if seconds is None else f"{seconds / 60:.0f} minutes old"


_ALARMS: tuple[tuple[str, Severity, Callable[[_Seen], str | None]], ...] = (
    ("database_unreachable", Severity.CRITICAL, lambda seen: seen.component("database", Health.DOWN)),
    ("ledger_unreachable", Severity.CRITICAL, lambda seen: seen.component("stellar", Health.DOWN)),
    ("books_violated", Severity.CRITICAL, lambda seen: seen.component("books")),
    ("quarantine", Severity.WARNING, lambda seen: seen.component("quarantine")),
    ("master_balance_low", Severity.CRITICAL, _master),
    *(
        (f"pails_at_{percent}", Severity.CRITICAL if percent >= _URGENT_PERCENT else Severity.WARNING, _pails(percent))
        for percent in ALARM_PERCENTS
    ),
    ("blocks_missed", Severity.CRITICAL, _missed),
    ("farm_paused", Severity.WARNING, _paused),
    ("farm_upgraded", Severity.WARNING, _upgraded),
    ("rpc_disagreement", Severity.WARNING, _rpcs),
    ("disk_low", Severity.CRITICAL, _disks),
    ("backup_old", Severity.CRITICAL, _backups),
    ("backup_drill_failed", Severity.CRITICAL, _drill),
    ("pooler_silent", Severity.WARNING, _poolers),
)
NAMES = tuple(name for name, _, _ in _ALARMS)
"""Every alarm there is."""
