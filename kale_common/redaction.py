"""Takes secrets out of texts, in every form in which they are likely to turn up.

Secrets are kept out of texts by never putting them there; this is the net below that, for texts that come from
elsewhere: a library's exception, a URL with a password in it, a dump of an environment.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"

_BARE = re.compile(
    # A Stellar seed; an access token of the pool; what an Authorization header carries.
    r"(?<![A-Z0-9])S[A-Z2-7]{55}(?![A-Z0-9])|kale_[A-Za-z0-9_-]{43}|(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]+"
)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_PASSWORD = re.compile(r"""(?i)(passw(?:or)?d|pwd)(\s*=\s*)('[^']*'|"[^"]*"|[^\s'",;&)}\]]+)""")
_SECRET_NAME = re.compile(
    r"secret|seed|passw|token_value|api_key|private_key|authorization|cookie|^token$|_token$", re.IGNORECASE
)
_SEED_LENGTH = 56
_SEED_BYTES = slice(1, 33)
"""Where the key stands in a decoded seed: after the version, before the checksum."""
_SHORTEST = 4
"""Shorter texts are no secrets worth the name, and hiding them would make texts unreadable."""


class Redactor:
    """Hides secrets in texts and in structured values.

    Args:
        secrets: Texts to hide in all their forms, beside everything that looks like a secret by itself: Stellar seeds,
            access tokens, credentials in URLs and headers, `password=…`.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {form for secret in secrets if len(secret) >= _SHORTEST for form in forms(secret)}
        longest_first = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if known else None

    def __repr__(self) -> str:
        return "Redactor()"

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        text = _URL_CREDENTIALS.sub(REDACTED, _BARE.sub(REDACTED, text))
        return _PASSWORD.sub(rf"\1\2{REDACTED}", text)

    def value(self, name: str, value: Any) -> Any:
        """A value, called `name`, without secrets: mappings and sequences too."""
        if _SECRET_NAME.search(name):
            return REDACTED
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value("", inner) for inner in value]
        return value if isinstance(value, int | float | bool | None) else self.text(str(value))


def forms(secret: str) -> set[str]:
    """The texts a secret may turn up as: itself, its bytes in hexadecimal, Base64 and as Python and JSON write them.

    Of a Stellar seed also the 32 bytes that it encodes.
    """
    found = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    for raw in (secret.encode(), _seed_bytes(secret)):
        if raw:
            found |= _forms_of_bytes(raw)
    return found


def _forms_of_bytes(raw: bytes) -> set[str]:
    standard, urlsafe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    plain = repr(raw)[2:-1]
    texts = {raw.hex(), raw.hex().upper(), raw.hex(" "), raw.hex(":"), plain, str(list(raw))[1:-1]}
    texts |= {standard, standard.rstrip("="), urlsafe, urlsafe.rstrip("="), base64.b32encode(raw).decode().rstrip("=")}
    return {text for text in texts if len(text) >= _SHORTEST}


def _seed_bytes(secret: str) -> bytes:
    if len(secret) != _SEED_LENGTH:
        return b""
    try:
        return base64.b32decode(secret)[_SEED_BYTES]
    except (binascii.Error, ValueError):
        return b""
