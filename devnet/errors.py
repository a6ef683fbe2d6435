"""What can go wrong on the local ledger's side.

DevnetError
└── PostgresError    the embedded PostgreSQL cannot be prepared, started or stopped
"""


class DevnetError(Exception):
    """Base of every error of this package; its text says what to do."""


class PostgresError(DevnetError):
    """The embedded PostgreSQL cannot be prepared, started or stopped."""
