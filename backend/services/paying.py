"""Paying: what was set aside is checked once more by several endpoints, signed, sent, and proven to be paid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

import structlog

from backend.domain.attempt import Attempt, AttemptKind
from backend.domain.money import Cursor
from backend.domain.payout import PayoutRules
from backend.domain.plant import FarmView
from backend.domain.settlement import WithdrawalFailed
from backend.domain.withdrawal import (
    Destination,
    NewWithdrawal,
    OpenWithdrawal,
    PayoutReason,
    Refusal,
    Withdrawal,
    WithdrawalKind,
    WithdrawalState,
    is_quiet,
    payout_intent,
    unfit,
    unread,
)
from backend.errors import PolicyRefusedError, SealedSeedError, SigningCapError, StoreConflictError
from backend.ports.chain import Witnesses
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from backend.services.submitting import LEDGER_WINDOW, attempt_of
from backend.services.withdrawing import Withdrawing
from kale_chain.model import Account, Receiver

_log = structlog.get_logger()

_AT_ONCE = 100
"""Payments signed in one go."""


class Paying:
    """Carries withdrawals out. Nothing is paid while withdrawals are paused or the books break a rule."""

    def __init__(
        self, stores: Stores, chain: ChainAccess, witnesses: Witnesses, withdrawing: Withdrawing, rules: PayoutRules
    ) -> None:
        self._withdrawals = stores.withdrawals
        self._attempts = stores.attempts
        self._money = stores.money
        self._chain = chain
        self._submitting = chain.submitting
        self._witnesses = witnesses
        self._withdrawing = withdrawing
        self._rules = rules
        self._rules_noted = False

    async def act(self) -> None:
        """One round: collects cuts, lets exits go that wait for nothing more, checks, sends."""
        if self._chain.gate.books is not None or (await self._withdrawals.switch()).paused:
            return
        view = self._chain.watch.view
        cursor = await self._money.cursor()
        if cursor.unread_from is not None:
            return
        await self._note_rules(view)
        await self._collect_cuts(view)
        if not await self._withdrawals.live():
            return
        async with self._chain.promising:
            await self._let_go(view)
        await self._give_up(cursor)
        await self._check()
        async with self._chain.promising:
            # Others may have held the lock for ledgers: what is built of an old view would be too late.
            view = self._chain.watch.view
            if not is_quiet(view):
                await self._send(view)

    async def _note_rules(self, view: FarmView) -> None:
        """Stores limits and cut where the settings have changed: a cut concerns the blocks that are still to open."""
        if self._rules_noted:
            return
        if await self._withdrawals.note_limits(self._rules):
            _log.warning("the limits of payments are set", **asdict(self._rules))
        basis_points, from_block = self._rules.cut_basis_points, view.farm.index + 1
        if await self._withdrawals.set_cut(basis_points, from_block):
            _log.warning("the pool's cut changes", basis_points=basis_points, from_block=from_block)
        self._rules_noted = True

    async def _collect_cuts(self, view: FarmView) -> None:
        """Begins payments of what farmers owe the pool, where it has come to the threshold."""
        if self._rules.treasury is None or not self._rules.cut_threshold_stroops:
            return
        for farmer_id, _ in await self._withdrawals.owing(self._rules.cut_threshold_stroops):
            new = NewWithdrawal(
                farmer_id=farmer_id,
                kind=WithdrawalKind.CUT,
                idempotency_key=f"cut of ledger {view.ledger.sequence}",
                destination=None,
                stroops=0,
                requested_time=view.ledger.close_time,
                ledger=view.ledger.sequence,
                takes_cut=True,
            )
            await self._withdrawals.request(new, self._withdrawing.reach(view.ledger.close_time))

    async def _let_go(self, view: FarmView) -> None:
        """Sets aside all that farmers have who leave and have nothing in the ground any more."""
        reach = self._withdrawing.reach(view.ledger.close_time)
        for opened in await self._withdrawals.live():
            waiting = opened.withdrawal.state is WithdrawalState.REQUESTED
            if waiting and not opened.pails and not opened.others:
                takes_cut = self._rules.treasury is not None
                if not await self._withdrawals.reserve(
                    opened.withdrawal.withdrawal_id, takes_cut=takes_cut, reach=reach
                ):
                    _log.warning("an exit waits", withdrawal_id=str(opened.withdrawal.withdrawal_id))

    async def _give_up(self, cursor: Cursor) -> None:
        """Ends what may have been paid in ledgers that cannot be read: to pay it again could be twice."""
        lost = [
            WithdrawalFailed(opened.withdrawal.withdrawal_id, unread(opened.withdrawal.address))
            for opened in await self._withdrawals.live()
            if opened.withdrawal.state is not WithdrawalState.REQUESTED
            and not opened.in_flight
            and opened.withdrawal.created_ledger < cursor.equal_at
        ]
        for one in lost:
            _log.error("a withdrawal is given up", withdrawal_id=str(one.withdrawal_id), reason=one.refusal.message)
        await self._attempts.apply(lost)

    async def _check(self) -> None:
        """Approves what was set aside, or refuses it, as enough endpoints show the accounts concerned."""
        reserved = [
            opened.withdrawal
            for opened in await self._withdrawals.live()
            if opened.withdrawal.state is WithdrawalState.RESERVED
        ]
        if not reserved:
            return
        found = await self._witnesses.receivers(sorted(self._concerned(reserved)))
        for withdrawal in reserved:
            if self._concerned([withdrawal]) <= found.keys():
                await self._decide(withdrawal, found)
            else:
                _log.warning("the endpoints do not agree on accounts", withdrawal_id=str(withdrawal.withdrawal_id))

    def _concerned(self, withdrawals: Iterable[Withdrawal]) -> set[str]:
        addresses = {withdrawal.address for withdrawal in withdrawals}
        addresses |= {one.destination.account for one in withdrawals if one.destination is not None}
        return addresses | ({self._rules.treasury} if self._rules.treasury is not None else set())

    async def _decide(self, withdrawal: Withdrawal, found: Mapping[str, Receiver]) -> None:
        refusal = _refusal(withdrawal, found)
        treasury = self._treasury_refusal(withdrawal, found)
        if refusal is None and treasury is not None:
            _log.error("the pool's cut cannot be paid", reason=treasury.message)
            if withdrawal.kind is WithdrawalKind.EXIT:
                return
            refusal = treasury if withdrawal.kind is WithdrawalKind.CUT else None
        if refusal is None:
            await self._withdrawals.approve(withdrawal.withdrawal_id, keeps_cut=treasury is None)
            return
        _log.warning("withdrawal refused", withdrawal_id=str(withdrawal.withdrawal_id), reason=refusal.message)
        await self._withdrawals.refuse(withdrawal.withdrawal_id, refusal)

    def _treasury_refusal(self, withdrawal: Withdrawal, found: Mapping[str, Receiver]) -> Refusal | None:
        treasury = self._rules.treasury
        if not withdrawal.cut_stroops:
            return None
        if treasury is None:
            return Refusal(PayoutReason.DESTINATION_MISSING, "POOL_CUT_ADDRESS is not set")
        return unfit(found[treasury], Destination(treasury), withdrawal.cut_stroops)

    async def _send(self, view: FarmView) -> None:
        closed = view.ledger.sequence
        ready = [
            opened
            for opened in await self._withdrawals.live()
            if opened.withdrawal.state in (WithdrawalState.APPROVED, WithdrawalState.SENDING)
            and not opened.in_flight
            and self._submitting.held_until(opened.withdrawal.withdrawal_id) <= closed
        ]
        by_address = {opened.withdrawal.address: opened for opened in reversed(ready)}
        with self._submitting.claim(by_address, _AT_ONCE) as free:
            if not free:
                return
            accounts = await self._chain.reader.accounts(free)
            allowance = await self._chain.budget.allowance(closed)
            attempts = []
            for address in free:
                attempt = await self._stored(by_address[address], accounts.get(address), closed, allowance.grants)
                attempts += [] if attempt is None else [attempt]
            if attempts:
                _log.info("paying out", withdrawals=len(attempts))
            await self._submitting.submit(attempts)

    async def _stored(
        self, opened: OpenWithdrawal, account: Account | None, closed: int, granted: Callable[[int], bool]
    ) -> Attempt | None:
        """A withdrawal's next transaction, signed and stored; None where there is none now."""
        withdrawal = opened.withdrawal
        if account is None:
            _log.error("the account to be paid from does not exist", address=withdrawal.address)
            return None
        intent = payout_intent(withdrawal, treasury=self._rules.treasury, xlm_stroops=account.balance_stroops)
        sequence = self._submitting.next_sequence(withdrawal.address, account.sequence)
        try:
            signed = await self._chain.factory.payout(
                opened.key, intent, sequence=sequence, max_ledger=closed + LEDGER_WINDOW
            )
        except (SealedSeedError, PolicyRefusedError) as error:
            _log.exception("a withdrawal is not signed", withdrawal_id=str(withdrawal.withdrawal_id))
            await self._end_unsigned(withdrawal, str(error))
            return None
        except SigningCapError as error:
            _log.error("a withdrawal waits", withdrawal_id=str(withdrawal.withdrawal_id), reason=str(error))
            return None
        attempt = attempt_of(signed, AttemptKind.WITHDRAWAL, withdrawal.withdrawal_id, created_ledger=closed)
        if not granted(attempt.max_fee):
            _log.error("a fee cap keeps a withdrawal from being sent", withdrawal_id=str(withdrawal.withdrawal_id))
            return None
        try:
            async with self._submitting.storing():
                await self._withdrawals.begin(withdrawal.withdrawal_id, attempt)
        except StoreConflictError as error:
            _log.warning("a withdrawal waits", withdrawal_id=str(withdrawal.withdrawal_id), reason=str(error))
            return None
        return attempt

    async def _end_unsigned(self, withdrawal: Withdrawal, why: str) -> None:
        refusal = Refusal(PayoutReason.KEY_UNAVAILABLE, why)
        if not await self._withdrawals.refuse(withdrawal.withdrawal_id, refusal):
            await self._attempts.apply([WithdrawalFailed(withdrawal.withdrawal_id, refusal)])


def _refusal(withdrawal: Withdrawal, found: Mapping[str, Receiver]) -> Refusal | None:
    """Why a withdrawal cannot be paid, as the ledger shows both accounts."""
    own, destination = found[withdrawal.address], withdrawal.destination
    if not own.exists or own.room is None:
        return Refusal(PayoutReason.BALANCE_SHORT, f"the account {withdrawal.address} or its KALE trustline is gone")
    if not own.authorised and withdrawal.total:
        return Refusal(
            PayoutReason.SOURCE_FROZEN,
            f"the issuer of KALE has frozen {withdrawal.address}; nothing can leave it until it is unfrozen",
        )
    if destination is None:
        return None
    return unfit(found[destination.account], destination, withdrawal.stroops)
