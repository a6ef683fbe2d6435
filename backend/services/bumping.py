"""Bumping: a transaction that ledgers pass over is offered again for a higher fee, around the same inner one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog

from backend.domain.attempt import Attempt, AttemptKind, Bump
from backend.domain.spending import Allowance
from backend.ports.stores import AttemptStore
from backend.services.access import ChainAccess

_log = structlog.get_logger()

_FIRST = (AttemptKind.HARVEST, AttemptKind.WORK, AttemptKind.EXTENSION)
"""What brings stakes home goes before what stakes them."""


class Bumping:
    """Bumps what is stuck, within the caps; every bump is stored before it is sent."""

    def __init__(self, attempts: AttemptStore, chain: ChainAccess) -> None:
        self._attempts = attempts
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._budget = chain.budget

    async def act(self) -> None:
        """Looks at the open attempts once."""
        stuck = self._submitting.stuck()
        if not stuck:
            return
        stuck.sort(key=lambda attempt: attempt.kind not in _FIRST)
        allowance = await self._budget.allowance(self._submitting.closed)
        bumps = list(self._bumps(stuck, allowance))
        if not bumps:
            return
        _log.info("bumping fees", stuck=len(stuck), bumped=len(bumps), highest=max(bump.max_fee for bump in bumps))
        async with self._submitting.storing():
            await self._attempts.bump(bumps)
        await self._submitting.bump(bumps)

    def _bumps(self, stuck: Sequence[Attempt], allowance: Allowance) -> Iterator[Bump]:
        for attempt in stuck:
            signed = self._factory.bump(attempt.current_envelope, limit=allowance.caps.per_transaction)
            if signed is None or not allowance.grants(signed.max_fee - attempt.highest_fee):
                _log.warning("a fee cap forbids a bump", kind=attempt.kind, transaction_hash=attempt.hash.hex())
                continue
            yield Bump(
                hash=signed.hash,
                attempt_hash=attempt.hash,
                number=len(attempt.bumps) + 1,
                envelope=signed.envelope,
                max_fee=signed.max_fee,
                created_ledger=self._submitting.closed,
            )
