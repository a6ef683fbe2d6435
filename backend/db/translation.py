"""The one place where errors of the database driver become the backend's own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import sqlalchemy.exc

from backend.errors import (
    BackendError,
    DatabaseUnavailableError,
    LeaseLostError,
    MigrationError,
    QuarantinedError,
    StoreConflictError,
    WithdrawalsPausedError,
)

_RULES: Mapping[str, Callable[[str], BackendError]] = {
    "attempts_fence": lambda what: LeaseLostError(
        f"the database refused to store an attempt: {what}; this backend ends"
    ),
    "attempts_quarantine": lambda what: QuarantinedError(f"quarantine: {what}"),
    "attempts_withdrawals_paused": WithdrawalsPausedError,
}
"""Rules of the database whose refusals mean more than a conflict, by their names."""


@contextmanager
def translated_errors(database_url: str) -> Iterator[None]:
    """Turns what the driver raises inside the block into BackendErrors.

    Raises:
        DatabaseUnavailableError: no connection, no answer in time, or the server is shutting down, full or deadlocked.
        LeaseLostError: a newer backend has the lease, so attempts of this one are refused.
        WithdrawalsPausedError: payments are refused until withdrawals are resumed.
        QuarantinedError: attempts are refused until the database is trusted again.
        StoreConflictError: a rule of the database refused a row.
        MigrationError: a table or column is missing.
        BackendError: anything else the database refused.
    """
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise DatabaseUnavailableError(
            f"every connection to the database at {location(database_url)} is in use; raise DB_MAX_CONNECTIONS"
        ) from error
    except sqlalchemy.exc.DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error):
            raise
        raise _translated(error.orig, database_url) from error
    except psycopg.Error as error:
        raise _translated(error, database_url) from error


def location(database_url: str) -> str:
    """Host, port and database of a URL, without user and password."""
    parts = urlsplit(database_url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{host or 'the local socket'}:{parts.port or 5432}{parts.path}"


def _translated(error: psycopg.Error, database_url: str) -> BackendError:
    # The primary message alone: the detail repeats the row, envelopes and sealed seeds included.
    what = error.diag.message_primary or (str(error).splitlines() or [type(error).__name__])[0]
    by_rule = _RULES.get(error.diag.constraint_name or "")
    if by_rule is not None:
        return by_rule(what)
    if isinstance(error, psycopg.IntegrityError):
        return StoreConflictError(f"the database refused a row by its rule {error.diag.constraint_name}: {what}")
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return MigrationError(f"the database's schema is not up to date ({what}); run `kale-backend migrate`")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseUnavailableError(f"the database at {location(database_url)} does not serve: {what}")
    return BackendError(f"the database refused a statement: {what}")
