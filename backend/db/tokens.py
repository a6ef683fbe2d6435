"""Access tokens."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from backend.db.database import Database
from backend.domain.access import AccessToken, NewToken, Scope
from backend.errors import UnknownFarmerError, UnknownTokenError

_COLUMNS = (
    "id, label, farmer_id, scopes, created_at, expires_at, revoked_at, (revoked_at IS NULL AND expires_at > now())"
)
_CREATE = text(f"""
INSERT INTO access_tokens (digest, label, farmer_id, scopes, expires_at)
VALUES (:digest, :label, :farmer_id, :scopes, now() + make_interval(days => :days))
RETURNING {_COLUMNS} AS valid
""")  # noqa: S608 - the query is put together from constants
_FARMER = text("SELECT id FROM farmers WHERE id = :farmer_id")
_FIND = text(f"SELECT {_COLUMNS} AS valid FROM access_tokens WHERE digest = :digest")  # noqa: S608 - likewise
_ALL = text(f"""
SELECT {_COLUMNS} AS valid FROM access_tokens
WHERE CAST(:farmer_id AS uuid) IS NULL OR farmer_id = :farmer_id
ORDER BY created_at, id
""")  # noqa: S608 - likewise
_REVOKE = text("UPDATE access_tokens SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")
_GET = text(f"SELECT {_COLUMNS} AS valid FROM access_tokens WHERE id = :id")  # noqa: S608 - likewise


class SqlTokenStore:
    """See backend.ports.access.TokenStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, token: NewToken) -> AccessToken:
        """Stores a token. Raises UnknownFarmerError."""
        values = {
            "digest": token.digest,
            "label": token.label,
            "farmer_id": token.farmer_id,
            "scopes": sorted(token.scopes),
            "days": token.days,
        }
        async with self._database.attributed() as connection:
            if token.farmer_id is not None and await connection.scalar(_FARMER, values) is None:
                raise UnknownFarmerError(token.farmer_id)
            return _token((await connection.execute(_CREATE, values)).one())

    async def find(self, digest: bytes) -> AccessToken | None:
        """The token with this digest, valid or not."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_FIND, {"digest": digest})).one_or_none()
        return None if row is None else _token(row)

    async def all(self, farmer_id: UUID | None = None) -> Sequence[AccessToken]:
        """Every token, or one farmer's, oldest first."""
        async with self._database.transaction() as connection:
            return [_token(row) for row in await connection.execute(_ALL, {"farmer_id": farmer_id})]

    async def revoke(self, token_id: UUID) -> AccessToken:
        """Ends a token; a repeat changes nothing. Raises UnknownTokenError."""
        async with self._database.attributed() as connection:
            await connection.execute(_REVOKE, {"id": token_id})
            row = (await connection.execute(_GET, {"id": token_id})).one_or_none()
        if row is None:
            raise UnknownTokenError(token_id)
        return _token(row)


def _token(row: Row[Any]) -> AccessToken:
    return AccessToken(
        token_id=row.id,
        label=row.label,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        farmer_id=row.farmer_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        valid=row.valid,
    )
