"""Why something could not be done: a reason for programs and a text for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureReason(StrEnum):
    """Machine-readable reasons; the values are stored in rows and sent in the JSON routes."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    TRUSTLINE_MISSING = "trustline_missing"
    ACCOUNT_MISSING = "account_missing"
    ALREADY_PLANTED = "already_planted"
    WRONG_BLOCK = "wrong_block"
    FARM_PAUSED = "farm_paused"
    EXPIRED = "expired"
    CONTRACT_REFUSED = "contract_refused"
    FEE_ACCOUNT_LOW = "fee_account_low"
    NETWORK_REFUSED = "network_refused"
    KEY_UNAVAILABLE = "key_unavailable"
    TIMEOUT = "timeout"
    HASH_INVALID = "hash_invalid"
    INTERNAL = "internal"
    FARMER_UNKNOWN = "farmer_unknown"
    NOT_PLANTED = "not_planted"
    INVALID_REQUEST = "invalid_request"


@dataclass(frozen=True, slots=True)
class Failure:
    """A reason and one or two sentences, free of secrets, saying what went wrong and what to do."""

    reason: FailureReason
    message: str
