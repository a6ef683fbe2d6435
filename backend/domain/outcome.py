"""How the end of an attempt moves its intent: one rule for each kind of transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.failure import Failure, FailureReason
from backend.domain.plant import RESOURCE_FAILURES, TRAPPED, failure_of
from backend.domain.result import Contract, TransactionResult
from backend.domain.settlement import (
    BatchReleased,
    Effect,
    ExitRewound,
    FarmersOnboarded,
    HarvestConfirmed,
    PlantConfirmed,
    PlantFailed,
    Settlement,
    WithdrawalFailed,
    WithdrawalPaid,
    WorkSettled,
)
from backend.domain.withdrawal import MEETS_MORE, ledger_refusal
from backend.domain.work import WorkState
from kale_chain.errors import FarmErrorCode


def settlement_of(attempt: Attempt, result: TransactionResult) -> Settlement:
    """The settlement of an attempt that a ledger applied."""
    return Settlement(
        attempt_hash=attempt.hash,
        state=AttemptState.SUCCEEDED if result.successful else AttemptState.FAILED,
        result_ledger=result.ledger,
        result_code=None if result.successful else result.operation_code or result.code,
        # Whoever wraps our inner transaction in a fee bump of his own pays for it himself.
        fee_charged=result.fee_charged if result.hash in attempt.hashes else 0,
        effects=_APPLIED[attempt.kind](attempt, result),
        result_hash=result.hash,
    )


def expiry_of(attempt: Attempt, closed_ledger: int, refusal: str | None) -> Settlement:
    """The settlement of an attempt that no ledger took; `refusal` is the network's last word at submission."""
    return Settlement(
        attempt_hash=attempt.hash,
        state=AttemptState.EXPIRED,
        result_ledger=closed_ledger,
        result_code=refusal,
        effects=_expired(attempt),
    )


def supersession_of(attempt: Attempt, ledger: int, consumer: bytes | None) -> Settlement:
    """The settlement of an attempt whose sequence number another transaction used up to `ledger`.

    `consumer` is that transaction's hash, if it could be found. The intent goes on as after an expiry: nothing of it
    was applied, and another transaction may be built.
    """
    return Settlement(
        attempt_hash=attempt.hash,
        state=AttemptState.SUPERSEDED,
        result_ledger=ledger,
        result_code="txBAD_SEQ",
        effects=_expired(attempt),
        result_hash=consumer,
    )


def _plant(attempt: Attempt, result: TransactionResult) -> Sequence[Effect]:
    """A failure that another transaction may avoid leaves the plant pending: it is built anew while there is time."""
    if result.successful:
        return (PlantConfirmed(attempt.intent_id, result.ledger, result.hash.hex()),)
    unexplained = result.operation_code is None and result.contract_error is None
    trapped = result.operation_code == TRAPPED and result.contract_error is None
    if unexplained or trapped or result.operation_code in RESOURCE_FAILURES:
        return ()
    return (PlantFailed(attempt.intent_id, failure_of(result)),)


def _work(attempt: Attempt, result: TransactionResult) -> Sequence[Effect]:
    if result.successful:
        return (
            WorkSettled(
                attempt.intent_id,
                WorkState.SUCCESS,
                gap=result.return_value,
                transaction_hash=result.hash.hex(),
                ledger=result.ledger,
            ),
        )
    error = result.contract_error
    if error is not None and (error.contract, error.code) == (Contract.FARM, FarmErrorCode.ZERO_COUNT_TOO_LOW):
        failure = Failure(FailureReason.CONTRACT_REFUSED, "the pail had been worked by then; its stake is safe")
    else:
        failure = failure_of(result)
    return (WorkSettled(attempt.intent_id, WorkState.FAILED, failure=failure),)


def _harvest(attempt: Attempt, result: TransactionResult) -> Sequence[Effect]:
    """A failed harvest stays pending: the pail on the ledger decides what is to be done."""
    if not result.successful or result.return_value is None:
        return ()
    return (HarvestConfirmed(attempt.intent_id, result.return_value, result.ledger, result.hash.hex()),)


def _onboarding(attempt: Attempt, result: TransactionResult) -> Sequence[Effect]:
    return (FarmersOnboarded(attempt.intent_id) if result.successful else BatchReleased(attempt.intent_id),)


def _withdrawal(attempt: Attempt, result: TransactionResult) -> Sequence[Effect]:
    """What fails without any payment's being at fault, or a missing fee, is tried again with another transaction."""
    if result.successful:
        return (WithdrawalPaid(attempt.intent_id, result.ledger, result.hash.hex()),)
    if result.operation_code is None:
        return ()
    if result.operation_code in MEETS_MORE:
        return (ExitRewound(attempt.intent_id),)
    return (WithdrawalFailed(attempt.intent_id, ledger_refusal(result.operation_code)),)


def _rowless(_attempt: Attempt, _result: TransactionResult) -> Sequence[Effect]:
    return ()


_APPLIED: Mapping[AttemptKind, Callable[[Attempt, TransactionResult], Sequence[Effect]]] = {
    AttemptKind.PLANT: _plant,
    AttemptKind.WORK: _work,
    AttemptKind.HARVEST: _harvest,
    AttemptKind.ONBOARDING: _onboarding,
    AttemptKind.CHANNELS: _rowless,
    AttemptKind.EXTENSION: _rowless,
    AttemptKind.WITHDRAWAL: _withdrawal,
}


def _expired(attempt: Attempt) -> Sequence[Effect]:
    if attempt.kind is AttemptKind.WORK:
        failure = Failure(FailureReason.EXPIRED, "no ledger took the work in time")
        return (WorkSettled(attempt.intent_id, WorkState.TIMEOUT, failure=failure),)
    if attempt.kind is AttemptKind.ONBOARDING:
        return (BatchReleased(attempt.intent_id),)
    return ()
