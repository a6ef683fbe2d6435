"""Presence: which poolers are there; the farmers of those that fall silent or leave go to the others.

Time is counted in closed ledgers as this backend told them to the poolers: a backend that was stopped for a while, or
cannot read the ledger, takes nobody for silent whom it has not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from backend.domain.plant import FarmView, PlantRequest, PlantState
from backend.domain.presence import (
    EVERY_FARMER,
    HAND_OVER_SECONDS,
    Attended,
    Capacity,
    HandOverReason,
    Offer,
    hand_overs,
    last_rate,
)
from backend.errors import AttendanceSupersededError, BackendError, PoolerExcludedError, PoolerSilentError
from backend.ports.poolers import Handed
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.attendance import (
    Attendance,
    Drained,
    LeasesGiven,
    LeasesTaken,
    LedgerTold,
    Notice,
    Presence,
)
from backend.services.pulse import Pulse
from backend.services.taking import Taking

_log = structlog.get_logger()

_REMEMBERED_LEDGERS = 60
"""After a restart, poolers that attended within so many ledgers are waited for: a block's length."""
_LEASES_IN_A_NOTICE = 100


class Attending:
    """The poolers that are there. `changed` beats when there may be notices for them."""

    def __init__(self, stores: Stores, chain: ChainAccess) -> None:
        self._store = stores.poolers
        self._watch = chain.watch
        self._poolers: dict[str, Presence] = {}
        self._handed: Sequence[Handed] = ()
        self._handed_block: int | None = None
        self._excluded: Mapping[str, PoolerExcludedError] = {}
        self._loaded = False
        self._last_rate = 0
        self._acting = asyncio.Lock()
        self.changed = Pulse()
        self.taking = Taking()

    @property
    def poolers(self) -> Sequence[Presence]:
        """The poolers that attend or are waited for, by name."""
        return sorted(self._poolers.values(), key=lambda one: one.pooler_id)

    @property
    def ledger(self) -> int:
        """The last closed ledger; 0 before the first."""
        return 0 if self._watch.last is None else self._watch.last.sequence

    @property
    def hashes_per_second(self) -> int:
        """What the poolers that are there search with together; what they last did if none is; 0 if none ever was."""
        present = sum(
            one.hashes_per_second
            for one in self._poolers.values()
            if not one.silent
            and not (one.capacity is not None and one.capacity.draining)
            and one.pooler_id not in self._excluded
        )
        return present or self._last_rate

    def check(self, pooler_id: str) -> None:
        """Raises PoolerExcludedError if a pooler is let in no longer."""
        if pooler_id in self._excluded:
            raise self._excluded[pooler_id]

    async def exclude(self, excluded: Mapping[str, PoolerExcludedError]) -> None:
        """Lets these poolers in no longer: their streams end, and their farmers go to others before this returns.

        Raises:
            BackendError: the farmers could not be given away yet.
        """
        new = excluded.keys() - self._excluded.keys()
        self._excluded = excluded
        gone = [one for one in self._poolers.values() if one.pooler_id in new]
        for presence in gone:
            if presence.attendance is not None:
                self.end(presence.attendance, excluded[presence.pooler_id])
        if gone:
            await self._settle_leases()

    def attend(self, pooler_id: str, capacity: Capacity) -> Attendance:
        """A pooler's stream has begun; an earlier one of the same pooler ends.

        Raises:
            PoolerExcludedError: it is let in no longer.
        """
        self.check(pooler_id)
        presence = self._poolers.setdefault(pooler_id, Presence(pooler_id))
        if presence.attendance is not None:
            self.end(presence.attendance, AttendanceSupersededError(pooler_id))
        presence.attendance = Attendance(pooler_id)
        _log.info("pooler attends", pooler_id=pooler_id, version=capacity.version, max_farmers=capacity.farmers)
        self._hear(presence, capacity)
        return presence.attendance

    def asked(self, pooler_id: str) -> None:
        """A pooler asks for a block's plants."""
        self.taking.stir()
        if pooler_id in self._poolers:
            self._poolers[pooler_id].idle = False

    async def hear(self, attendance: Attendance, capacity: Capacity, *, acknowledged: int = 0) -> None:
        """A pooler has answered or changed. One that begins to drain loses its farmers before this returns.

        Args:
            attendance: Its stream.
            capacity: What it says of itself.
            acknowledged: Number of the last notice that it has dealt with.

        Raises:
            BackendError: the farmers could not be given away; they stay until it is silent.
        """
        presence = self._poolers.get(attendance.pooler_id)
        if attendance.over or presence is None:
            return
        for number in [number for number in attendance.given if number <= acknowledged]:
            self.taking.given(attendance.given.pop(number))
        drains = capacity.draining and not (presence.capacity is not None and presence.capacity.draining)
        self._hear(presence, capacity)
        if drains:
            _log.info("pooler drains", pooler_id=attendance.pooler_id)
            await self._settle_leases()
            attendance.drained = Drained(await self._kept(attendance.pooler_id))
            self.changed.beat()

    def leave(self, attendance: Attendance) -> None:
        """A stream has ended. Its pooler has three ledgers to come back before it loses its farmers."""
        attendance.over = True
        presence = self._poolers.get(attendance.pooler_id)
        if presence is not None and presence.attendance is attendance:
            presence.attendance = None
            _log.info("pooler's stream ended", pooler_id=attendance.pooler_id)

    def end(self, attendance: Attendance, error: BackendError | None = None) -> None:
        """Has `notices` of a stream end, or raise an error; the first of several counts."""
        if not attendance.over:
            attendance.over, attendance.error = True, error
            self.changed.beat()

    async def notices(self, attendance: Attendance) -> AsyncIterator[Notice]:
        """What a pooler is told, until its stream ends: a ledger's close, and leases as they change.

        Raises:
            PoolerSilentError: it answered nothing while three ledgers closed.
            AttendanceSupersededError: it attends by a later stream.
        """
        while True:
            seen, closed = self.changed.count, self._watch.closed.count
            while not attendance.over:
                notice = self._news(attendance)
                if notice is None:
                    break
                yield notice
            if attendance.error is not None:
                raise attendance.error
            if attendance.over:
                return
            await self.changed.after(seen)
            if self._watch.closed.count > closed and not attendance.over:
                yield LedgerTold()

    def offers(self, request: PlantRequest) -> list[Offer]:
        """The poolers that a request plants for: its own, and if that attends every other that does."""
        wanted = request.requested_farmers or EVERY_FARMER
        own = self._poolers.get(request.pooler_id)
        if own is None or own.capacity is None or own.silent:
            return [Offer(request.pooler_id, wanted, 0)]
        others = [one for one in self._offers() if one.pooler_id != request.pooler_id]
        return [Offer(own.pooler_id, wanted, own.capacity.hashes_per_second), *others]

    async def act(self) -> None:
        """Notes who is there, gives the farmers of those who are not to others, and tells everyone of the ledger.

        Raises:
            DatabaseUnavailableError: nothing was told; nobody is taken for silent by it.
            LedgerUnavailableError: likewise.
        """
        if not self._loaded:
            await self._load()
        if self._poolers:
            await self._note()
            await self._settle_leases()
        for presence in self._poolers.values():
            presence.unanswered += 1
        self.changed.beat()

    async def _load(self) -> None:
        view = self._watch.view
        attendance = await self._store.attendance()
        self._last_rate = last_rate(attendance.values())
        for pooler_id, attended in attendance.items():
            if attended.ledger >= view.ledger.sequence - _REMEMBERED_LEDGERS:
                waited = Presence(pooler_id, heard_in_block=view.farm.index, rate_before=attended.hashes_per_second)
                self._poolers.setdefault(pooler_id, waited)
        self.taking.excuse(await self._store.leases(view.farm.index))
        self._loaded = True

    async def _note(self) -> None:
        ledger = self._watch.view.ledger.sequence
        heard = {
            one.pooler_id: Attended(ledger, one.hashes_per_second)
            for one in self._poolers.values()
            if one.unanswered == 0
        }
        if heard:
            await self._store.attended(heard)
            self._last_rate = self.hashes_per_second

    async def _settle_leases(self) -> None:
        """Ends the streams of the silent, hands their farmers over, and brings what there is to tell up to date."""
        async with self._acting:
            view = self._watch.view
            leavers = self._leavers()
            moved = await self._move(view, leavers) if leavers or self.taking.open_in(view.farm.index) else False
            waiting = any(one.latest and one.plant.state is PlantState.PENDING for one in self._handed)
            if moved or waiting or self._handed_block != view.farm.index:
                self._handed = await self._store.handed(view.farm.index)
                self._handed_block = view.farm.index
            self._forget(view)
        self.changed.beat()

    def _leavers(self) -> dict[str, HandOverReason]:
        leavers = {}
        for presence in self._poolers.values():
            if presence.pooler_id in self._excluded:
                leavers[presence.pooler_id] = HandOverReason.EXCLUDED
            elif presence.silent:
                leavers[presence.pooler_id] = HandOverReason.SILENT
                if presence.attendance is not None:
                    self.end(presence.attendance, PoolerSilentError(presence.pooler_id))
            elif presence.capacity is not None and presence.capacity.draining:
                leavers[presence.pooler_id] = HandOverReason.DRAINED
        return leavers

    async def _move(self, view: FarmView, leavers: dict[str, HandOverReason]) -> bool:
        left = view.turnover_time - view.ledger.close_time
        if view.open_block is None or left < HAND_OVER_SECONDS:
            return False
        leases = await self._store.leases(view.farm.index)
        ledger = view.ledger.sequence
        lying = self.taking.lying(view.farm.index, leases, self._present(), ledger=ledger)
        moves = hand_overs(leases, leavers, self._offers(taking_over=True), ledger=ledger, lying=lying)
        unfinished = [lease for lease in leases if lease.pooler_id in leavers and not lease.worked]
        if len(moves) < len(unfinished):
            _log.warning("farmers stay with poolers that left", farmers=len(unfinished) - len(moves))
        if not moves:
            return False
        await self._store.hand_over(moves)
        self.taking.stir()
        for one in moves:
            self._poolers[one.taken_from].idle |= one.reason is HandOverReason.IDLE
            _log.warning(
                "farmer handed over",
                block_index=one.block_index,
                farmer_id=str(one.farmer_id),
                pooler_id=one.pooler_id,
                taken_from=one.taken_from,
                reason=one.reason,
                generation=one.generation,
            )
        return True

    def _offers(self, *, taking_over: bool = False) -> list[Offer]:
        return [
            Offer(one.pooler_id, one.capacity.farmers, one.capacity.hashes_per_second)
            for one in self._poolers.values()
            if one.capacity is not None
            and not one.silent
            and not one.idle
            and not one.capacity.draining
            and one.pooler_id not in self._excluded
            and (one.capacity.takes_over or not taking_over)
        ]

    def _present(self) -> set[str]:
        return {one.pooler_id for one in self._poolers.values() if one.attendance is not None and not one.silent}

    async def _kept(self, pooler_id: str) -> int:
        leases = await self._store.leases(self._watch.view.farm.index)
        return sum(lease.pooler_id == pooler_id and not lease.worked for lease in leases)

    def _hear(self, presence: Presence, capacity: Capacity) -> None:
        presence.capacity = capacity
        presence.unanswered = 0
        known = self._watch.known
        presence.heard_in_block = 0 if known is None else known.farm.index

    def _forget(self, view: FarmView) -> None:
        """Those who have been silent since before this block hold nothing in it."""
        gone = [one.pooler_id for one in self._poolers.values() if one.silent and one.heard_in_block < view.farm.index]
        for pooler_id in gone:
            del self._poolers[pooler_id]

    def _news(self, attendance: Attendance) -> Notice | None:
        """The next notice about leases that this stream has not brought yet."""
        handed = [one for one in self._handed if one.latest and one.hand_over not in attendance.told]
        given = [
            one
            for one in handed
            if one.hand_over.pooler_id == attendance.pooler_id and one.plant.state is PlantState.CONFIRMED
        ][:_LEASES_IN_A_NOTICE]
        if given:
            attendance.told.update(one.hand_over for one in given)
            return LeasesGiven(given)
        lost = {one.hand_over.farmer_id for one in self._handed if one.hand_over.taken_from == attendance.pooler_id}
        taken = [
            one.hand_over
            for one in handed
            if one.hand_over.farmer_id in lost and one.hand_over.pooler_id != attendance.pooler_id
        ][:_LEASES_IN_A_NOTICE]
        if taken:
            attendance.told.update(taken)
            return LeasesTaken(taken)
        drained, attendance.drained = attendance.drained, None
        return drained
