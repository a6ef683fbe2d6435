"""Withdrawals and exits: what farmers ask for, where it may go, and what was set aside for it."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import structlog

from backend.domain.payout import (
    PayoutAddress,
    PayoutRules,
    Reach,
    destination_of,
    effective_time,
    in_effect,
)
from backend.domain.withdrawal import (
    DAY_SECONDS,
    Destination,
    ExitEstimate,
    NewWithdrawal,
    PayoutReason,
    Withdrawal,
    WithdrawalKind,
    exit_estimate,
    unfit,
)
from backend.errors import (
    DestinationError,
    InvalidRequestError,
    LedgerUnavailableError,
    UnknownWithdrawalError,
    WithdrawalsPausedError,
)
from backend.ports.stores import Stores
from backend.services.access import ChainAccess

_log = structlog.get_logger()


class Withdrawing:
    """Takes requests; `services.paying` carries them out.

    Args:
        stores: The rows.
        chain: The ledger.
        rules: The pool's settings for payments out.
        issuer: KALE's issuer: what it is paid is gone.
    """

    def __init__(self, stores: Stores, chain: ChainAccess, rules: PayoutRules, issuer: str) -> None:
        self._withdrawals = stores.withdrawals
        self._farmers = stores.farmers
        self._money = stores.money
        self._reader = chain.reader
        self._watch = chain.watch
        self._gate = chain.gate
        self._promising = chain.promising
        self._rules = rules
        self._issuer = issuer

    async def withdraw(self, farmer_id: UUID, key: str, asked: Destination | None, stroops: int) -> Withdrawal:
        """Sets KALE aside to be paid; a repeat with the same key returns the same withdrawal.

        Args:
            farmer_id: Whose.
            key: Idempotency key, the caller's choice for ever.
            asked: Where to; None: the farmer's payout address.
            stroops: How much.

        Raises:
            InvalidRequestError: it is dust, goes nowhere, to the farmer itself or to the issuer.
            DestinationError: the destination cannot take it, or the farmer's own account is frozen.
            PayoutLockedError: the farmer is paid at its payout address alone.
            WithdrawalsPausedError, QuarantinedError, LedgerUnavailableError: not now.
            BackendError: see WithdrawalStore.request.
        """
        if stroops < self._rules.least_stroops:
            least = self._rules.least_stroops
            raise InvalidRequestError("amount_stroops", f"{stroops} is less than the least, {least} stroops of KALE")
        return await self._request(farmer_id, key, asked, stroops, WithdrawalKind.PAYMENT)

    async def leave(self, farmer_id: UUID, key: str, asked: Destination | None) -> tuple[Withdrawal, ExitEstimate]:
        """Begins a farmer's exit: no more plants; once all pails are harvested everything is paid and the account ends.

        Raises:
            InvalidRequestError: the farmer has KALE and there is nowhere to pay it.
            BackendError: see `withdraw`.
        """
        exit_ = await self._request(farmer_id, key, asked, 0, WithdrawalKind.EXIT)
        return exit_, await self.estimate(exit_)

    async def estimate(self, withdrawal: Withdrawal) -> ExitEstimate:
        """When a withdrawal that waits will be paid; of one that has ended, now."""
        view = self._watch.view
        for opened in await self._withdrawals.live():
            if opened.withdrawal.withdrawal_id == withdrawal.withdrawal_id:
                return exit_estimate(opened, view)
        return ExitEstimate(view.ledger.close_time, "nothing")

    async def payout(self, farmer_id: UUID) -> tuple[PayoutAddress | None, PayoutAddress | None]:
        """A farmer's payout address in effect, and one that waits to replace it."""
        addresses = await self._withdrawals.payout(farmer_id)
        now = self._watch.view.ledger.close_time
        last = addresses[-1] if addresses else None
        return in_effect(addresses, now), last if last is not None and last.effective_time > now else None

    async def set_payout(self, farmer_id: UUID, destination: Destination, *, locked: bool) -> PayoutAddress:
        """Sets where a farmer is paid; while the present address is locked, from after a delay on.

        Raises:
            InvalidRequestError, DestinationError: nobody could be paid there.
        """
        address = (await self._farmers.get(farmer_id)).address
        await self._check_destination(destination, address, 0)
        now = self._watch.view.ledger.close_time
        addresses = await self._withdrawals.payout(farmer_id)
        since = effective_time(addresses, now, self._rules.change_delay_seconds)
        setting = PayoutAddress(destination, locked, since)
        await self._withdrawals.set_payout(farmer_id, setting)
        _log.info("payout address set", farmer_id=str(farmer_id), address=destination.address, effective_time=since)
        return setting

    async def _request(
        self, farmer_id: UUID, key: str, asked: Destination | None, stroops: int, kind: WithdrawalKind
    ) -> Withdrawal:
        new = self._new(farmer_id, key, asked, stroops, kind)
        now = new.requested_time
        known = await self._known(new)
        if known is None:
            destination = destination_of(asked, await self._withdrawals.payout(farmer_id), now)
            await self._check(farmer_id, destination, stroops, kind)
        else:
            destination = asked or known.destination
        async with self._promising:
            stored = await self._withdrawals.request(replace(new, destination=destination), self.reach(now))
        if known is None:
            _log.info(
                "withdrawal requested",
                kind=kind,
                withdrawal_id=str(stored.withdrawal_id),
                farmer_id=str(farmer_id),
                stroops=stroops,
                destination=destination.address if destination else None,
            )
        return stored

    def reach(self, now: int) -> Reach:
        """How much may leave in the day that ends now."""
        return Reach(now - DAY_SECONDS, self._rules.farmer_day_stroops, self._rules.pool_day_stroops)

    def _new(
        self, farmer_id: UUID, key: str, to: Destination | None, stroops: int, kind: WithdrawalKind
    ) -> NewWithdrawal:
        ledger = self._watch.view.ledger
        return NewWithdrawal(
            farmer_id=farmer_id,
            kind=kind,
            idempotency_key=key,
            destination=to,
            stroops=stroops,
            requested_time=ledger.close_time,
            ledger=ledger.sequence,
            takes_cut=self._rules.treasury is not None,
        )

    async def _known(self, new: NewWithdrawal) -> Withdrawal | None:
        try:
            return await self._withdrawals.get(new.farmer_id, new.withdrawal_id)
        except UnknownWithdrawalError:
            return None

    async def _check(self, farmer_id: UUID, to: Destination | None, stroops: int, kind: WithdrawalKind) -> None:
        self._gate.check_plants()
        switch = await self._withdrawals.switch()
        if switch.paused:
            raise WithdrawalsPausedError(switch.reason)
        if (await self._money.cursor()).unread_from is not None:
            raise LedgerUnavailableError("the books are being set equal to the ledger; ask again at the next ledger")
        farmer = await self._farmers.get(farmer_id)
        if to is not None:
            await self._check_destination(to, farmer.address, stroops)
        elif kind is WithdrawalKind.PAYMENT or farmer.balance_stroops or farmer.open_stake_stroops:
            raise InvalidRequestError("destination", "is missing, and the farmer has no payout address")

    async def _check_destination(self, to: Destination, farmer_address: str, stroops: int) -> None:
        if to.account == farmer_address:
            raise InvalidRequestError("destination", "is the farmer's own account in the pool; name another one")
        if to.account == self._issuer:
            raise InvalidRequestError("destination", "is the issuer of KALE: what is paid to it is destroyed")
        found = await self._reader.receivers([to.account, farmer_address])
        own = found[farmer_address]
        if own.room is not None and not own.authorised:
            raise DestinationError(
                PayoutReason.SOURCE_FROZEN,
                "the issuer of KALE has frozen the farmer's account; nothing can leave it until it is unfrozen",
            )
        refusal = unfit(found[to.account], to, stroops)
        if refusal is not None:
            raise DestinationError(refusal.reason, refusal.message)
