"""The application's role: what the backend connects as, apart from the owner of the tables."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db.translation import location
from backend.errors import DatabaseRoleError, MigrationError

_log = structlog.get_logger()

APPLICATION = "kale_application"
"""The role that holds the rights of sql/grants.sql; the roles the backend connects as are its members."""
_OWNS = text("""
SELECT r.rolsuper OR EXISTS (
    SELECT FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND pg_has_role(r.oid, c.relowner, 'MEMBER')
)
FROM pg_roles AS r WHERE r.rolname = current_user
""")


async def check_role(connection: AsyncConnection, url: str, *, owner_allowed: bool) -> None:
    """Refuses, or if allowed reports, a role that could change the tables and their rules.

    Raises:
        DatabaseRoleError: the role owns tables or is a superuser.
    """
    if not await connection.scalar(_OWNS):
        return
    problem = (
        f"the role {urlsplit(url).username!r} owns the tables of the database at {location(url)}, so the database "
        "cannot protect its rows from this program: set DATABASE_OWNER_URL to this URL and DATABASE_URL to one with "
        "another user and password, and run `kale-backend migrate`, which makes that role"
    )
    if not owner_allowed:
        raise DatabaseRoleError(f"{problem}; or set ALLOW_OWNER_ROLE=true")
    _log.warning(problem)


def grant(connection: psycopg.Connection, application_url: str, directory: Path) -> None:
    """Makes the role of a URL unless it exists, and gives it what sql/grants.sql names.

    An existing role keeps its password.

    Raises:
        MigrationError: the owner may not make roles, the URL names the owner itself, or the grants fail.
    """
    parts = urlsplit(application_url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user in {"", connection.info.user}:
        raise MigrationError("DATABASE_URL must name another user than DATABASE_OWNER_URL")
    try:
        _make(connection, APPLICATION, sql.SQL("NOLOGIN"))
        _make(connection, user, _login(connection, user, password))
        _join(connection, user)
        with connection.transaction():
            connection.execute((directory / "grants.sql").read_bytes())
    except psycopg.errors.InsufficientPrivilege as error:
        what = error.diag.message_primary
        raise MigrationError(
            f"{connection.info.user!r} cannot set up the application's role ({what}); have an administrator run "
            f"`CREATE ROLE {APPLICATION} NOLOGIN; CREATE ROLE \"{user}\" LOGIN PASSWORD '…' IN ROLE {APPLICATION}`"
        ) from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise MigrationError(f"grants.sql failed and left nothing behind: {error}") from error


def _make(connection: psycopg.Connection, name: str, options: sql.Composable) -> None:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount:
        return
    try:
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), options))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        # Roles belong to the server, not to one database: a migration of another one was first.
        return


def _join(connection: psycopg.Connection, user: str) -> None:
    if not connection.execute("SELECT WHERE pg_has_role(%s, %s, 'MEMBER')", [user, APPLICATION]).rowcount:
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(APPLICATION), sql.Identifier(user)))


def _login(connection: psycopg.Connection, user: str, password: str) -> sql.Composable:
    # Hashed here, so that no log of the server shows the password.
    hashed = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    return sql.SQL("LOGIN PASSWORD {}").format(sql.Literal(hashed))
