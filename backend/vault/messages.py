"""What backend and signer say to each other: JSON messages, each after its length (4 bytes, big-endian).

gRPC is not used here: its threads and parsers would run in the one process that holds seeds in clear. A message is
validated as a whole; unknown fields are refused. Bytes are base64.

A client says `hello` first, with the rules it expects, and is refused if they are not the signer's. Then it asks, any
number of calls at a time; each answer carries the number of its call. A repeat of a call is harmless: signatures are
deterministic, and a farmer's key made twice leaves one unused.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from backend.domain.farmer import FarmerKey
from backend.domain.signing import Intent, OnboardingIntent, PayoutIntent, PlantIntent, SigningRules

MAX_MESSAGE_BYTES = 256 * 1024
_LENGTH_BYTES = 4

M = TypeVar("M", bound=BaseModel)


class MalformedMessageError(Exception):
    """What came is no message of this protocol; the connection is of no further use."""


class _Message(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, ser_json_bytes="base64", val_json_bytes="base64"
    )


class WireKey(_Message):
    """A FarmerKey."""

    farmer_id: UUID
    address: str
    public_key: str
    sealed_seed: bytes
    key_version: int

    @classmethod
    def of(cls, key: FarmerKey) -> WireKey:
        """The key as it is sent."""
        return cls(
            farmer_id=key.farmer_id,
            address=key.address,
            public_key=key.public_key,
            sealed_seed=key.sealed_seed,
            key_version=key.key_version,
        )

    def farmer_key(self) -> FarmerKey:
        """The key as the domain has it."""
        return FarmerKey(self.farmer_id, self.address, self.public_key, self.sealed_seed, self.key_version)


class SignCall(_Message):
    """Asks for a signature, with exactly one intent."""

    key: WireKey
    envelope: bytes
    plant: PlantIntent | None = None
    onboarding: OnboardingIntent | None = None
    payout: PayoutIntent | None = None

    @classmethod
    def of(cls, key: FarmerKey, envelope: bytes, intent: Intent) -> SignCall:
        """The call for a signature."""
        return cls(
            key=WireKey.of(key),
            envelope=envelope,
            plant=intent if isinstance(intent, PlantIntent) else None,
            onboarding=intent if isinstance(intent, OnboardingIntent) else None,
            payout=intent if isinstance(intent, PayoutIntent) else None,
        )

    @property
    def intent(self) -> Intent:
        """The one intent."""
        intent = self.plant or self.onboarding or self.payout
        assert intent is not None
        return intent

    @model_validator(mode="after")
    def _one_intent(self) -> SignCall:
        if sum(intent is not None for intent in (self.plant, self.onboarding, self.payout)) != 1:
            raise ValueError("a signature needs exactly one intent")
        return self


class Call(_Message):
    """A call: exactly one of hello, create and sign."""

    number: int
    hello: SigningRules | None = None
    create: UUID | None = None
    sign: SignCall | None = None

    @model_validator(mode="after")
    def _one_call(self) -> Call:
        if sum(call is not None for call in (self.hello, self.create, self.sign)) != 1:
            raise ValueError("a call is one of hello, create and sign")
        return self


class Fault(_Message):
    """Why a call failed: the error's machine-readable reason, what went wrong, and the farmer if it concerns one."""

    reason: str
    problem: str
    farmer_id: str | None = None


class Answer(_Message):
    """The answer to the call of the same number; to `hello` it is empty."""

    number: int
    key: WireKey | None = None
    signature: bytes | None = None
    fault: Fault | None = None


def encoded(message: BaseModel) -> bytes:
    """A message with its length."""
    body = message.model_dump_json(exclude_none=True).encode()
    return len(body).to_bytes(_LENGTH_BYTES) + body


async def receive(reader: asyncio.StreamReader, kind: type[M]) -> M | None:
    """The next message; None where the other side has ended.

    Raises:
        MalformedMessageError: it is too long, or not of this kind.
        OSError: the connection broke.
    """
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
        if length > MAX_MESSAGE_BYTES:
            raise MalformedMessageError(f"a message of {length} bytes; at most {MAX_MESSAGE_BYTES} are taken")
        return kind.model_validate_json(await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) or item["msg"] for item in error.errors())
        raise MalformedMessageError(f"not a {kind.__name__}: {fields}") from None
