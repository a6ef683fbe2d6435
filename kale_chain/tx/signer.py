"""Keys that sign. A seed never leaves its `Signer` but to be sealed."""

import hashlib
import hmac
from typing import NoReturn, Self

from stellar_sdk import Keypair
from stellar_sdk.exceptions import Ed25519SecretSeedInvalidError

from kale_chain.errors import InvalidSecretError
from kale_chain.tx.envelope import Transaction

SEED_BYTES = 32


class Signer:
    """An Ed25519 key pair. Make one by `from_secret`, `from_seed` or `generate`; keep it, for making it takes time.

    Attributes:
        address: The account (G…) it signs for.
    """

    __slots__ = ("_hint", "_keypair", "address")

    def __init__(self, keypair: Keypair) -> None:
        self._keypair = keypair
        self._hint = keypair.signature_hint()
        self.address: str = keypair.public_key

    @classmethod
    def from_secret(cls, secret: str) -> Self:
        """The signer of a secret key (S…); white space around it is ignored.

        Raises:
            InvalidSecretError: If it is none; the text is not repeated.
        """
        try:
            return cls(Keypair.from_secret(secret.strip()))
        except (Ed25519SecretSeedInvalidError, ValueError):
            # Without its cause: the library's message holds the secret.
            raise InvalidSecretError from None

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The signer of a raw seed of 32 bytes.

        Raises:
            InvalidSecretError: If it has another length.
        """
        if len(seed) != SEED_BYTES:
            raise InvalidSecretError
        return cls(Keypair.from_raw_ed25519_seed(seed))

    @classmethod
    def generate(cls) -> Self:
        """A new signer from the operating system's random numbers."""
        return cls(Keypair.random())

    @property
    def secret(self) -> str:
        """The secret key (S…). For writing a key file only."""
        return self._keypair.secret

    @property
    def seed(self) -> bytes:
        """The raw seed, 32 bytes. For sealing only."""
        return self._keypair.raw_secret_key()

    def signature(self, digest: bytes) -> tuple[bytes, bytes]:
        """Hint (4 bytes) and signature (64 bytes) of a transaction's hash (32 bytes)."""
        return self._hint, self._keypair.sign(digest)

    def sign(self, envelope: str, passphrase: str) -> str:
        """`envelope` (base64, plain or fee bump) with this key's signature added."""
        return Transaction.from_envelope(envelope, passphrase).signed_by(self).envelope

    def derive(self, label: str, number: int) -> "Signer":
        """Another signer that this one alone determines, such as `derive("work channel", 3)`.

        Its seed is HMAC-SHA-256 with this seed as key over `label`, a zero byte and `number` (u32 BE): whoever holds
        this seed can make it again, and it tells nothing about this seed or its siblings.
        """
        text = label.encode() + b"\0" + number.to_bytes(4)
        return Signer.from_seed(hmac.digest(self.seed, text, hashlib.sha256))

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Signer is never pickled: its seed must not leave the process")
