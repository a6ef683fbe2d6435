"""Who may call what: tokens, rules and rate limits, without any service."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.access import (
    PUBLIC,
    WHOEVER,
    Principal,
    Role,
    Rule,
    Scope,
    allowed_scopes,
    check,
    digest_of,
    new_token,
)
from backend.domain.rate import Rate, RateLimits
from backend.errors import InvalidRequestError, PermissionDeniedError, UnauthenticatedError

FARMER = UUID("0b8a3f0e-6a6b-4a7c-9d55-0f3d1c2b4a59")
ANOTHER = UUID("5f1e2d3c-4b5a-4678-8765-a1b2c3d4e5f6")
OWN = Rule(Scope.READ, "farmer_id")


def farmers(*scopes: Scope, farmer_id: UUID = FARMER) -> Principal:
    return Principal("a token", frozenset(scopes), farmer_id)


def operators(*scopes: Scope) -> Principal:
    return Principal("a token", frozenset(scopes))


def test_tokens_differ_and_only_their_form_has_a_digest() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert len({digest_of(token) for token in tokens}) == 100
    for text in ("", "kale_", next(iter(tokens))[:-1], next(iter(tokens)) + "A", "x" * 48):
        assert digest_of(text) is None


@pytest.mark.parametrize(
    ("rule", "principal", "farmer_id"),
    [
        (PUBLIC, None, None),
        (OWN, farmers(Scope.READ), str(FARMER)),
        (OWN, operators(Scope.READ), str(ANOTHER)),
        (Rule(Scope.OPERATE), operators(Scope.OPERATE), None),
        (Rule(Scope.STATUS, WHOEVER), farmers(Scope.STATUS), None),
    ],
)
def test_call_passes(rule: Rule, principal: Principal | None, farmer_id: str | None) -> None:
    check(rule, principal, farmer_id)


@pytest.mark.parametrize(
    ("rule", "principal", "farmer_id", "message"),
    [
        (None, operators(*Scope), None, "no token is good"),
        (Rule(Scope.OPERATE), operators(Scope.READ), None, "lacks the scope operate"),
        (OWN, farmers(Scope.MONEY), str(FARMER), "lacks the scope read"),
        (OWN, farmers(Scope.READ), str(ANOTHER), "another farmer's"),
        (OWN, farmers(Scope.READ), str(FARMER).upper(), "another farmer's"),
        (OWN, farmers(Scope.READ), None, "another farmer's"),
        (Rule(Scope.READ), farmers(Scope.READ), str(FARMER), "concerns the pool"),
    ],
)
def test_call_is_refused(rule: Rule | None, principal: Principal, farmer_id: str | None, message: str) -> None:
    with pytest.raises(PermissionDeniedError, match=message):
        check(rule, principal, farmer_id)


@pytest.mark.parametrize("rule", [None, OWN, Rule(Scope.STATUS, WHOEVER)])
def test_unknown_caller_must_say_who_it_is(rule: Rule | None) -> None:
    with pytest.raises(UnauthenticatedError, match="needs a token"):
        check(rule, None, str(FARMER))


def test_role_limits_the_scopes() -> None:
    assert allowed_scopes(Role.FARMER, FARMER, frozenset({Scope.READ})) == {Scope.READ}
    assert allowed_scopes(Role.POOLER, None, frozenset()) == {Scope.POOL, Scope.STATUS}
    with pytest.raises(InvalidRequestError, match="operate is not for a farmer"):
        allowed_scopes(Role.FARMER, FARMER, frozenset({Scope.OPERATE}))
    with pytest.raises(InvalidRequestError, match="names its farmer"):
        allowed_scopes(Role.FARMER, None, frozenset())
    with pytest.raises(InvalidRequestError, match="names its farmer"):
        allowed_scopes(Role.OPERATOR, FARMER, frozenset())


def test_burst_passes_then_calls_wait_their_turn() -> None:
    limits = RateLimits(Rate(per_second=2, burst=3))
    for _ in range(3):
        assert limits.wait("a", 10.0) == 0
        limits.take("a", 10.0)
    assert limits.wait("a", 10.0) == pytest.approx(0.5, abs=0.01)
    assert limits.wait("b", 10.0) == 0
    assert limits.wait("a", 10.5) == 0


@given(
    per_second=st.integers(1, 50),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 2, allow_nan=False), max_size=60),
)
def test_no_window_holds_more_than_rate_and_burst(per_second: int, burst: int, pauses: list[float]) -> None:
    limits, now, taken = RateLimits(Rate(per_second, burst)), 0.0, []
    for pause in pauses:
        now += pause
        if limits.wait("a", now) == 0:
            limits.take("a", now)
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + per_second * (taken[last] - start) + 0.01


def test_clients_longest_unheard_of_are_forgotten() -> None:
    limits = RateLimits(Rate(per_second=1, burst=1), max_clients=2)
    for client in ("a", "b", "c"):
        limits.take(client, 0.0)
    assert limits.wait("a", 0.0) == 0
    assert limits.wait("c", 0.0) > 0
