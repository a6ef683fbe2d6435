"""Attempts in memory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median_low

from backend.domain.attempt import TRANSITIONS, Attempt, AttemptKind, AttemptState, Bump
from backend.domain.harvest import HarvestState
from backend.domain.money import Passage, Transfer, fee_transfer
from backend.domain.settlement import Effect, Settlement
from backend.domain.spending import FARMING_KINDS, MEASURED_FEES, Spending
from backend.domain.transitions import check_transition
from backend.errors import QuarantinedError, StoreConflictError
from simulator.memory.effects import apply_effects
from simulator.memory.session import Session
from simulator.memory.tables import AttemptRow, Tables


def insert_attempts(tables: Tables, attempts: Sequence[Attempt], *, fence: int) -> None:
    """Stores attempts under the rules of the table: a fence, one open for an intent and a source, a sequence used once.

    Raises:
        LeaseLostError: a newer backend has the lease.
        QuarantinedError: a quarantine is open.
        StoreConflictError: another rule refuses one.
    """
    if attempts:
        _check_fence(tables, fence)
    for attempt in attempts:
        _check_unique(tables, attempt)
        tables.attempts.put(attempt.hash, AttemptRow(tables.next_number(), attempt, fence))
        tables.sequences.put((attempt.source, attempt.sequence), attempt.hash)
        intent = (attempt.kind, attempt.intent_id)
        tables.intents.put(intent, (*(tables.intents.get(intent) or ()), attempt.hash))


def attempts_of(tables: Tables, kind: str, intent_id: object) -> list[AttemptRow]:
    """The attempts of an intent, oldest first."""
    hashes = tables.intents.get((kind, intent_id)) or ()
    return [row for row in map(tables.attempts.get, hashes) if row is not None]


def has_live_attempt(tables: Tables, kind: str, intent_id: object) -> bool:
    """Whether an intent has an open or succeeded attempt."""
    return any(row.state in (AttemptState.OPEN, AttemptState.SUCCEEDED) for row in attempts_of(tables, kind, intent_id))


def open_sources(tables: Tables) -> set[str]:
    """The accounts with an open attempt."""
    return {row.attempt.source for row in tables.attempts.having(AttemptState.OPEN)}


def _check_fence(tables: Tables, fence: int) -> None:
    tables.check_fence(fence)
    if tables.quarantines.having("open"):
        raise QuarantinedError("quarantine: nothing is signed")


def _bumped(tables: Tables, bump: Bump) -> AttemptRow:
    row = tables.attempts.get(bump.attempt_hash)
    if row is None or row.state is not AttemptState.OPEN or row.attempt.inner_hash is None:
        raise StoreConflictError("the database refused a row by its rule attempt_bumps_open")
    attempt = row.attempt
    if bump.number != len(attempt.bumps) + 1 or bump.max_fee <= attempt.highest_fee:
        raise StoreConflictError("the database refused a row by its rule attempt_bumps_rising")
    return replace(row, attempt=attempt.with_bump(bump))


def _check_unique(tables: Tables, attempt: Attempt) -> None:
    if tables.attempts.get(attempt.hash) is not None:
        raise StoreConflictError("the database refused a row by its rule attempts_pkey")
    for row in tables.attempts.having(AttemptState.OPEN):
        other = row.attempt
        if other.source == attempt.source:
            raise StoreConflictError("the database refused a row by its rule idx_attempts_open_source")
        if (other.kind, other.intent_id) == (attempt.kind, attempt.intent_id):
            raise StoreConflictError("the database refused a row by its rule idx_attempts_open_intent")
    live = tables.sequences.get((attempt.source, attempt.sequence))
    if live is not None and _is_live(tables, live):
        raise StoreConflictError("the database refused a row by its rule idx_attempts_live_sequence")


def _recent_fees(tables: Tables, kind: AttemptKind) -> list[int]:
    """What the last transactions of a kind that succeeded were charged."""
    paid = (row for row in tables.attempts.newest() if row.attempt.kind is kind and row.state is AttemptState.SUCCEEDED)
    return [row.fee_charged or 0 for row in itertools.islice(paid, MEASURED_FEES)]


def _is_live(tables: Tables, attempt_hash: bytes) -> bool:
    row = tables.attempts.get(attempt_hash)
    return row is not None and row.state in (AttemptState.OPEN, AttemptState.SUCCEEDED)


class MemoryAttemptStore:
    """See backend.ports.stores.AttemptStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def open(self) -> list[Attempt]:
        """Every open attempt."""
        async with self._session.transaction() as tables:
            rows = sorted(tables.attempts.having(AttemptState.OPEN), key=lambda row: (row.number, row.attempt.hash))
            return [row.attempt for row in rows]

    async def store(self, attempt: Attempt) -> None:
        """Stores an attempt that belongs to no row (kinds CHANNELS and EXTENSION)."""
        async with self._session.transaction() as tables:
            insert_attempts(tables, [attempt], fence=self._session.fence)

    async def bump(self, bumps: Sequence[Bump]) -> None:
        """Stores fee bumps of open attempts, all or nothing."""
        if not bumps:
            return
        async with self._session.transaction() as tables:
            _check_fence(tables, self._session.fence)
            for bump in bumps:
                tables.attempts.put(bump.attempt_hash, _bumped(tables, bump))

    async def spending(self, since_ledger: int) -> Spending:
        """What transactions have cost since a ledger, what open ones may cost, and what harvests will."""
        async with self._session.transaction() as tables:
            # Attempts lie in the order of their ledgers, so that only the newest need be looked at.
            recent = itertools.takewhile(
                lambda row: row.attempt.created_ledger > since_ledger, tables.attempts.newest()
            )
            fees = _recent_fees(tables, AttemptKind.HARVEST)
            return Spending(
                charged=sum(row.fee_charged or 0 for row in recent),
                at_stake=sum(row.attempt.highest_fee for row in tables.attempts.having(AttemptState.OPEN)),
                open_pails=len(tables.harvests.having(HarvestState.PENDING)),
                harvest_fee=max(fees, default=None),
            )

    async def fees(self) -> Mapping[AttemptKind, int]:
        """The usual XLM, in stroops, of a plant, a work and a harvest of late."""
        async with self._session.transaction() as tables:
            found = {kind: _recent_fees(tables, kind) for kind in FARMING_KINDS}
            return {kind: median_low(fees) for kind, fees in found.items() if fees}

    async def settle(self, settlements: Sequence[Settlement], passage: Passage | None = None) -> None:
        """Ends attempts, applies and books effects, and moves the cursor, all or nothing; a repeat changes nothing."""
        if not settlements and passage is None:
            return
        async with self._session.transaction() as tables:
            self._session.hold_lease(tables)
            effects: list[Effect] = []
            fees: list[Transfer] = []
            for settlement in settlements:
                row = tables.attempts.get(settlement.attempt_hash)
                if row is None or row.state is not AttemptState.OPEN:
                    continue
                ended = replace(_ended(tables, row, settlement), ended_by=(self._session.fence, tables.lease.fence))
                tables.attempts.put(settlement.attempt_hash, ended)
                effects += settlement.effects
                if settlement.fee_charged:
                    fees.append(fee_transfer(settlement.attempt_hash, settlement.fee_charged, settlement.result_ledger))
            apply_effects(tables, [*effects, *(passage.effects if passage else ())], fees=fees)
            last = tables.cursor.ledger
            if passage is not None and last is not None and passage.first - 1 <= last < passage.last:
                tables.cursor = replace(tables.cursor, ledger=passage.last)

    async def apply(self, effects: Sequence[Effect]) -> None:
        """Applies effects that no attempt brought about; one whose row has moved on is passed over."""
        if not effects:
            return
        async with self._session.transaction() as tables:
            self._session.hold_lease(tables)
            apply_effects(tables, effects)


def _ended(tables: Tables, row: AttemptRow, settlement: Settlement) -> AttemptRow:
    check_transition(TRANSITIONS, row.state, settlement.state)
    attempt = row.attempt
    if settlement.state is AttemptState.EXPIRED and settlement.result_ledger < attempt.max_ledger:
        raise StoreConflictError("the database refused a row by its rule attempts_expiry_proven")
    if settlement.state is AttemptState.SUPERSEDED and (
        settlement.result_ledger <= attempt.created_ledger
        or (settlement.result_hash is not None and settlement.result_hash in attempt.hashes)
    ):
        raise StoreConflictError("the database refused a row by its rule attempts_supersession_proven")
    if settlement.state is AttemptState.SUCCEEDED:
        done = any(
            other.state is AttemptState.SUCCEEDED for other in attempts_of(tables, attempt.kind, attempt.intent_id)
        )
        if done:
            raise StoreConflictError("the database refused a row by its rule idx_attempts_succeeded_intent")
    return replace(
        row,
        state=settlement.state,
        result_code=settlement.result_code,
        result_ledger=settlement.result_ledger,
        fee_charged=settlement.fee_charged,
        result_hash=settlement.result_hash,
    )
