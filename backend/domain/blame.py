"""Whose fault it was: every plant, work and harvest that failed or was lost has a cause from a closed list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.attempt import RPC_SILENT, TOO_LATE
from backend.domain.failure import FailureReason


class Owner(StrEnum):
    """Who can do something about it."""

    FARMER_FUNDS = "farmer_funds"
    POOLER = "pooler"
    BACKEND = "backend"
    RPC = "rpc"
    NETWORK = "network"
    CONTRACT = "contract"


class Cause(StrEnum):
    """What was behind a failure; the values are those of the column attributions.cause."""

    BALANCE_TOO_LOW = "balance_too_low"
    ACCOUNT_UNFIT = "account_unfit"
    PLANTED_BY_OTHERS = "planted_by_others"
    BLOCK_TURNED_OVER = "block_turned_over"
    FARM_PAUSED = "farm_paused"
    CONTRACT_REFUSED = "contract_refused"
    PAIL_EMPTIED = "pail_emptied"
    FEES_SHORT = "fees_short"
    KEY_UNAVAILABLE = "key_unavailable"
    PROGRAM_FAULT = "program_fault"
    NEVER_SENT = "never_sent"
    NOT_INCLUDED = "not_included"
    NETWORK_REFUSED = "network_refused"
    RPC_UNREACHABLE = "rpc_unreachable"
    POOLER_FAULT = "pooler_fault"
    POOLER_TOO_LATE = "pooler_too_late"
    WRONG_REPORT = "wrong_report"
    BACKSTOP_MISSED = "backstop_missed"
    BACKSTOP_NOT_INCLUDED = "backstop_not_included"
    HARVEST_MISSED = "harvest_missed"
    HARVEST_NOT_INCLUDED = "harvest_not_included"


OWNERS: Mapping[Cause, Owner] = {
    Cause.BALANCE_TOO_LOW: Owner.FARMER_FUNDS,
    Cause.ACCOUNT_UNFIT: Owner.FARMER_FUNDS,
    Cause.PLANTED_BY_OTHERS: Owner.FARMER_FUNDS,
    Cause.BLOCK_TURNED_OVER: Owner.NETWORK,
    Cause.FARM_PAUSED: Owner.CONTRACT,
    Cause.CONTRACT_REFUSED: Owner.CONTRACT,
    Cause.PAIL_EMPTIED: Owner.CONTRACT,
    Cause.FEES_SHORT: Owner.BACKEND,
    Cause.KEY_UNAVAILABLE: Owner.BACKEND,
    Cause.PROGRAM_FAULT: Owner.BACKEND,
    Cause.NEVER_SENT: Owner.BACKEND,
    Cause.NOT_INCLUDED: Owner.NETWORK,
    Cause.NETWORK_REFUSED: Owner.NETWORK,
    Cause.RPC_UNREACHABLE: Owner.RPC,
    Cause.POOLER_FAULT: Owner.POOLER,
    Cause.POOLER_TOO_LATE: Owner.POOLER,
    Cause.WRONG_REPORT: Owner.POOLER,
    Cause.BACKSTOP_MISSED: Owner.BACKEND,
    Cause.BACKSTOP_NOT_INCLUDED: Owner.NETWORK,
    Cause.HARVEST_MISSED: Owner.BACKEND,
    Cause.HARVEST_NOT_INCLUDED: Owner.NETWORK,
}


class Subject(StrEnum):
    """What failed; the values are those of the column attributions.subject."""

    PLANT = "plant"
    WORK = "work"
    HARVEST = "harvest"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rows know of a failure when it is stored."""

    subject: Subject
    reason: FailureReason
    by_backend: bool = False
    """Of work: the backend's own."""
    codes: Sequence[str | None] = ()
    """Result codes of the transactions that tried it; None of one that expired without a word of the network."""
    backstop: Sequence[str | None] = ()
    """Of a harvest: those of the backend's own works in the pail."""
    reported: int = 0
    """Of a harvest: poolers that reported accepted work in the pail."""


def cause_of(facts: Facts) -> Cause:
    """The cause of a failure."""
    if facts.subject is Subject.HARVEST:
        return _harvest(facts)
    if facts.reason in _AMBIGUOUS:
        return _work(facts) if facts.subject is Subject.WORK else _plant(facts)
    return _PLAIN[facts.reason]


_AMBIGUOUS = frozenset({FailureReason.EXPIRED, FailureReason.TIMEOUT, FailureReason.INTERNAL})
_PLAIN: Mapping[FailureReason, Cause] = {
    FailureReason.INSUFFICIENT_BALANCE: Cause.BALANCE_TOO_LOW,
    FailureReason.TRUSTLINE_MISSING: Cause.ACCOUNT_UNFIT,
    FailureReason.ACCOUNT_MISSING: Cause.ACCOUNT_UNFIT,
    FailureReason.ALREADY_PLANTED: Cause.PLANTED_BY_OTHERS,
    FailureReason.WRONG_BLOCK: Cause.BLOCK_TURNED_OVER,
    FailureReason.FARM_PAUSED: Cause.FARM_PAUSED,
    FailureReason.CONTRACT_REFUSED: Cause.CONTRACT_REFUSED,
    FailureReason.FEE_ACCOUNT_LOW: Cause.FEES_SHORT,
    FailureReason.NETWORK_REFUSED: Cause.NETWORK_REFUSED,
    FailureReason.KEY_UNAVAILABLE: Cause.KEY_UNAVAILABLE,
    FailureReason.HASH_INVALID: Cause.WRONG_REPORT,
    FailureReason.FARMER_UNKNOWN: Cause.WRONG_REPORT,
    FailureReason.NOT_PLANTED: Cause.WRONG_REPORT,
    FailureReason.INVALID_REQUEST: Cause.WRONG_REPORT,
}


def _plant(facts: Facts) -> Cause:
    if facts.reason is FailureReason.INTERNAL:
        return Cause.PROGRAM_FAULT
    return _missed(facts.codes, never=Cause.NEVER_SENT, late=Cause.NOT_INCLUDED)


def _work(facts: Facts) -> Cause:
    if facts.by_backend:
        return _missed(facts.codes, never=Cause.BACKSTOP_MISSED, late=Cause.BACKSTOP_NOT_INCLUDED)
    return Cause.POOLER_FAULT if facts.reason is FailureReason.INTERNAL else Cause.POOLER_TOO_LATE


def _harvest(facts: Facts) -> Cause:
    """A pail without work is the backstop's matter first; one whose life ended is the harvests'."""
    if facts.reason is FailureReason.CONTRACT_REFUSED:
        return Cause.PAIL_EMPTIED
    if facts.reason is FailureReason.TIMEOUT:
        never = Cause.WRONG_REPORT if facts.reported else Cause.BACKSTOP_MISSED
        return _missed(facts.backstop, never=never, late=Cause.BACKSTOP_NOT_INCLUDED)
    return _missed(facts.codes, never=Cause.HARVEST_MISSED, late=Cause.HARVEST_NOT_INCLUDED)


def _missed(codes: Sequence[str | None], *, never: Cause, late: Cause) -> Cause:
    """Why no transaction made it: none was sent in time, no RPC took any, or no ledger did in time."""
    if all(code == TOO_LATE for code in codes):
        return never
    return Cause.RPC_UNREACHABLE if all(code == RPC_SILENT for code in codes) else late
