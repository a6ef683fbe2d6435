"""Errors say what was wrong and what to do."""

import pytest

from kale_chain.errors import (
    FarmError,
    FarmErrorCode,
    InvalidContractIdError,
    LedgerRangeError,
    Retry,
    RpcError,
    RpcRateLimitedError,
    RpcTimeoutError,
    TokenError,
    TokenErrorCode,
)


@pytest.mark.parametrize("code", FarmErrorCode)
def test_every_farm_error_has_its_text_number_and_retry(code: FarmErrorCode) -> None:
    error = FarmError(code)
    assert str(error).startswith(f"farm error {code.value} {code.name}: ")
    assert isinstance(error.retry, Retry)


@pytest.mark.parametrize("code", TokenErrorCode)
def test_every_token_error_has_its_text_number_and_retry(code: TokenErrorCode) -> None:
    error = TokenError(code)
    assert str(error).startswith(f"token error {code.value} {code.name}: ")
    assert isinstance(error.retry, Retry)


def test_what_another_try_can_change_is_told_by_the_retry_class() -> None:
    assert FarmError(FarmErrorCode.GAP_COUNT_TOO_LOW).retry == Retry.NEXT_LEDGER
    assert FarmError(FarmErrorCode.FARM_PAUSED).retry == Retry.NEXT_BLOCK
    assert FarmError(FarmErrorCode.HARVEST_NOT_READY).retry == Retry.NEXT_BLOCK
    assert FarmError(FarmErrorCode.HASH_INVALID).retry == Retry.NEVER
    assert RpcTimeoutError("http://rpc:1", "getHealth", "late").retry == Retry.NEXT_LEDGER


def test_a_ledger_not_seen_yet_can_be_asked_again_and_one_forgotten_cannot() -> None:
    ahead = LedgerRangeError("http://rpc:1", asked=30, oldest=10, latest=20)
    gone = LedgerRangeError("http://rpc:1", asked=5, oldest=10, latest=20)
    assert ahead.retry == Retry.NEXT_LEDGER
    assert "not seen that ledger yet" in str(ahead)
    assert gone.retry == Retry.NEVER
    assert "retention window" in str(gone)


def test_rate_limit_tells_how_long_to_wait() -> None:
    error: RpcError = RpcRateLimitedError("http://rpc:1", "getHealth", 7.0)
    assert "wait 7 s" in str(error)


def test_a_secret_key_in_place_of_the_farm_id_is_not_repeated() -> None:
    secret = "S" + "A" * 55
    assert secret not in str(InvalidContractIdError(secret))
    assert "'CNOTANID'" in str(InvalidContractIdError("CNOTANID"))
