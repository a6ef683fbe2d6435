"""Causes and owners of failures: complete over every reason and subject, and just."""

import itertools

import pytest

from backend.domain.attempt import RPC_SILENT, TOO_LATE
from backend.domain.blame import OWNERS, Cause, Facts, Owner, Subject, cause_of
from backend.domain.failure import FailureReason


@pytest.mark.parametrize(("subject", "reason"), list(itertools.product(Subject, FailureReason)))
def test_every_failure_has_a_cause_with_an_owner(subject: Subject, reason: FailureReason) -> None:
    for codes in ((), (None,), (RPC_SILENT,), ("txBAD_SEQ", None)):
        for by_backend in (False, True):
            facts = Facts(subject, reason, by_backend, codes=codes, backstop=codes)
            assert OWNERS[cause_of(facts)] in Owner


def test_every_cause_has_an_owner_and_every_owner_a_cause() -> None:
    assert set(OWNERS) == set(Cause)
    assert set(OWNERS.values()) == set(Owner)


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (Facts(Subject.PLANT, FailureReason.INSUFFICIENT_BALANCE), Cause.BALANCE_TOO_LOW),
        (Facts(Subject.PLANT, FailureReason.EXPIRED), Cause.NEVER_SENT),
        (Facts(Subject.PLANT, FailureReason.EXPIRED, codes=[None]), Cause.NOT_INCLUDED),
        (Facts(Subject.PLANT, FailureReason.EXPIRED, codes=[RPC_SILENT, RPC_SILENT]), Cause.RPC_UNREACHABLE),
        (Facts(Subject.PLANT, FailureReason.EXPIRED, codes=[RPC_SILENT, None]), Cause.NOT_INCLUDED),
        (Facts(Subject.PLANT, FailureReason.EXPIRED, codes=[TOO_LATE, TOO_LATE]), Cause.NEVER_SENT),
        (Facts(Subject.PLANT, FailureReason.EXPIRED, codes=[TOO_LATE, None]), Cause.NOT_INCLUDED),
        (Facts(Subject.PLANT, FailureReason.FEE_ACCOUNT_LOW), Cause.FEES_SHORT),
        (Facts(Subject.WORK, FailureReason.HASH_INVALID), Cause.WRONG_REPORT),
        (Facts(Subject.WORK, FailureReason.TIMEOUT), Cause.POOLER_TOO_LATE),
        (Facts(Subject.WORK, FailureReason.EXPIRED, by_backend=True, codes=[None]), Cause.BACKSTOP_NOT_INCLUDED),
        (Facts(Subject.HARVEST, FailureReason.TIMEOUT), Cause.BACKSTOP_MISSED),
        (Facts(Subject.HARVEST, FailureReason.TIMEOUT, reported=1), Cause.WRONG_REPORT),
        (Facts(Subject.HARVEST, FailureReason.TIMEOUT, reported=1, backstop=[None]), Cause.BACKSTOP_NOT_INCLUDED),
        (Facts(Subject.HARVEST, FailureReason.TIMEOUT, backstop=[RPC_SILENT]), Cause.RPC_UNREACHABLE),
        (Facts(Subject.HARVEST, FailureReason.EXPIRED), Cause.HARVEST_MISSED),
        (Facts(Subject.HARVEST, FailureReason.EXPIRED, codes=["txFAILED"]), Cause.HARVEST_NOT_INCLUDED),
        (Facts(Subject.HARVEST, FailureReason.CONTRACT_REFUSED), Cause.PAIL_EMPTIED),
    ],
)
def test_cause_follows_from_what_the_rows_know(facts: Facts, cause: Cause) -> None:
    assert cause_of(facts) is cause
