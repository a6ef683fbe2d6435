"""What a farmer's key signs: the transaction is decoded here, and held against its intent and the pool's rules.

A signature covers every operation whose source is the farmer, named or by default. Those, and no others, must be the
ones that the intent stands for; operations of other accounts need other signatures. Every transaction must end: its
ledger bounds have a maximum.

Source: XDR of TransactionEnvelope, and the protocol's rules of operation sources.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import NoReturn

from stellar_sdk import (
    AccountMerge,
    Asset,
    ChangeTrust,
    EndSponsoringFutureReserves,
    HashMemo,
    IdMemo,
    Memo,
    MuxedAccount,
    NoneMemo,
    Payment,
    ReturnHashMemo,
    TextMemo,
)
from stellar_sdk import xdr as stellar_xdr
from xdrlib3 import Unpacker

from backend.domain.farmer import FarmerKey
from backend.domain.signing import (
    Intent,
    MemoKind,
    OnboardingIntent,
    PaymentLeg,
    PayoutIntent,
    PayoutMemo,
    PlantIntent,
    SigningRules,
)
from backend.errors import PolicyRefusedError
from backend.vault.journal import Payout, SigningJournal
from kale_chain.tx import plant_operation

_PLAIN = struct.pack(">i", stellar_xdr.EnvelopeType.ENVELOPE_TYPE_TX)
_NO_SIGNATURES = bytes(4)
_DECODED_CACHED = 4
_STROOPS = Decimal(10_000_000)
_MAX_STROOPS = 2**63 - 1


class _RefusedError(Exception):
    """Why a transaction is not signed."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a transaction does, as far as signatures matter.

    Attributes:
        source: The account (G…) whose sequence number it uses.
        sequence: That number.
        max_ledger: First ledger it can no longer be applied in; 0 if it never ends.
        memo: Its memo.
        operations: Each operation with its source account (G…).
    """

    source: str
    sequence: int
    max_ledger: int
    memo: stellar_xdr.Memo
    operations: Sequence[tuple[str, stellar_xdr.OperationBody]]

    def of(self, address: str) -> list[stellar_xdr.OperationBody]:
        """The operations of one account."""
        return [body for source, body in self.operations if source == address]


class Policy:
    """Decides what farmers' keys sign.

    The same withdrawal's id is never signed with other terms, nor more away within a day than the journal's cap.

    Args:
        rules: The network, farm, asset and limits.
        journal: Remembers what was signed.
    """

    def __init__(self, rules: SigningRules, journal: SigningJournal) -> None:
        self.rules = rules
        self._kale = Asset(rules.asset_code, rules.asset_issuer)
        self._network_id = hashlib.sha256(rules.passphrase.encode()).digest()
        self._trust = ChangeTrust(self._kale).to_xdr_object().body
        self._no_trust = ChangeTrust(self._kale, limit="0").to_xdr_object().body
        self._end = EndSponsoringFutureReserves().to_xdr_object().body
        self._merge = AccountMerge(rules.sponsor).to_xdr_object().body
        self._journal = journal

    def digest(self, key: FarmerKey, envelope: bytes, intent: Intent) -> bytes:
        """The hash to be signed (32 bytes) of a transaction that does exactly what its intent says.

        Args:
            key: The farmer's key.
            envelope: TransactionEnvelope XDR, plain and without signatures.
            intent: What it is meant to do.

        Raises:
            PolicyRefusedError: it does anything else, or what no farmer's key signs.
            SigningCapError, SigningJournalError: see SigningJournal.admit.
        """
        try:
            decoded = _decode(envelope)
            if not decoded.max_ledger:
                _refuse("it has no maximum ledger and would never end")
            match intent:
                case PlantIntent():
                    self._plant(key.address, decoded, intent)
                case OnboardingIntent():
                    self._onboarding(key.address, decoded)
                case PayoutIntent():
                    self._payout(key, decoded, intent)
        except _RefusedError as error:
            raise PolicyRefusedError(key.farmer_id, str(error)) from None
        return hashlib.sha256(self._network_id + envelope[: -len(_NO_SIGNATURES)]).digest()

    def _plant(self, address: str, decoded: Decoded, intent: PlantIntent) -> None:
        stake = intent.stake_stroops
        if not 0 <= stake <= self.rules.stake_cap_stroops:
            _refuse(f"a stake of {stake} stroops is not within 0 and the cap of {self.rules.stake_cap_stroops}")
        if decoded.source != address:
            _refuse(f"a plant's source must be the farmer, not {decoded.source}")
        invocation, authorization = plant_operation(self.rules.farm_id, self.rules.token_id, address, stake)
        call = decoded.operations[0][1].invoke_host_function_op if len(decoded.operations) == 1 else None
        if call is None or decoded.of(address) == []:
            _refuse("it is not one call of a contract by the farmer")
        if call.host_function.invoke_contract != invocation:
            _refuse(f"it is not a plant of {stake} stroops by this farmer on the farm {self.rules.farm_id}")
        if call.auth != [authorization]:
            _refuse("it authorises something other than the burn of its stake")

    def _onboarding(self, address: str, decoded: Decoded) -> None:
        if decoded.source != self.rules.sponsor:
            _refuse(f"the source of an onboarding must be the sponsor {self.rules.sponsor}, not {decoded.source}")
        if decoded.of(address) != [self._trust, self._end]:
            _refuse("the farmer's part of an onboarding is the KALE trustline and the end of the sponsoring")

    def _payout(self, key: FarmerKey, decoded: Decoded, intent: PayoutIntent) -> None:
        if decoded.source not in {key.address, self.rules.sponsor}:
            _refuse(f"the source of a payout must be the farmer or the sponsor, not {decoded.source}")
        expected = [self._payment(key.address, leg) for leg in intent.payments]
        if intent.closes_account:
            expected += [self._no_trust, self._merge]
        if not expected or decoded.of(key.address) != expected:
            _refuse(f"its operations are not those approved as {intent.withdrawal_id}")
        if decoded.memo != _memo(intent.memo).to_xdr_object():
            _refuse(f"its memo is not the one approved as {intent.withdrawal_id}")
        payout = Payout(
            withdrawal_id=intent.withdrawal_id,
            terms=_terms(key, intent),
            farmer=key.address,
            source=decoded.source,
            sequence=decoded.sequence,
            stroops=sum(leg.amount_stroops for leg in intent.payments if not leg.native),
        )
        if not self._journal.admit(payout):
            _refuse(f"{intent.withdrawal_id} was signed before with other terms")

    def _payment(self, address: str, leg: PaymentLeg) -> stellar_xdr.OperationBody:
        if not 0 < leg.amount_stroops <= _MAX_STROOPS:
            _refuse(f"{leg.amount_stroops} stroops cannot be paid")
        asset = Asset.native() if leg.native else self._kale
        try:
            payment = Payment(leg.destination, asset, str(Decimal(leg.amount_stroops) / _STROOPS))
        except ValueError:
            _refuse(f"{leg.destination} is not an account's address")
        if payment.destination.account_id == address:
            _refuse("a payout goes to another account than the farmer's own")
        return payment.to_xdr_object().body


def _terms(key: FarmerKey, intent: PayoutIntent) -> bytes:
    """What a withdrawal's id stands for. Strangers can send XLM between two tries of an exit: it does not count."""
    fixed = tuple(leg for leg in intent.payments if not leg.native)
    return hashlib.sha256(repr((key.farmer_id, replace(intent, payments=fixed))).encode()).digest()


def _memo(memo: PayoutMemo) -> Memo:
    makers = {
        MemoKind.NONE: lambda _: NoneMemo(),
        MemoKind.TEXT: TextMemo,
        MemoKind.ID: lambda value: IdMemo(int(value)),
        MemoKind.HASH: HashMemo,
        MemoKind.RETURN: ReturnHashMemo,
    }
    try:
        return makers[memo.kind](memo.value)
    except ValueError:
        _refuse(f"{memo.value!r} is not a memo of the kind {memo.kind.value}")


@lru_cache(maxsize=_DECODED_CACHED)
def _decode(envelope: bytes) -> Decoded:
    """Cached, since many farmers sign one onboarding. Raises _RefusedError."""
    if not envelope.startswith(_PLAIN):
        _refuse("it is not a plain transaction of version 1")
    if not envelope.endswith(_NO_SIGNATURES):
        _refuse("it carries signatures already")
    try:
        return _body(Unpacker(envelope[len(_PLAIN) :]))
    except (ValueError, EOFError, TypeError):
        _refuse("it cannot be decoded")


def _body(unpacker: Unpacker) -> Decoded:
    """The fields in their order up to the operations; the resources after them bind nobody's coins."""
    source = MuxedAccount.from_xdr_object(stellar_xdr.MuxedAccount.unpack(unpacker)).account_id
    stellar_xdr.Uint32.unpack(unpacker)
    sequence = stellar_xdr.SequenceNumber.unpack(unpacker).sequence_number.int64
    conditions = stellar_xdr.Preconditions.unpack(unpacker).v2
    bounds = conditions.ledger_bounds if conditions else None
    memo = stellar_xdr.Memo.unpack(unpacker)
    operations = []
    for _ in range(unpacker.unpack_uint()):
        operation = stellar_xdr.Operation.unpack(unpacker)
        named = operation.source_account
        by = MuxedAccount.from_xdr_object(named).account_id if named else source
        operations.append((by, operation.body))
    return Decoded(source, sequence, bounds.max_ledger.uint32 if bounds else 0, memo, operations)


def _refuse(problem: str) -> NoReturn:
    raise _RefusedError(problem)
