"""Everything that can go wrong in the backend, as one tree.

BackendError                         fields: retry, reason (machine-readable, UPPER_SNAKE)
├── InvalidRequestError              a request is malformed; says which field and what is wrong
├── UnknownFarmerError               no farmer has this id
├── UnknownWithdrawalError           the farmer has no withdrawal with this id
├── UnknownTokenError                no access token has this id
├── UnauthenticatedError             the caller did not say who it is, or its token is not valid
├── PermissionDeniedError            the caller may not do this, or not for this farmer
│   ├── PoolerExcludedError          the pooler is let in no longer
│   │   ├── PoolerRevokedError       by the operator
│   │   └── PoolerQuarantinedError   for reports that were wrong
│   └── InvitationError              an invitation is used, revoked or expired, or was none
├── AuthorityError                   the pool's certificate authority cannot be used
├── DeadlineExceededError            a call took longer than any may
├── RateLimitedError                 the caller calls too often; says how long to wait
├── UnknownPoolerError               no pooler has this name, or none of this standing
├── RequestReusedError               a request id was used for something else
├── PreconditionError                the request is well-formed, but the world is not ready for it
│   ├── BlockPassedError             the block is over
│   ├── BlockNotDueError             the block is neither open nor next
│   ├── FarmPausedError              the farm's owner paused it
│   ├── FarmerDepartedError          the farmer left for good
│   ├── TransitionError              a state cannot follow another
│   ├── AttendanceSupersededError    another stream of this pooler came later
│   ├── PeriodOpenError              a statement's period is not over yet
│   ├── FarmerLeavingError           the farmer is leaving: its exit is under way
│   ├── InsufficientBalanceError     more is asked for than is neither staked nor promised
│   ├── WithdrawalLimitError         more than may leave in a day
│   ├── DestinationError             the destination cannot take the payment
│   ├── PayoutLockedError            the farmer is paid at its locked payout address alone
│   └── SponsorLowError              the master account cannot sponsor another account
├── UnavailableError                 something the backend depends on does not answer; try again
│   ├── DatabaseUnavailableError
│   ├── WithdrawalsPausedError       an operator has paused withdrawals
│   ├── QuarantinedError             nothing is signed until a ledger has closed
│   ├── SlowReaderError              a peer does not read its stream
│   ├── PoolerSilentError            a pooler answered nothing while three ledgers closed
│   ├── BooksViolatedError           the books break a rule: nothing is planted
│   ├── LedgerUnavailableError
│   └── SignerUnavailableError       the process that holds the farmers' keys does not answer
├── VaultError                       a farmer's key cannot be used
│   ├── KeyFileError                 a key-encryption key's file is missing, unreadable or malformed
│   ├── KeyDeviceError               the device that holds key-encryption keys cannot be used
│   ├── KeyMissingError              a version of the key-encryption key is nowhere to be found
│   ├── KeyBackupError               a backup of keys cannot be written, read or opened
│   ├── SealedSeedError              a sealed seed does not open: wrong key, wrong farmer or tampered with
│   ├── SignerRulesError             the signer's rules are not the backend's: another network, farm or account
│   ├── SigningJournalError          the signer's record of payouts cannot be used: no payout is signed
│   ├── SigningCapError              more would be signed away within a day than the signer's cap
│   └── PolicyRefusedError           a transaction does something no farmer's key signs, or not what was said
├── HeadFileError                    the record of the database's head is unreadable, malformed or not writable
├── LeaseError                       another backend has the database's lease
│   ├── LeaseHeldError               it lives: this one must not start
│   └── LeaseLostError               it came later: this one must end
├── BackupError                      a backup cannot be made, opened or restored
├── StatementError                   a document is no signed statement
├── StoreConflictError               a unique rule of the database refused a row: someone else was first
├── DatabaseRoleError                the role in DATABASE_URL could change the tables' rules
└── MigrationError                   the database's schema is not what the program expects

Settings that are missing or malformed raise kale_common's ConfigError, a wrong network or farm kale_chain's
IdentityError.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import ClassVar

from kale_chain.errors import Retry


class BackendError(Exception):
    """Base of the backend's errors. Messages are sentences for people, free of secrets."""

    retry: ClassVar[Retry] = Retry.NEVER
    reason: ClassVar[str] = "INTERNAL"


class InvalidRequestError(BackendError):
    """A request is malformed: `field` names the part, `problem` what is wrong with it."""

    reason = "INVALID_REQUEST"

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


class UnknownFarmerError(BackendError):
    """No farmer has this id."""

    reason = "UNKNOWN_FARMER"

    def __init__(self, farmer_id: object) -> None:
        self.farmer_id = str(farmer_id)
        super().__init__(f"no farmer has the id {farmer_id}; ListFarmers shows those there are")


class UnknownTokenError(BackendError):
    """No access token has this id."""

    reason = "UNKNOWN_TOKEN"

    def __init__(self, token_id: object) -> None:
        self.token_id = str(token_id)
        super().__init__(f"no token has the id {token_id}; `kale-backend token list` shows those there are")


class DeadlineExceededError(BackendError):
    """A call took longer than any may; `seconds` were allowed.

    What it had begun to store is stored whole or not at all; a repeat with its request id goes on from there.
    """

    reason = "DEADLINE_EXCEEDED"
    retry = Retry.NEXT_LEDGER

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"no answer was ready within {seconds:g} s; ask again with the same request id")


class UnauthenticatedError(BackendError):
    """The caller did not say who it is, or with a token that is malformed, unknown, expired or revoked."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(BackendError):
    """The caller is known, but may not do this, or not for this farmer."""

    reason = "PERMISSION_DENIED"


class PoolerExcludedError(PermissionDeniedError):
    """The pooler is let in no longer; `cause` says why."""

    def __init__(self, pooler_id: str, cause: str) -> None:
        self.pooler_id = pooler_id
        self.cause = cause
        super().__init__(f"pooler {pooler_id} is let in no longer: {cause}")


class PoolerRevokedError(PoolerExcludedError):
    """The operator revoked the pooler."""

    reason = "POOLER_REVOKED"


class PoolerQuarantinedError(PoolerExcludedError):
    """The pooler reported hashes that do not compute."""

    reason = "POOLER_QUARANTINED"


class InvitationError(PermissionDeniedError):
    """An invitation is good once, for a quarter of an hour."""

    reason = "INVITATION_INVALID"

    def __init__(self, pooler_id: str) -> None:
        self.pooler_id = pooler_id
        super().__init__(
            f"the invitation of pooler {pooler_id} is used, revoked or expired, or was none; "
            f"`kale-backend pooler enrol {pooler_id}` makes another"
        )


class AuthorityError(BackendError):
    """The pool's certificate authority cannot be used: missing, unreadable, malformed or open to others."""

    reason = "AUTHORITY"

    def __init__(self, directory: Path, problem: str) -> None:
        super().__init__(f"TLS_DIRECTORY: {directory} {problem}")


class RateLimitedError(BackendError):
    """The caller calls too often; `retry_after_seconds` from now it may call again."""

    retry = Retry.NEXT_LEDGER
    reason = "RATE_LIMITED"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"too many calls; try again in {retry_after_seconds:.2f} seconds")


class UnknownWithdrawalError(BackendError):
    """The farmer has no withdrawal with this id."""

    reason = "UNKNOWN_WITHDRAWAL"

    def __init__(self, withdrawal_id: object) -> None:
        self.withdrawal_id = str(withdrawal_id)
        super().__init__(f"the farmer has no withdrawal {withdrawal_id}; ListWithdrawals shows those there are")


class UnknownPoolerError(BackendError):
    """No pooler has this name, or it does not stand as asked."""

    reason = "UNKNOWN_POOLER"

    def __init__(self, pooler_id: str, sought: str) -> None:
        self.pooler_id = pooler_id
        super().__init__(f"no pooler {pooler_id!r} is {sought}; `kale-backend pooler list` shows those there are")


class RequestReusedError(BackendError):
    """A request id was used before, for something else."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str, earlier: str) -> None:
        self.request_id = request_id
        super().__init__(f"request_id {request_id!r} was used for {earlier}; choose a new one for a new request")


class PreconditionError(BackendError):
    """The request is well-formed, but cannot be done as things stand."""


class BlockPassedError(PreconditionError):
    """The block is over, or too old: nothing can be planted or reported as detected in it."""

    reason = "BLOCK_PASSED"

    def __init__(self, block_index: int, farm_index: int) -> None:
        self.block_index = block_index
        self.farm_index = farm_index
        super().__init__(
            f"block {block_index} is over, or too old for a plant to be worked; the farm's open block is {farm_index}"
        )


class BlockNotDueError(PreconditionError):
    """The block is neither open nor about to open. `due_time` is in seconds of ledger time, if it can be told."""

    retry = Retry.NEXT_LEDGER
    reason = "BLOCK_NOT_DUE"

    def __init__(self, block_index: int, farm_index: int, due_time: int | None) -> None:
        self.block_index = block_index
        self.farm_index = farm_index
        self.due_time = due_time
        when = "" if due_time is None else f" and can be opened at ledger time {due_time}"
        super().__init__(f"block {block_index} is not due; the farm's open block is {farm_index}{when}")


class FarmPausedError(PreconditionError):
    """The farm's owner paused it: nothing can be planted until it is unpaused."""

    retry = Retry.NEXT_BLOCK
    reason = "FARM_PAUSED"

    def __init__(self) -> None:
        super().__init__("the farm is paused by its owner; nothing can be planted until it is unpaused")


class FarmerDepartedError(PreconditionError):
    """The farmer left the pool for good."""

    reason = "FARMER_DEPARTED"

    def __init__(self, farmer_id: object) -> None:
        self.farmer_id = str(farmer_id)
        super().__init__(f"farmer {farmer_id} has left the pool and can no longer be changed")


class FarmerLeavingError(PreconditionError):
    """The farmer is leaving the pool, or has left."""

    reason = "FARMER_LEAVING"

    def __init__(self, farmer_id: object) -> None:
        self.farmer_id = str(farmer_id)
        super().__init__(
            f"farmer {farmer_id} is leaving the pool: its exit pays out everything, and nothing else is done"
        )


class InsufficientBalanceError(PreconditionError):
    """A farmer has less that is neither staked nor promised than is asked for; amounts in stroops of KALE."""

    reason = "INSUFFICIENT_BALANCE"

    def __init__(self, asked: int, spendable: int) -> None:
        self.asked_stroops = asked
        self.spendable_stroops = max(0, spendable)
        super().__init__(
            f"{asked} stroops are asked for, but only {self.spendable_stroops} are neither staked, set aside for "
            "another withdrawal nor the pool's cut; stakes come back with their harvests"
        )


class WithdrawalLimitError(PreconditionError):
    """More is asked for than may leave in a day; amounts in stroops of KALE."""

    retry = Retry.NEXT_BLOCK
    reason = "WITHDRAWAL_LIMIT"

    def __init__(self, asked: int, left: int) -> None:
        self.asked_stroops = asked
        self.left_stroops = left
        super().__init__(
            f"{asked} stroops are asked for, but only {left} more may leave within a day; "
            "ask for less, or again when earlier withdrawals are a day old"
        )


class DestinationError(PreconditionError):
    """The destination cannot take the payment; `problem` is the machine-readable reason."""

    reason = "DESTINATION_UNFIT"

    def __init__(self, problem: str, message: str) -> None:
        self.problem = problem
        super().__init__(message)


class PayoutLockedError(PreconditionError):
    """The farmer has locked its payout address and is paid nowhere else."""

    reason = "PAYOUT_LOCKED"

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"the farmer's payout address is locked to {address}; withdraw to it without naming another, or change it "
            "with SetPayout, which takes effect after a delay"
        )


class TransitionError(PreconditionError):
    """A state cannot follow another."""

    reason = "STATE_CANNOT_FOLLOW"

    def __init__(self, old: str, new: str) -> None:
        self.old = old
        self.new = new
        super().__init__(f"state {new!r} cannot follow {old!r}")


class AttendanceSupersededError(PreconditionError):
    """Another stream of the same pooler came later; two poolers of one name would take farmers from each other."""

    reason = "ATTENDANCE_SUPERSEDED"

    def __init__(self, pooler_id: str) -> None:
        self.pooler_id = pooler_id
        super().__init__(f"pooler {pooler_id} attends by a later stream; give every pooler a POOLER_ID of its own")


class PeriodOpenError(PreconditionError):
    """A statement's period is not over: something may still be booked into it. It may end at `complete_until`."""

    retry = Retry.NEXT_LEDGER
    reason = "PERIOD_OPEN"

    def __init__(self, ends: datetime, complete_until: datetime) -> None:
        self.complete_until = complete_until.isoformat()
        super().__init__(
            f"the period cannot end at {ends.isoformat()}: bookings are complete until {self.complete_until}"
        )


class StatementError(BackendError):
    """A document is no signed statement that this program can read."""

    reason = "NO_STATEMENT"


class SponsorLowError(PreconditionError):
    """The master account has too little XLM to sponsor another account (1.5 XLM each, plus fees)."""

    retry = Retry.NEXT_LEDGER
    reason = "SPONSOR_LOW"

    def __init__(self, master_address: str) -> None:
        super().__init__(
            f"the master account {master_address} cannot sponsor another account: each locks 1.5 XLM; "
            "send it XLM, onboarding then goes on by itself"
        )


class UnavailableError(BackendError):
    """Something the backend depends on does not answer; nothing was lost, try again."""

    retry = Retry.NEXT_LEDGER


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached or does not answer in time."""

    reason = "DATABASE_UNAVAILABLE"


class WithdrawalsPausedError(UnavailableError):
    """An operator has paused all withdrawals."""

    reason = "WITHDRAWALS_PAUSED"

    def __init__(self, why: str) -> None:
        super().__init__(f"withdrawals are paused: {why}; nothing is lost, ask again later")


class QuarantinedError(UnavailableError):
    """The database was restored to an older point: nothing is signed until what was sent before is known."""

    reason = "QUARANTINE"


class BooksViolatedError(UnavailableError):
    """Rows of the money ledger break a rule, or differ from the ledger: nothing is planted until that is understood."""

    reason = "BOOKS_VIOLATED"


class PoolerSilentError(UnavailableError):
    """A pooler answered nothing while three ledgers closed: its farmers went to others. It may attend again."""

    reason = "POOLER_SILENT"

    def __init__(self, pooler_id: str) -> None:
        self.pooler_id = pooler_id
        super().__init__(f"pooler {pooler_id} answered nothing while three ledgers closed; attend again")


class SlowReaderError(UnavailableError):
    """A peer did not take a message of a stream for long: the stream ends, and is to be resumed."""

    reason = "SLOW_READER"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a message was not taken for {seconds:g} s; resume the stream, and read faster")


class LedgerUnavailableError(UnavailableError):
    """The Stellar RPC server cannot be reached, refuses or does not answer in time."""

    reason = "LEDGER_UNAVAILABLE"


class SignerUnavailableError(UnavailableError):
    """The process that holds the farmers' keys does not answer; nothing was signed."""

    reason = "SIGNER_UNAVAILABLE"


class VaultError(BackendError):
    """A farmer's key cannot be used."""


class KeyFileError(VaultError):
    """A key-encryption key's file is missing, unreadable, open to others or malformed."""

    reason = "KEY_FILE"


class KeyDeviceError(VaultError):
    """The device that holds the key-encryption keys (PKCS#11) is not there, refuses, or holds no such key."""

    reason = "KEY_DEVICE"


class KeyMissingError(VaultError):
    """A version of the key-encryption key is nowhere to be found."""

    reason = "KEY_MISSING"


class KeyBackupError(VaultError):
    """A backup of keys cannot be written or read, is none, or does not open with this passphrase."""

    reason = "KEY_BACKUP"


class SignerRulesError(VaultError):
    """The signer was started for another network, farm, master account or cap than the one that asks it."""

    reason = "SIGNER_RULES"


class SealedSeedError(VaultError):
    """A sealed seed does not open: sealed under another key, for another farmer, or tampered with."""

    reason = "KEY_UNAVAILABLE"

    def __init__(self, farmer_id: object, problem: str = "it does not open") -> None:
        self.farmer_id = str(farmer_id)
        self.problem = problem
        super().__init__(f"the sealed seed of farmer {farmer_id} cannot be used: {problem}")


class PolicyRefusedError(VaultError):
    """A transaction was not signed: it does something no farmer's key signs, or not what its intent says."""

    reason = "POLICY_REFUSED"

    def __init__(self, farmer_id: object, problem: str) -> None:
        self.farmer_id = str(farmer_id)
        self.problem = problem
        super().__init__(f"farmer {farmer_id}'s key signs no such transaction: {problem}")


class SigningJournalError(VaultError):
    """The signer's record of payouts cannot be read or written; nothing was signed."""

    reason = "SIGNING_JOURNAL"

    def __init__(self, path: Path | None, problem: str) -> None:
        super().__init__(
            f"SIGNER_JOURNAL_FILE: {path} cannot be used: {problem}; give the signer's user a file it may write, or "
            "restore it"
        )


class SigningCapError(VaultError):
    """A payout was not signed: with it more would leave within 24 hours than the signer's own cap, in stroops."""

    reason = "SIGNING_CAP"


class HeadFileError(BackendError):
    """The file that records the database's head outside the database cannot be used."""

    reason = "HEAD_FILE"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"HEAD_FILE: {path} {problem}")


class LeaseError(BackendError):
    """Another backend has the database's lease."""

    reason = "LEASE"


class LeaseHeldError(LeaseError):
    """Another backend lives: this one must not start."""


class LeaseLostError(LeaseError):
    """A newer backend has taken the lease: nothing of this one is stored or sent any more, and it must end."""


class BackupError(BackendError):
    """A backup cannot be made, opened or restored."""

    reason = "BACKUP"


class StoreConflictError(BackendError):
    """A unique rule of the database refused a row: the same thing was stored by someone else first."""

    retry = Retry.NEXT_LEDGER
    reason = "CONFLICT"


class DatabaseRoleError(BackendError):
    """The role the backend connects as owns the tables, so the database could not refuse it anything."""

    reason = "DATABASE_ROLE"


class MigrationError(BackendError):
    """The database's schema is not what the program expects: unmigrated, edited or newer."""

    reason = "SCHEMA"
