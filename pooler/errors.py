"""What can go wrong in the pooler, beside what `kale_chain.errors` and `kale_common.errors` name.

PoolerError
├── BackendError                 the backend did not do as asked
│   ├── BackendUnavailableError  no connection, no answer in time, a stream cut: ask again, soon
│   │   └── BackendSilentError   a stream without a message for the allowed time: open it anew
│   └── BackendRefusedError      the backend understood and refused
├── IdentityFilesError           this pooler's certificate is missing, unreadable or not for this pooler
├── SearchError                  the hash engine cannot do what is configured
├── StateError                   the state directory cannot be used
└── FundsError                   the fee account is missing or cannot pay for the channel accounts

Each has a retry class and, where it can end the process, an exit code.
"""

from kale_chain.errors import Retry

EXIT_UNREACHABLE = 3


class PoolerError(Exception):
    """Base of everything the pooler raises itself."""

    retry: Retry = Retry.NEVER
    exit_code: int = 1


class BackendError(PoolerError):
    """The backend did not do as asked.

    Attributes:
        error_reason: The protocol's machine-readable reason, such as "RATE_LIMITED"; empty if it gave none.
        retry_after_seconds: How long the backend asks to wait; 0 if it does not say.
    """

    error_reason: str = ""
    retry_after_seconds: float = 0.0


class BackendUnavailableError(BackendError):
    """The backend cannot be reached, did not answer in time, or cut a stream. Says nothing about the request."""

    retry = Retry.NEXT_LEDGER

    def __init__(self, message: str, *, error_reason: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.error_reason = error_reason
        self.retry_after_seconds = retry_after_seconds


class BackendSilentError(BackendUnavailableError):
    """A stream brought nothing for the allowed time; it is to be opened anew."""


class BackendRefusedError(BackendError):
    """The backend understood the request and refused it.

    Attributes:
        code: The gRPC status's name, such as "FAILED_PRECONDITION".
        reason: The backend's own words.
    """

    def __init__(self, code: str, reason: str, retry: Retry, *, error_reason: str = "") -> None:
        super().__init__(f"the backend refused ({code}): {reason}")
        self.code = code
        self.reason = reason
        self.error_reason = error_reason
        self.retry = retry


class IdentityFilesError(PoolerError):
    """This pooler's certificate is missing, unreadable, expired or not its own."""

    exit_code = 2


class SearchError(PoolerError):
    """The hash engine cannot do what is configured."""

    exit_code = 2


class StateError(PoolerError):
    """The state directory belongs to another pool, is in use, or cannot be written."""

    exit_code = 2


class FundsError(PoolerError):
    """The fee account is missing on the ledger or cannot pay for the channel accounts."""

    exit_code = EXIT_UNREACHABLE
