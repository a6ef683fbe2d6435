"""How a ledger ended a transaction, as far as the pool's rules need to know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Contract(StrEnum):
    """Which contract refused a call. Farm and token use the same numbers for different errors."""

    FARM = "farm"
    TOKEN = "token"  # noqa: S105 - the contract of KALE, not a secret
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ContractError:
    """The error that made a contract call fail, by the contract that raised it first."""

    contract: Contract
    code: int


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """A transaction that a ledger applied, successfully or not; either way its fee is paid and its sequence used."""

    hash: bytes
    ledger: int
    close_time: int
    """Close time of that ledger, Unix seconds."""
    successful: bool
    fee_charged: int
    """Fee taken from the fee account, in stroops of XLM."""
    code: str
    """The (inner) transaction's result code, such as txSUCCESS or txFAILED."""
    operation_code: str | None
    """The first failing operation's code, such as trapped."""
    contract_error: ContractError | None
    return_value: int | None
    """What the contract call returned: a work's gap, a harvest's reward in stroops; None for a plant."""
