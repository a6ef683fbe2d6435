"""Who may call what: tokens, what they are good for, and the decision.

A token is 256 random bits. Only its SHA-256 is kept: it has too much entropy to be guessed from that.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from backend.errors import InvalidRequestError, PermissionDeniedError, UnauthenticatedError

TOKEN_PREFIX = "kale_"  # noqa: S105  (what every token begins with, so that leaks of them can be searched for)
_TOKEN_BYTES = 32
_TOKEN = re.compile(r"kale_[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """What a token may do; the values are those of access_tokens.scopes."""

    POOL = "pool"
    """Plant, report work and blocks."""
    READ = "read"
    """See a farmer, its statement and its withdrawals."""
    SETTINGS = "settings"
    """Change a farmer's settings."""
    MONEY = "money"
    """Move a farmer's funds, and leave."""
    OPERATE = "operate"
    """Create and list farmers."""
    STATUS = "status"
    """See the service's status and its protocol (reflection)."""


class Role(StrEnum):
    """For whom a token is; sets which scopes it may have."""

    FARMER = "farmer"
    POOLER = "pooler"
    OPERATOR = "operator"


SCOPES_OF: Mapping[Role, frozenset[Scope]] = {
    Role.FARMER: frozenset({Scope.READ, Scope.SETTINGS, Scope.MONEY, Scope.STATUS}),
    Role.POOLER: frozenset({Scope.POOL, Scope.STATUS}),
    Role.OPERATOR: frozenset(Scope),
}
"""The scopes that tokens of a role may have, and have unless fewer are asked for."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller who is known."""

    name: str
    """Names it in logs: a token's id, or a pooler."""
    scopes: frozenset[Scope]
    farmer_id: UUID | None = None
    """The only farmer it reaches; None: all of them."""
    pooler_id: str | None = None
    """The pooler it is, if it proved to be one."""


ANYBODY = Principal("anybody", frozenset(Scope))
"""Every caller where authentication is off."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be stored."""

    digest: bytes
    label: str
    scopes: frozenset[Scope]
    days: int
    farmer_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token as stored; its text is known to its holder alone."""

    token_id: UUID
    label: str
    scopes: frozenset[Scope]
    farmer_id: UUID | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    valid: bool
    """Neither revoked nor expired, by the database's clock."""

    @property
    def principal(self) -> Principal:
        """Who holds it."""
        return Principal(str(self.token_id), self.scopes, self.farmer_id)


WHOEVER = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method or route.

    Attributes:
        scope: The scope it takes; None: it is open to everybody.
        farmer: Where a gRPC request names the farmer concerned, such as `farmer_id` or `farmer.farmer_id`; an HTTP
            route names it in its path. WHOEVER: it concerns no farmer, and farmers may call it. Where it is empty no
            farmer's token may call the method, whatever its scopes.
    """

    scope: Scope | None
    farmer: str = ""


PUBLIC = Rule(None)


def new_token() -> str:
    """A new token, in clear: to be shown once, then forgotten."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def digest_of(token: str) -> bytes | None:
    """SHA-256 of a token; None if the text cannot be one."""
    return hashlib.sha256(token.encode()).digest() if _TOKEN.fullmatch(token) else None


def allowed_scopes(role: Role, farmer_id: UUID | None, wanted: frozenset[Scope]) -> frozenset[Scope]:
    """The scopes of a new token: those wanted, or all its role may have.

    Raises:
        InvalidRequestError: the role may not have one of them, or a farmer is missing or too much.
    """
    if (role is Role.FARMER) != (farmer_id is not None):
        raise InvalidRequestError("farmer", "a farmer's token, and no other, names its farmer")
    excess = wanted - SCOPES_OF[role]
    if excess:
        allowed = ", ".join(sorted(SCOPES_OF[role]))
        raise InvalidRequestError("scope", f"{', '.join(sorted(excess))} is not for a {role}; it may have {allowed}")
    return wanted or SCOPES_OF[role]


def check(rule: Rule | None, principal: Principal | None, farmer_id: str | None) -> None:
    """Lets a call pass, or refuses it. Without a rule everybody is refused.

    Args:
        rule: The rule of the method or route.
        principal: The caller; None if it is not known.
        farmer_id: The farmer that the request names, as it came; None if it names none.

    Raises:
        UnauthenticatedError: the caller must say who it is.
        PermissionDeniedError: it may not do this, or not for this farmer.
    """
    if rule == PUBLIC:
        return
    if principal is None:
        raise UnauthenticatedError("this call needs a token; send it as `authorization: Bearer kale_…`")
    if rule is None or rule.scope is None:
        raise PermissionDeniedError("no token is good for this call")
    if rule.scope not in principal.scopes:
        raise PermissionDeniedError(f"the token lacks the scope {rule.scope!s}, which this call takes")
    if principal.farmer_id is None or rule.farmer == WHOEVER:
        return
    if not rule.farmer:
        raise PermissionDeniedError("this call concerns the pool, and the token is one farmer's")
    if farmer_id != str(principal.farmer_id):
        raise PermissionDeniedError("the token is another farmer's")


_ACTOR: ContextVar[str] = ContextVar("actor", default="")


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Says who has done what happens inside, for the audit trail."""
    before = _ACTOR.set(name)
    try:
        yield
    finally:
        _ACTOR.reset(before)


def actor() -> str:
    """Who has done what happens now: a caller or a command; empty: nobody, the backend itself acts."""
    return _ACTOR.get()
