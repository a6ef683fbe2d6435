"""Secrets in every form that they turn up in, and texts that only look like them."""

import base64
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Keypair

from backend.config import Settings
from backend.domain.access import new_token
from kale_common.redaction import REDACTED, Redactor

PAIR = Keypair.from_raw_ed25519_seed(bytes(range(32)))
SEED, RAW = PAIR.secret, PAIR.raw_secret_key()
WORDS = "p@ss w/ö&rd"

SEED_FORMS = {
    "strkey": SEED,
    "hex": RAW.hex(),
    "upper hex": RAW.hex().upper(),
    "spaced hex": RAW.hex(" "),
    "base64": base64.b64encode(RAW).decode(),
    "base64 without padding": base64.b64encode(RAW).decode().rstrip("="),
    "url-safe base64": base64.urlsafe_b64encode(RAW).decode(),
    "python bytes": repr(RAW),
    "list of bytes": str(list(RAW)),
    "hex of the strkey": SEED.encode().hex(),
    "base64 of the strkey": base64.b64encode(SEED.encode()).decode(),
}
PASSWORD_FORMS = {
    "itself": WORDS,
    "in a URL": urllib.parse.quote(WORDS, safe=""),
    "in a form": urllib.parse.quote_plus(WORDS),
    "in JSON": json.dumps({"a": WORDS}),
    "in Python": repr({"a": WORDS}),
    "hex": WORDS.encode().hex(),
}


@pytest.mark.parametrize("form", SEED_FORMS.values(), ids=SEED_FORMS)
def test_known_seed_is_hidden_in_every_form(form: str) -> None:
    cleaned = Redactor([SEED]).text(f"before {form} after")
    assert REDACTED in cleaned
    assert form.strip("b'\"[]") not in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


@pytest.mark.parametrize("form", PASSWORD_FORMS.values(), ids=PASSWORD_FORMS)
def test_known_password_is_hidden_in_every_form(form: str) -> None:
    cleaned = Redactor([WORDS]).text(f"before {form} after")
    assert REDACTED in cleaned
    for secret in (WORDS, urllib.parse.quote(WORDS, safe=""), WORDS.encode().hex(), json.dumps(WORDS)[1:-1]):
        assert secret not in cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (f"found {SEED}.", "found [redacted]."),
        pytest.param(f"token {new_token()} refused", "token [redacted] refused", id="token"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer [redacted]"),
        ("authorization: basic dXNlcjpwdw==", "authorization: basic [redacted]"),
        ("postgresql://user:pw@h:5432/d", "postgresql://[redacted]@h:5432/d"),
        ("https://key@rpc.example/v1", "https://[redacted]@rpc.example/v1"),
        ("host=h password=pw user=u", "host=h password=[redacted] user=u"),
        ("host=h password = 'p w' user=u", "host=h password = [redacted] user=u"),
        ("PGPASSWORD=pw PATH=x", "PGPASSWORD=[redacted] PATH=x"),
        (PAIR.public_key, PAIR.public_key),
        ("ab" * 32, "ab" * 32),
        ("planted block 7", "planted block 7"),
    ],
)
def test_unknown_secret_is_told_by_its_looks(text: str, cleaned: str) -> None:
    assert Redactor().text(text) == cleaned


def test_values_are_hidden_by_their_names_wherever_they_stand() -> None:
    redactor = Redactor()
    for name in (
        "master_secret",
        "sealed_seed",
        "PGPASSWORD",
        "api_key",
        "Authorization",
        "Cookie",
        "token",
        "x_token",
    ):
        assert redactor.value(name, "anything") == REDACTED
        assert redactor.value("event", {"deep": [{name: "anything"}]}) == {"deep": [{name: REDACTED}]}
    assert redactor.value("token_id", "7") == "7"


@given(
    secret=st.text(min_size=4, max_size=60).filter(lambda text: "\n" not in text),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_known_secret_never_stays(secret: str, before: str, after: str) -> None:
    cleaned = Redactor([secret]).text(before + secret + after)
    assert secret not in cleaned.replace(REDACTED, "\n")


def test_settings_show_no_secret() -> None:
    settings = Settings(
        _env_file=None,
        database_url="postgresql://kale:tops3cret@127.0.0.1/pool",
        stellar_network="testnet",
        master_wallet_address=PAIR.public_key,
        master_wallet_secret=SEED,
        key_file="seal.key",
    )
    shown = repr(settings) + str(settings) + str(settings.model_dump()) + repr(settings.master())
    for form in (*SEED_FORMS.values(), "tops3cret"):
        assert form not in shown
    assert Redactor(settings.secrets()).text(f"tops3cret {RAW.hex()}") == f"{REDACTED} {REDACTED}"
