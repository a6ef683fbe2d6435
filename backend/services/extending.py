"""Watching over the lives of unharvested pails: alarms as they are used up, and extensions before they end.

Anyone may extend the life of a pail and its block. That is done when a harvest was not to be had in time: nobody opens
the next block, fees are short, or the contract refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from uuid import UUID, uuid4

import structlog

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.harvest import OpenPail
from backend.domain.life import (
    EXTENSION_LEDGERS,
    PailLife,
    Risk,
    alarm_of,
    is_extensible,
    last_ledger,
    nears_its_end,
    risk_of,
)
from backend.domain.plant import FarmView
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.channels import Channel, Channels
from backend.services.sighting import Sight, look
from backend.services.submitting import LEDGER_WINDOW, Ended, attempt_of
from kale_chain.model import MAX_EXTENDED

_log = structlog.get_logger()

_URGENT_PERCENT = 75


class Extending:
    """Raises alarms and extends lives. `note` is told of the attempts that ended.

    Attributes:
        risk: The pails that have raised an alarm, as of the last look.
    """

    def __init__(self, stores: Stores, chain: ChainAccess, channels: Channels) -> None:
        self._harvests = stores.harvests
        self._attempts = stores.attempts
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._budget = chain.budget
        self._watch = chain.watch
        self._channels = channels
        self._blocks: dict[int, int] = {}
        self._sent: set[bytes] = set()
        self._failures = 0
        self.risk = Risk(pails=0, stake_stroops=0, percent=0)

    def note(self, ended: Sequence[Ended]) -> None:
        """Learns which extensions have ended; one that failed makes the next offer more."""
        for end in ended:
            if end.attempt.kind is AttemptKind.EXTENSION:
                self._sent.discard(end.attempt.hash)
                if end.settlement.state is AttemptState.SUCCEEDED:
                    self._failures = 0
                elif end.settlement.state is AttemptState.FAILED:
                    self._failures += 1

    async def watch(self) -> None:
        """Reads the lives of pails that need a look, and raises the alarms that are due."""
        view = self._watch.view
        lives = await self._harvests.unharvested()
        looked_at = [life.pail for life in lives if self._needs_look(life, view)]
        if await self._look(looked_at, view) is not None:
            lives = await self._harvests.unharvested()
        await self._raise_alarms(lives, view)

    async def act(self) -> None:
        """Extends the lives that near their ends; those that an extension is under way for wait for its end."""
        view = self._watch.view
        if self._sent:
            return
        near = [life.pail for life in await self._harvests.unharvested() if self._is_near(life.pail, view)]
        sight = await self._look(near, view)
        if sight is None:
            return
        farm_index, ledger = view.farm.index, view.ledger.sequence
        due = [
            pail
            for pail in near
            if is_extensible(pail, sight.pail(pail), sight.block(pail), farm_index=farm_index, ledger=ledger)
        ]
        if due:
            await self._extend(due, view)

    def _is_near(self, pail: OpenPail, view: FarmView) -> bool:
        return nears_its_end(pail, last_ledger(pail, self._blocks), view.ledger.sequence)

    def _alarm(self, pail: OpenPail, view: FarmView) -> int:
        end = last_ledger(pail, self._blocks)
        return alarm_of(pail, end, farm_index=view.farm.index, ledger=view.ledger.sequence)

    def _needs_look(self, life: PailLife, view: FarmView) -> bool:
        """Whether the rows may be behind the ledger: nothing was read yet, or they give cause for a new alarm."""
        unread = life.pail.live_until is None or life.pail.block_index not in self._blocks
        return unread or self._alarm(life.pail, view) > life.alarm_percent

    async def _look(self, pails: Sequence[OpenPail], view: FarmView) -> Sight | None:
        """Looks at pails and their blocks on the ledger and keeps their lives."""
        sight = await look(self._reader, pails, view)
        if sight is None:
            return None
        for pail in pails:
            block = sight.block(pail)
            # A block that is missing, unlike one that was not looked at yet, has no life left to wait for.
            self._blocks[pail.block_index] = block.live_until if block is not None else 0
        seen = {pail.harvest_id: (pail.live_until, sight.pail(pail)) for pail in pails}
        lives = {key: entry.live_until for key, (old, entry) in seen.items() if entry and entry.live_until != old}
        if lives:
            await self._harvests.set_lives(lives)
        return sight

    async def _raise_alarms(self, lives: Sequence[PailLife], view: FarmView) -> None:
        alarms = {life.pail.harvest_id: self._alarm(life.pail, view) for life in lives}
        changed = {life.pail.harvest_id: alarms[life.pail.harvest_id] for life in lives if _differs(life, alarms)}
        if changed:
            await self._harvests.set_alarms(changed)
        for life in lives:
            percent = alarms[life.pail.harvest_id]
            if percent > life.alarm_percent:
                tell = _log.error if percent >= _URGENT_PERCENT else _log.warning
                tell(
                    "a pail's life is being used up",
                    percent=percent,
                    block_index=life.pail.block_index,
                    address=life.pail.address,
                    stake_stroops=life.pail.stake_stroops,
                    ends_with_ledger=last_ledger(life.pail, self._blocks),
                )
        self.risk = risk_of([PailLife(life.pail, alarms[life.pail.harvest_id]) for life in lives])
        known = {life.pail.block_index for life in lives}
        self._blocks = {index: end for index, end in self._blocks.items() if index in known}

    async def _extend(self, pails: Sequence[OpenPail], view: FarmView) -> None:
        batches = _batches(pails)
        allowance = await self._budget.allowance(view.ledger.sequence)
        async with self._channels.lend(len(batches)) as channels:
            built = [self._attempt(*one, view.ledger.sequence) for one in zip(batches, channels, strict=False)]
            attempts = [attempt for attempt in built if allowance.grants(attempt.max_fee)]
            if len(attempts) < len(built):
                _log.error("a fee cap keeps lives from being extended", waiting=len(built) - len(attempts))
            if not attempts:
                return
            _log.warning("extending lives", pails=len(pails), transactions=len(batches), sending=len(attempts))
            async with self._submitting.storing():
                for attempt in attempts:
                    await self._attempts.store(attempt)
            self._sent |= {attempt.hash for attempt in attempts}
            await self._submitting.submit(attempts)

    def _attempt(self, pails: Sequence[OpenPail], channel: Channel, last: int) -> Attempt:
        signed = self._factory.extension(
            channel.address,
            block_index=pails[0].block_index,
            farmers=[pail.address for pail in pails],
            ledgers=EXTENSION_LEDGERS,
            sequence=channel.sequence,
            max_ledger=last + LEDGER_WINDOW,
            shortfalls=self._failures,
        )
        return attempt_of(signed, AttemptKind.EXTENSION, uuid4(), created_ledger=last)


def _differs(life: PailLife, alarms: Mapping[UUID, int]) -> bool:
    return alarms[life.pail.harvest_id] != life.alarm_percent


def _batches(pails: Sequence[OpenPail]) -> list[list[OpenPail]]:
    """As many pails of one block as a transaction takes, the oldest block first."""
    ordered = sorted(pails, key=lambda pail: (pail.block_index, pail.live_until or 0))
    batches: list[list[OpenPail]] = []
    for _, group in groupby(ordered, key=lambda pail: pail.block_index):
        block = list(group)
        batches += [block[start : start + MAX_EXTENDED] for start in range(0, len(block), MAX_EXTENDED)]
    return batches
