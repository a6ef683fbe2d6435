"""How commands fail: one line on standard error, and an exit code that says whose turn it is."""

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import typer

from backend.errors import (
    BackendError,
    DatabaseRoleError,
    HeadFileError,
    KeyBackupError,
    KeyDeviceError,
    KeyFileError,
    KeyMissingError,
    LeaseError,
    MigrationError,
    SignerRulesError,
    UnavailableError,
)
from kale_chain.errors import IdentityError, RpcError
from kale_common import logs
from kale_common.errors import EXIT_CONFIG, ConfigError

EXIT_FAULT = 1
EXIT_UNREACHABLE = 3
EXIT_LEASE = 4

_WRONG_SETTINGS = (
    ConfigError,
    DatabaseRoleError,
    HeadFileError,
    IdentityError,
    KeyBackupError,
    KeyDeviceError,
    KeyFileError,
    KeyMissingError,
    MigrationError,
    SignerRulesError,
)


@contextlib.contextmanager
def expected_errors() -> Iterator[None]:
    """Turns expected errors into one line on standard error and an exit code."""
    try:
        yield
    except _WRONG_SETTINGS as error:
        _fail(error, EXIT_CONFIG)
    except RpcError as error:
        _fail(f"STELLAR_RPC_URL: {error}", EXIT_UNREACHABLE)
    except UnavailableError as error:
        _fail(error, EXIT_UNREACHABLE)
    except LeaseError as error:
        _fail(error, EXIT_LEASE)
    except BackendError as error:
        _fail(error, EXIT_FAULT)


def _fail(error: object, code: int) -> NoReturn:
    typer.echo(f"kale-backend: {logs.redacted(str(error))}", err=True)
    raise typer.Exit(code)
