"""What can go wrong between the pool and the ledger.

ChainError
├── RpcError                     the RPC did not answer as asked; it never says anything about the ledger
│   ├── RpcUnavailableError      no connection, a status other than 200, or an answer that cannot be read
│   ├── RpcTimeoutError          no answer in time; what was sent may have arrived
│   ├── RpcRateLimitedError      status 429; `retry_after` says how long to stay away
│   ├── RpcRefusedError          a JSON-RPC error: the method refused these parameters
│   └── LedgerRangeError         the RPC does not hold the ledgers asked for
├── IdentityError                the configured network or farm is not what the ledger says
│   ├── WrongNetworkError        another network's passphrase
│   ├── InvalidContractIdError   not a contract id at all
│   ├── FarmMissingError         nothing exists at this id
│   ├── NotAFarmError            some other contract
│   └── TokenAsFarmError         the token's contract id given as the farm's
├── ContractError                a contract refused a call
│   ├── FarmError                the farm, with a `FarmErrorCode`
│   └── TokenError               the token, with a `TokenErrorCode`
├── HashMismatchError            a claimed work hash is not the hash of its inputs
├── InvalidAddressError          not an address of an account or contract
├── InvalidSecretError           not a secret key; the text never repeats it
└── MalformedXdrError            bytes that are not what the ledger would write

Every class and code says when another try can succeed (`Retry`); whether one is made is the caller's decision.
"""

from enum import Enum, IntEnum
from typing import ClassVar


class Retry(Enum):
    """When the same intent may succeed."""

    NEVER = "never"
    NEXT_LEDGER = "next_ledger"
    NEXT_BLOCK = "next_block"


class FarmErrorCode(IntEnum):
    """The farm contract's error numbers."""

    HOMESTEAD_EXISTS = 1
    HOMESTEAD_MISSING = 2
    FARM_BLOCK_MISSING = 3
    FARM_PAUSED = 4
    FARM_NOT_PAUSED = 5
    PLANT_AMOUNT_TOO_LOW = 6
    ZERO_COUNT_TOO_LOW = 7
    PAIL_EXISTS = 8
    PAIL_MISSING = 9
    WORK_MISSING = 10
    BLOCK_MISSING = 11
    BLOCK_INVALID = 12
    HASH_INVALID = 13
    HARVEST_NOT_READY = 14
    GAP_COUNT_TOO_LOW = 15


class TokenErrorCode(IntEnum):
    """The Stellar asset contract's error numbers; they overlap the farm's, so the contract's id must decide."""

    INTERNAL = 1
    OPERATION_NOT_SUPPORTED = 2
    ALREADY_INITIALIZED = 3
    UNAUTHORIZED = 4
    AUTHENTICATION = 5
    ACCOUNT_MISSING = 6
    ACCOUNT_NOT_CLASSIC = 7
    NEGATIVE_AMOUNT = 8
    ALLOWANCE = 9
    BALANCE = 10
    BALANCE_DEAUTHORIZED = 11
    OVERFLOW = 12
    TRUSTLINE_MISSING = 13
    INSUFFICIENT_ACCOUNT_RESERVE = 14
    TOO_MANY_ACCOUNT_SUBENTRIES = 15


_LONGEST_SHOWN = 80


def _shown(text: str) -> str:
    """`text` in quotes, cut where it is long; what may be a secret key pasted into the wrong place is left out."""
    if text.strip().upper().startswith("S"):
        return "(not shown, for it may be a secret key)"
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


class ChainError(Exception):
    """Base of everything this package raises."""

    retry: Retry = Retry.NEVER


class RpcError(ChainError):
    """The RPC endpoint did not answer as asked. Says nothing about any transaction or ledger.

    Attributes:
        endpoint: Scheme, host and port; never credentials, path or query.
        method: The JSON-RPC method called.
        retry_after: Seconds the endpoint asked to wait before the next call (HTTP Retry-After); None if it did not.
    """

    retry = Retry.NEXT_LEDGER

    def __init__(self, endpoint: str, method: str, problem: str, retry_after: float | None = None) -> None:
        super().__init__(f"{method} at {endpoint}: {problem}")
        self.endpoint = endpoint
        self.method = method
        self.retry_after = retry_after


class RpcUnavailableError(RpcError):
    """No connection, an HTTP status other than 200, or an answer that cannot be read."""


class RpcTimeoutError(RpcError):
    """No answer in time; a transaction sent may have arrived all the same."""


class RpcRateLimitedError(RpcError):
    """The endpoint asks for fewer calls (HTTP 429)."""

    def __init__(self, endpoint: str, method: str, retry_after: float | None) -> None:
        wait = "it does not say for how long" if retry_after is None else f"wait {retry_after:g} s"
        super().__init__(endpoint, method, f"too many requests (HTTP 429); {wait}", retry_after)


class RpcRefusedError(RpcError):
    """A JSON-RPC error: the method refused these parameters.

    Attributes:
        code: The JSON-RPC error number.
        reason: The endpoint's own words.
    """

    retry = Retry.NEVER

    def __init__(self, endpoint: str, method: str, code: int, reason: str) -> None:
        super().__init__(endpoint, method, f"refused ({code}): {reason}")
        self.code = code
        self.reason = reason


class LedgerRangeError(RpcError):
    """The endpoint does not hold the ledgers asked for.

    Attributes:
        asked: First ledger asked for.
        oldest: Oldest ledger the endpoint holds.
        latest: Latest ledger the endpoint holds. Below `asked` the endpoint lags: ask again later. Otherwise the
            ledger has left its retention window and another endpoint is needed.
    """

    def __init__(self, endpoint: str, asked: int, oldest: int, latest: int) -> None:
        if asked > latest:
            advice = "it has not seen that ledger yet"
        else:
            advice = "that ledger has left its retention window; use an RPC with a longer history"
        held = f"it holds ledgers {oldest} to {latest}"
        super().__init__(endpoint, "getTransactions", f"cannot read from ledger {asked}: {held}; {advice}")
        self.asked = asked
        self.oldest = oldest
        self.latest = latest
        self.retry = Retry.NEXT_LEDGER if asked > latest else Retry.NEVER


class IdentityError(ChainError):
    """The configured network or farm is not what the ledger says; the service must not start."""


class WrongNetworkError(IdentityError):
    """The RPC serves another network than the one configured."""

    def __init__(self, configured: str, actual: str) -> None:
        super().__init__(
            f"wrong network: STELLAR_NETWORK_PASSPHRASE is {configured!r}, but STELLAR_RPC_URL serves {actual!r}; "
            "change one of the two"
        )
        self.configured = configured
        self.actual = actual


class InvalidContractIdError(IdentityError):
    """The configured farm id is not a contract id."""

    def __init__(self, contract_id: str) -> None:
        super().__init__(
            f"{_shown(contract_id)} is not a contract id: KALE_CONTRACT_ID must be the farm contract's address, "
            "56 characters beginning with C"
        )


class FarmMissingError(IdentityError):
    """Nothing exists at the configured farm id on this network."""

    def __init__(self, contract_id: str, advice: str) -> None:
        super().__init__(f"there is no contract {contract_id} on this network; {advice}")
        self.contract_id = contract_id


class NotAFarmError(IdentityError):
    """The contract at the configured farm id is no KALE farm."""

    def __init__(self, contract_id: str, found: str, advice: str) -> None:
        super().__init__(f"contract {contract_id} is not a KALE farm ({found}); {advice}")
        self.contract_id = contract_id


class TokenAsFarmError(IdentityError):
    """A token's contract id was given as the farm's.

    Attributes:
        contract_id: The id given.
        asset: The token's asset as `CODE:ISSUER`, or `native`.
    """

    def __init__(self, contract_id: str, asset: str, advice: str) -> None:
        super().__init__(f"{contract_id} is the token contract of {asset}, not a farm; {advice}")
        self.contract_id = contract_id
        self.asset = asset


_FARM_TEXT: dict[FarmErrorCode, tuple[str, Retry]] = {
    FarmErrorCode.HOMESTEAD_EXISTS: ("the farm is already set up", Retry.NEVER),
    FarmErrorCode.HOMESTEAD_MISSING: ("the farm was never set up; check KALE_CONTRACT_ID", Retry.NEVER),
    FarmErrorCode.FARM_BLOCK_MISSING: ("the farm was never set up; check KALE_CONTRACT_ID", Retry.NEVER),
    FarmErrorCode.FARM_PAUSED: ("the farm is paused; plant again once it runs", Retry.NEXT_BLOCK),
    FarmErrorCode.FARM_NOT_PAUSED: ("the farm is not paused", Retry.NEVER),
    FarmErrorCode.PLANT_AMOUNT_TOO_LOW: ("a stake cannot be negative", Retry.NEVER),
    FarmErrorCode.ZERO_COUNT_TOO_LOW: ("the pail already holds a work with as many zeros; find more", Retry.NEVER),
    FarmErrorCode.PAIL_EXISTS: ("the farmer has already planted in this block", Retry.NEXT_BLOCK),
    FarmErrorCode.PAIL_MISSING: ("the farmer has no pail in this block: not planted, or harvested", Retry.NEVER),
    FarmErrorCode.WORK_MISSING: ("the pail was never worked, so it has nothing to harvest", Retry.NEVER),
    FarmErrorCode.BLOCK_MISSING: ("the block is not open, or has expired", Retry.NEVER),
    FarmErrorCode.BLOCK_INVALID: ("the block's ranges are upside down", Retry.NEVER),
    FarmErrorCode.HASH_INVALID: ("the hash is not that of block, nonce, entropy and farmer", Retry.NEVER),
    FarmErrorCode.HARVEST_NOT_READY: ("harvest once the next block is open", Retry.NEXT_BLOCK),
    FarmErrorCode.GAP_COUNT_TOO_LOW: ("work in a later ledger than the plant", Retry.NEXT_LEDGER),
}

_TOKEN_TEXT: dict[TokenErrorCode, tuple[str, Retry]] = {
    TokenErrorCode.INTERNAL: ("internal error", Retry.NEVER),
    TokenErrorCode.OPERATION_NOT_SUPPORTED: ("operation not supported", Retry.NEVER),
    TokenErrorCode.ALREADY_INITIALIZED: ("already initialized", Retry.NEVER),
    TokenErrorCode.UNAUTHORIZED: ("not authorized", Retry.NEVER),
    TokenErrorCode.AUTHENTICATION: ("authentication failed", Retry.NEVER),
    TokenErrorCode.ACCOUNT_MISSING: ("the farmer's account does not exist; onboard it again", Retry.NEVER),
    TokenErrorCode.ACCOUNT_NOT_CLASSIC: ("the address is not an account", Retry.NEVER),
    TokenErrorCode.NEGATIVE_AMOUNT: ("an amount cannot be negative", Retry.NEVER),
    TokenErrorCode.ALLOWANCE: ("the allowance is too small", Retry.NEVER),
    TokenErrorCode.BALANCE: ("the farmer's KALE balance does not allow this; lower the stake", Retry.NEXT_BLOCK),
    TokenErrorCode.BALANCE_DEAUTHORIZED: ("the issuer froze the farmer's trustline", Retry.NEVER),
    TokenErrorCode.OVERFLOW: ("the amount is too large", Retry.NEVER),
    TokenErrorCode.TRUSTLINE_MISSING: ("the farmer has no KALE trustline; add it", Retry.NEVER),
    TokenErrorCode.INSUFFICIENT_ACCOUNT_RESERVE: ("the account's XLM reserve is too low", Retry.NEVER),
    TokenErrorCode.TOO_MANY_ACCOUNT_SUBENTRIES: ("the account holds too many entries", Retry.NEVER),
}


class ContractError(ChainError):
    """A contract refused a call.

    Attributes:
        code: The contract's error number.
        name: The number's name in the contract, such as `PAIL_EXISTS`.
    """

    code: int
    name: str


class FarmError(ContractError):
    """The farm contract refused a call."""

    contract: ClassVar[str] = "farm"

    def __init__(self, code: FarmErrorCode) -> None:
        text, self.retry = _FARM_TEXT[code]
        super().__init__(f"farm error {code.value} {code.name}: {text}")
        self.code = code
        self.name = code.name


class TokenError(ContractError):
    """The token contract refused a call."""

    contract: ClassVar[str] = "token"

    def __init__(self, code: TokenErrorCode) -> None:
        text, self.retry = _TOKEN_TEXT[code]
        super().__init__(f"token error {code.value} {code.name}: {text}")
        self.code = code
        self.name = code.name


class HashMismatchError(ChainError):
    """A claimed work hash is not the hash of its block, nonce, entropy and farmer."""

    def __init__(self, claimed: bytes, actual: bytes) -> None:
        super().__init__(
            f"work_hash {claimed.hex()} does not belong to this block, nonce and farmer (their hash is {actual.hex()})"
        )
        self.claimed = claimed
        self.actual = actual


class InvalidAddressError(ChainError):
    """A text that is not an address of the wanted kind."""

    def __init__(self, address: str, wanted: str = "an account (G…) or contract (C…) address") -> None:
        super().__init__(f"{_shown(address)} is not {wanted}: check for a missing or changed character")


class InvalidSecretError(ChainError):
    """A text that is not a secret key; it is never repeated."""

    def __init__(self) -> None:
        super().__init__("not a secret key: it must be 56 characters beginning with S (the value is not shown)")


class MalformedXdrError(ChainError):
    """Bytes that are not what the ledger would write."""

    def __init__(self, what: str) -> None:
        super().__init__(f"cannot read {what} from the ledger: not the expected XDR")
        self.what = what
