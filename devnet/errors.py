"""What can go wrong on the local ledger's side.

DevnetError
├── JsonRpcError     a JSON-RPC request that cannot be served, with the code Stellar RPC gives it
├── PostgresError    the embedded PostgreSQL cannot be prepared, started or stopped
├── ScenarioError    the accounts and contracts a ledger starts with cannot be made
└── StateError       the state file cannot be read or written
"""


class DevnetError(Exception):
    """Base of every error of this package; its text says what to do."""


class JsonRpcError(DevnetError):
    """A JSON-RPC request that cannot be served.

    Attributes:
        code: The number that goes into the answer (JSON-RPC 2.0, section 5.1).
    """

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class PostgresError(DevnetError):
    """The embedded PostgreSQL cannot be prepared, started or stopped."""


class ScenarioError(DevnetError):
    """The accounts and contracts a ledger starts with cannot be made."""


class StateError(DevnetError):
    """The state file cannot be read or written."""
