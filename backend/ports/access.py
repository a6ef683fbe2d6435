"""Where access tokens are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from backend.domain.access import AccessToken, NewToken


class TokenStore(Protocol):
    """Tokens, by the digests of their texts."""

    async def create(self, token: NewToken) -> AccessToken:
        """Stores a token. Raises UnknownFarmerError if it names a farmer that does not exist."""

    async def find(self, digest: bytes) -> AccessToken | None:
        """The token with this digest, valid or not; None if there is none."""

    async def all(self, farmer_id: UUID | None = None) -> Sequence[AccessToken]:
        """Every token, or one farmer's, oldest first."""

    async def revoke(self, token_id: UUID) -> AccessToken:
        """Ends a token; a repeat changes nothing. Raises UnknownTokenError."""
