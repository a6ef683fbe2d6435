"""Onboarding: new farmers get a sealed key, an account and a trustline, many of them in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import structlog

from backend.domain.attempt import AttemptKind, AttemptState
from backend.domain.farmer import Farmer, FarmerKey, FarmerState, NewFarmer
from backend.errors import SponsorLowError
from backend.ports.stores import Stores
from backend.ports.vault import Vault
from backend.services.access import ChainAccess
from backend.services.submitting import LEDGER_WINDOW, Ended, attempt_of

_log = structlog.get_logger()

_MAX_BATCH = 19
_MAX_HOLD_EXPONENT = 6
_TOO_POOR = frozenset({"low_reserve", "underfunded", "txINSUFFICIENT_BALANCE"})


class Onboarding:
    """Creates farmers and brings them onto the ledger."""

    def __init__(self, stores: Stores, chain: ChainAccess, vault: Vault) -> None:
        self._farmers = stores.farmers
        self._reader = chain.reader
        self._factory = chain.factory
        self._submitting = chain.submitting
        self._watch = chain.watch
        self._gate = chain.gate
        self._finishing = chain.finishing
        self._vault = vault
        self._batch_size = _MAX_BATCH
        self._sponsor_low = False
        self._failures = 0
        self._held_until = 0

    async def create(self, request_id: str, stake_basis_points: int, harvest_after_blocks: int) -> Farmer:
        """Stores a new farmer and starts to onboard it; a request id seen before returns its farmer."""
        farmer_id = uuid4()
        key = await self._vault.create(farmer_id)
        farmer = await self._farmers.create(NewFarmer(key, request_id, stake_basis_points, harvest_after_blocks))
        if farmer.farmer_id == farmer_id:
            _log.info("farmer created", farmer_id=str(farmer_id), address=farmer.address)
        return farmer

    async def until_active(self, farmer: Farmer) -> Farmer:
        """Waits until the farmer is no longer being onboarded.

        Raises:
            SponsorLowError: the master account cannot pay; onboarding goes on once it can.
            QuarantinedError: the database was restored; likewise.
        """
        while farmer.state is FarmerState.ONBOARDING:
            seen = self._submitting.rows.count
            await self._finishing.run(self.act())
            farmer = await self._farmers.get(farmer.farmer_id)
            if farmer.state is not FarmerState.ONBOARDING:
                break
            if self._sponsor_low:
                raise SponsorLowError(self._factory.master)
            await self._submitting.rows.after(seen)
        return farmer

    async def act(self) -> None:
        """Sends the next batch if the master account is free. Raises QuarantinedError while nothing is signed."""
        self._gate.check()
        last = self._watch.last
        if last is None or last.sequence < self._held_until:
            return
        with self._submitting.claim([self._factory.master], 1) as claimed:
            keys = await self._farmers.awaiting(self._batch_size) if claimed else []
            if keys:
                await self._onboard(keys, last.sequence)

    def note(self, ended: Sequence[Ended]) -> None:
        """Learns from the ends of batches: after a failure the next ones carry one farmer each, and wait longer."""
        for end in ended:
            if end.attempt.kind is not AttemptKind.ONBOARDING:
                continue
            succeeded = end.settlement.state is AttemptState.SUCCEEDED
            self._sponsor_low = not succeeded and end.settlement.result_code in _TOO_POOR
            self._batch_size = min(_MAX_BATCH, self._batch_size * 2) if succeeded else 1
            self._failures = 0 if succeeded else self._failures + 1
            wait = 0 if succeeded else 2 ** min(self._failures, _MAX_HOLD_EXPONENT)
            self._held_until = end.settlement.result_ledger + wait

    async def _onboard(self, keys: Sequence[FarmerKey], last_ledger: int) -> None:
        master = self._factory.master
        addresses = [key.address for key in keys]
        accounts = await self._reader.accounts([*addresses, master])
        trustlines = await self._reader.balances([address for address in addresses if address in accounts])
        done = [key.farmer_id for key in keys if key.address in trustlines]
        if done:
            await self._farmers.activate(done)
            self._submitting.rows.beat()
        absent = [key for key in keys if key.address not in accounts]
        if not absent:
            return
        if master not in accounts:
            self._sponsor_low = True
            raise SponsorLowError(master)
        await self._send_batch(absent, accounts[master].sequence, last_ledger)

    async def _send_batch(self, keys: Sequence[FarmerKey], master_sequence: int, last_ledger: int) -> None:
        batch_id = uuid4()
        signed = await self._factory.onboarding(
            keys,
            sequence=self._submitting.next_sequence(self._factory.master, master_sequence),
            max_ledger=last_ledger + LEDGER_WINDOW,
        )
        attempt = attempt_of(signed, AttemptKind.ONBOARDING, batch_id, created_ledger=last_ledger)
        async with self._submitting.storing():
            await self._farmers.open_batch(batch_id, [key.farmer_id for key in keys], attempt)
        _log.info("onboarding", farmers=len(keys), transaction_hash=attempt.hash.hex())
        await self._submitting.submit([attempt])
