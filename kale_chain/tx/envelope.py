"""Transactions as the network signs and ships them. Source: XDR of TransactionEnvelope and its signature payload."""

import base64
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Protocol, Self

from stellar_sdk import LedgerBounds, Memo, MuxedAccount, Operation, Preconditions, StrKey
from stellar_sdk import Transaction as SdkTransaction
from stellar_sdk import xdr as stellar_xdr

from kale_chain.xdr.entries import decoded

MIN_FEE = 100
"""Stroops: the network's least inclusion fee for one operation."""

_PLAIN = struct.pack(">i", stellar_xdr.EnvelopeType.ENVELOPE_TYPE_TX)
_FEE_BUMP = struct.pack(">i", stellar_xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP)
_FEE_SOURCE = struct.Struct(">i32s")
_FEE = struct.Struct(">q")
_NO_EXTENSION = struct.pack(">i", 0)
_INNER_FROM = len(_FEE_BUMP) + _FEE_SOURCE.size + _FEE.size
_INNER_TO = -len(_NO_EXTENSION)


class Signs(Protocol):
    """What can sign a transaction's hash."""

    @property
    def address(self) -> str:
        """The account (G…) signed for."""

    def signature(self, digest: bytes) -> tuple[bytes, bytes]:
        """Hint (4 bytes) and signature (64 bytes) of a hash."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The ledgers a transaction may be applied in: `min_ledger` up to, but not including, `max_ledger`.

    There are no time bounds. `max_ledger` is never 0: a transaction without an end could come back after months.
    """

    min_ledger: int = 0
    max_ledger: int = field(kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.min_ledger < self.max_ledger:
            raise ValueError(f"bounds {self.min_ledger} to {self.max_ledger} hold no ledger")


@lru_cache(maxsize=16)
def _network_id(passphrase: str) -> bytes:
    return hashlib.sha256(passphrase.encode()).digest()


@dataclass(frozen=True)
class Transaction:
    """A transaction, plain or fee bump, with the signatures made so far. Immutable: signing makes a new one.

    Attributes:
        passphrase: The network it is for.
        source: The account (G…) whose sequence number it uses (of a fee bump: the inner transaction's).
        payer: The account that pays the fee; the source unless this is a fee bump.
        sequence: Its own sequence number.
        max_ledger: First ledger it can no longer be applied in; 0 if it never ends.
        fee: Most stroops it can cost.
        resource_fee: The part of that for contract resources, refunded where unused; 0 for classic operations.
        operations: Number of operations.
        inner_hash: A fee bump's inner transaction's hash (64 hex digits), else None.
        tagged: Its XDR as the signature payload holds it: envelope type and body.
        signatures: DecoratedSignature XDR of each signer.
    """

    passphrase: str
    source: str
    payer: str
    sequence: int
    max_ledger: int
    fee: int
    resource_fee: int
    operations: int
    inner_hash: str | None
    tagged: bytes = field(repr=False)
    signatures: tuple[bytes, ...] = field(default=(), repr=False)

    @cached_property
    def digest(self) -> bytes:
        """The hash that is signed, 32 bytes; signatures do not change it."""
        return hashlib.sha256(_network_id(self.passphrase) + self.tagged).digest()

    @property
    def hash(self) -> str:
        """The transaction's hash as the RPC names it: 64 lower-case hex digits."""
        return self.digest.hex()

    @cached_property
    def envelope_bytes(self) -> bytes:
        """TransactionEnvelope XDR."""
        return self.tagged + struct.pack(">I", len(self.signatures)) + b"".join(self.signatures)

    @property
    def envelope(self) -> str:
        """TransactionEnvelope XDR in base64, as it is sent."""
        return base64.b64encode(self.envelope_bytes).decode()

    def signed_by(self, *signers: Signs) -> Self:
        """This transaction with each signer's signature added; signing twice by the same key adds nothing."""
        signed = self
        for signer in signers:
            hint, signature = signer.signature(self.digest)
            signed = signed._with(hint + struct.pack(">I", len(signature)) + signature)
        return signed

    def with_signature(self, address: str, signature: bytes) -> Self:
        """This transaction with a signature (64 bytes) that `address` (G…) made elsewhere of its `digest`."""
        hint = StrKey.decode_ed25519_public_key(address)[-4:]
        return self._with(hint + struct.pack(">I", len(signature)) + signature)

    def _with(self, decorated: bytes) -> Self:
        if decorated in self.signatures:
            return self
        return replace(self, signatures=(*self.signatures, decorated))

    @classmethod
    def from_envelope(cls, envelope: str, passphrase: str) -> Self:
        """A transaction from its envelope (base64), plain or fee bump, with the signatures it carries.

        Raises:
            MalformedXdrError: If it is not such an envelope.
        """
        return decoded("a transaction envelope", lambda: cls._parsed(envelope, passphrase))

    @classmethod
    def _parsed(cls, envelope: str, passphrase: str) -> Self:
        parsed = stellar_xdr.TransactionEnvelope.from_xdr(envelope)
        if parsed.v1 is not None:
            return cls._plain(parsed.v1, passphrase)
        if parsed.fee_bump is None or parsed.fee_bump.tx.inner_tx.v1 is None:
            raise ValueError("neither a version 1 nor a fee bump envelope")
        bump = parsed.fee_bump.tx
        inner = cls._plain(parsed.fee_bump.tx.inner_tx.v1, passphrase)
        return replace(
            inner,
            payer=MuxedAccount.from_xdr_object(bump.fee_source).account_id,
            fee=bump.fee.int64,
            inner_hash=inner.hash,
            tagged=_FEE_BUMP + bump.to_xdr_bytes(),
            signatures=tuple(signature.to_xdr_bytes() for signature in parsed.fee_bump.signatures),
        )

    @classmethod
    def _plain(cls, envelope: stellar_xdr.TransactionV1Envelope, passphrase: str) -> Self:
        body = envelope.tx
        conditions = body.cond.v2
        bounds = conditions.ledger_bounds if conditions else None
        soroban = body.ext.soroban_data
        source = MuxedAccount.from_xdr_object(body.source_account).account_id
        return cls(
            passphrase=passphrase,
            source=source,
            payer=source,
            sequence=body.seq_num.sequence_number.int64,
            max_ledger=bounds.max_ledger.uint32 if bounds else 0,
            fee=body.fee.uint32,
            resource_fee=soroban.resource_fee.int64 if soroban else 0,
            operations=len(body.operations),
            inner_hash=None,
            tagged=_PLAIN + body.to_xdr_bytes(),
            signatures=tuple(signature.to_xdr_bytes() for signature in envelope.signatures),
        )


def build(
    *,
    passphrase: str,
    source: str,
    sequence: int,
    bounds: Bounds,
    fee: int,
    operations: Sequence[Operation],
    memo: Memo | None = None,
    soroban_data: stellar_xdr.SorobanTransactionData | None = None,
) -> Transaction:
    """An unsigned transaction of `operations`, with `sequence` as its own number and no time bounds."""
    ledgers = LedgerBounds(bounds.min_ledger, bounds.max_ledger)
    body = SdkTransaction(
        source=source,
        sequence=sequence,
        fee=fee,
        operations=operations,
        memo=memo,
        preconditions=Preconditions(ledger_bounds=ledgers),
    )
    # Given to the constructor it would be copied by encoding and decoding it twice, half of the time of a plant.
    body.soroban_data = soroban_data
    return Transaction(
        passphrase=passphrase,
        source=source,
        payer=source,
        sequence=sequence,
        max_ledger=bounds.max_ledger,
        fee=fee,
        resource_fee=soroban_data.resource_fee.int64 if soroban_data else 0,
        operations=len(operations),
        inner_hash=None,
        tagged=_PLAIN + body.to_xdr_object().to_xdr_bytes(),
    )


def fee_bump(inner: Transaction, payer: Signs, *, inclusion_fee: int = MIN_FEE) -> Transaction:
    """`inner`, already signed, inside a transaction whose fee `payer` pays and signs.

    Args:
        inner: A signed plain transaction; it is wrapped byte for byte, so its hash stays.
        payer: Pays and signs.
        inclusion_fee: Stroops offered for each operation; the bump itself counts as one more. What the resources
            cost is added.
    """
    if inner.inner_hash is not None:
        raise ValueError("a fee bump cannot be bumped: wrap its inner transaction again")
    return _wrapped(replace(inner, inner_hash=inner.hash), inner.envelope_bytes, payer, inclusion_fee)


def bump_again(bump: Transaction, payer: Signs, *, inclusion_fee: int) -> Transaction:
    """A fee bump with another fee around the inner transaction of `bump`, byte for byte, so that only one can apply.

    Args:
        bump: A fee bump.
        payer: Pays and signs.
        inclusion_fee: See `fee_bump`.
    """
    if bump.inner_hash is None:
        raise ValueError("a plain transaction holds no inner one: use fee_bump")
    return _wrapped(bump, bump.tagged[_INNER_FROM:_INNER_TO], payer, inclusion_fee)


def _wrapped(of: Transaction, inner_envelope: bytes, payer: Signs, inclusion_fee: int) -> Transaction:
    fee = inclusion_fee * (of.operations + 1) + of.resource_fee
    key = StrKey.decode_ed25519_public_key(payer.address)
    fee_source = _FEE_SOURCE.pack(stellar_xdr.CryptoKeyType.KEY_TYPE_ED25519, key)
    bump = replace(
        of,
        payer=payer.address,
        fee=fee,
        tagged=_FEE_BUMP + fee_source + _FEE.pack(fee) + inner_envelope + _NO_EXTENSION,
        signatures=(),
    )
    return bump.signed_by(payer)
