"""Raising and clearing alarms: in the log, in the metrics, and to whoever is to be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import structlog

from backend.domain.alarm import Alarm, Change, Severity
from backend.services.conditions import conditions
from backend.services.tally import Tally
from backend.services.vitals import VitalSigns

_log = structlog.get_logger()


class AlarmSink(Protocol):
    """Who is told of alarms."""

    def tell(self, change: Change, ledger: int) -> None:
        """An alarm was raised or cleared, as of a ledger; returns at once."""


class Alarming:
    """Holds every alarm against the vital signs.

    Attributes:
        alarms: Every alarm by name; complete after the first look.
    """

    def __init__(self, signs: VitalSigns, tally: Tally, sink: AlarmSink | None) -> None:
        self._signs = signs
        self._tally = tally
        self._sink = sink
        self.alarms: dict[str, Alarm] = {}

    async def act(self) -> None:
        """One look."""
        vitals = await self._signs.act()
        ledger = 0 if vitals.status.view is None else vitals.status.view.ledger.sequence
        for condition in conditions(vitals, self._tally):
            alarm = self.alarms.setdefault(condition.name, Alarm(condition.name, condition.severity))
            change = alarm.look(condition.detail)
            if change is not None:
                self._tell(change, ledger)

    @property
    def active(self) -> Mapping[str, str]:
        """What is wrong, by the alarm's name."""
        return {name: alarm.detail for name, alarm in self.alarms.items() if alarm.active}

    def _tell(self, change: Change, ledger: int) -> None:
        if not change.raised:
            _log.info("alarm cleared", alarm=change.name, detail=change.detail)
        elif change.severity is Severity.CRITICAL:
            _log.error("alarm", alarm=change.name, detail=change.detail)
        else:
            _log.warning("alarm", alarm=change.name, detail=change.detail)
        if self._sink is not None:
            self._sink.tell(change, ledger)
