"""The door: every call from outside passes it. Who is it, is it too fast, may it do this."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from backend.domain.access import ANYBODY, Principal, Rule, check, digest_of
from backend.domain.rate import Rate, RateLimits
from backend.errors import RateLimitedError, UnauthenticatedError, UnavailableError
from backend.ports.access import TokenStore

_log = structlog.get_logger()

_SCHEME = "bearer "
_FRESH_SECONDS = 1.0
"""How long a token that was found valid is not looked up again: within this a revocation takes effect."""
_GRACE_SECONDS = 300.0
"""How long it is good for while the database is away: the status must be seen just then."""
_MAX_FRESH = 10_000

Peer = Callable[[Mapping[str, Any]], Principal | None]
"""Knows a caller by the connection it came over, such as by its certificate."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What is known of a caller at first."""

    address: str
    """The host it calls from."""
    authorization: str = field(default="", repr=False)
    """What it sent as `authorization`."""
    connection: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the connection says of it (gRPC's auth context)."""


class Door:
    """Admits calls.

    Args:
        tokens: Where tokens are kept.
        required: Whether callers must say who they are; else everybody may do everything.
        rate: How much each client may do.
        clock: Seconds of a clock that never goes back; no decision about the chain hangs on it.

    Attributes:
        peers: Know callers by their connections; asked in order before any token.
    """

    def __init__(
        self, tokens: TokenStore, *, required: bool, rate: Rate, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tokens = tokens
        self._required = required
        self._limits = RateLimits(rate)
        self._clock = clock
        self._fresh: dict[bytes, tuple[float, Principal]] = {}
        self.peers: list[Peer] = []

    async def admit(self, rule: Rule | None, caller: Caller, farmer_id: str | None) -> Principal | None:
        """Lets a call pass; the caller, None if it is unknown and need not be known.

        Raises:
            RateLimitedError: it called too often, or too often without being let in.
            UnauthenticatedError, PermissionDeniedError: see domain.access.check.
        """
        stranger = f"address {caller.address}"
        self._refuse_if_fast(stranger)
        try:
            principal = await self.identify(caller)
        except UnauthenticatedError:
            self._limits.take(stranger, self._clock())
            raise
        client = stranger if principal in (None, ANYBODY) else f"caller {principal.name}"
        self._refuse_if_fast(client)
        self._limits.take(client, self._clock())
        check(rule, principal, farmer_id)
        return principal

    async def identify(self, caller: Caller) -> Principal | None:
        """Who a caller is; None if it does not say.

        Raises:
            UnauthenticatedError: it sent something that is no valid token.
        """
        if not self._required:
            return ANYBODY
        for peer in self.peers:
            known = peer(caller.connection)
            if known is not None:
                return known
        if not caller.authorization:
            return None
        scheme, text = caller.authorization[: len(_SCHEME)], caller.authorization[len(_SCHEME) :]
        digest = digest_of(text.strip())
        if scheme.lower() != _SCHEME or digest is None:
            raise UnauthenticatedError("the token is malformed; send `authorization: Bearer kale_…`")
        return await self._holder(digest)

    async def recheck(self, caller: Caller) -> None:
        """Ends a stream whose caller is no longer let in.

        Raises:
            UnauthenticatedError: its token was revoked, or has expired.
        """
        with contextlib.suppress(UnavailableError):  # a database that is away revokes nothing
            await self.identify(caller)

    def _refuse_if_fast(self, client: str) -> None:
        seconds = self._limits.wait(client, self._clock())
        if seconds > 0:
            raise RateLimitedError(seconds)

    async def _holder(self, digest: bytes) -> Principal:
        until, known = self._fresh.get(digest, (0.0, None))
        if known is not None and self._clock() < until:
            return known
        try:
            token = await self._tokens.find(digest)
        except UnavailableError:
            if known is not None and self._clock() < until + _GRACE_SECONDS:
                return known
            raise
        if token is None or not token.valid:
            self._fresh.pop(digest, None)
            raise UnauthenticatedError("the token is unknown, expired or revoked; ask the operator for a new one")
        if len(self._fresh) >= _MAX_FRESH:
            self._fresh.clear()
        self._fresh[digest] = (self._clock() + _FRESH_SECONDS, token.principal)
        return token.principal
