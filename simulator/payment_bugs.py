"""Bugs of payments out, to be planted in the real code; see `simulator.bugs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock
from uuid import UUID, uuid5

from backend.domain import outcome
from backend.domain.attempt import Attempt, AttemptKind
from backend.domain.settlement import Effect, WithdrawalFailed
from backend.domain.signing import PayoutIntent
from backend.domain.withdrawal import NewWithdrawal, OpenWithdrawal, PayoutReason, Refusal, Withdrawal, payout_intent
from backend.services import paying
from simulator.memory import payments, withdrawals
from simulator.memory.tables import Tables


def key_ignored() -> AbstractContextManager[Any]:
    """Asked again at another time, it is another withdrawal."""

    def fresh(self: NewWithdrawal) -> UUID:
        return uuid5(self.farmer_id, f"{self.idempotency_key} at {self.requested_time}")

    return mock.patch.object(NewWithdrawal, "withdrawal_id", property(fresh))


@contextmanager
def payment_unrecognised() -> Iterator[None]:
    """What was paid by a backend whose rows were lost is taken for something else, and paid again."""
    with (
        mock.patch.object(payments, "paid_by", return_value=None),
        mock.patch.object(withdrawals, "_recognise", return_value=False),
    ):
        yield


def one_stroop_more() -> AbstractContextManager[Any]:
    """More is signed than was asked for."""

    def patched(withdrawal: Withdrawal, **rest: Any) -> PayoutIntent:
        intent = payout_intent(withdrawal, **rest)
        first, *others = intent.payments
        return replace(intent, payments=(replace(first, amount_stroops=first.amount_stroops + 1), *others))

    return mock.patch.object(paying, "payout_intent", patched)


def paid_counted_as_failed() -> AbstractContextManager[Any]:
    """A payment that succeeded is told to have failed, so that its farmer asks for it under another key."""

    def patched(attempt: Attempt, _result: object) -> Sequence[Effect]:
        return (WithdrawalFailed(attempt.intent_id, Refusal(PayoutReason.LEDGER_REFUSED, "a planted bug")),)

    return mock.patch.dict(outcome._APPLIED, {AttemptKind.WITHDRAWAL: patched})  # noqa: SLF001


def exit_before_its_harvests() -> AbstractContextManager[Any]:
    """An account is ended while pails of its farmer are in the ground."""
    opened = withdrawals._open  # noqa: SLF001

    def patched(tables: Tables, withdrawal: Withdrawal) -> OpenWithdrawal:
        return replace(opened(tables, withdrawal), pails=0)

    return mock.patch.object(withdrawals, "_open", patched)
