"""What a transaction did: result codes, return value, fees, and which contract refused it."""

import base64
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from stellar_sdk import StrKey, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.errors import ContractError, FarmError, FarmErrorCode, TokenError, TokenErrorCode
from kale_chain.model import FarmIdentity, Resources
from kale_chain.xdr.entries import Native, decoded
from kale_chain.xdr.walking import UnusualXdrError, meta_parts

Code = stellar_xdr.TransactionResultCode

_FEE_BUMPS = (Code.txFEE_BUMP_INNER_SUCCESS, Code.txFEE_BUMP_INNER_FAILED)
_FEE_BUMP_CODES = frozenset(code.value for code in _FEE_BUMPS)
_FEE_CODE_HASH = struct.Struct(">8xi32s")
# Enough for what a ledger does to us while nothing is planted; each takes some 100 KiB.
_REMEMBERED = 32
_HASH_DIGITS_BASE64 = 60
"""Digits of base64 that hold the first 45 bytes, one more than are read."""


@dataclass(frozen=True, slots=True)
class ResultCodes:
    """The codes of a transaction's result.

    Attributes:
        transaction: The transaction's code, such as `txSUCCESS`, `txFAILED`, `txBAD_SEQ`; of a fee bump whose inner
            transaction was tried, the inner transaction's.
        operation: The first failing operation's code in lower case and without its operation's name, such as
            `trapped`, `insufficient_refundable_fee`, `already_exist`, `bad_auth`; None if no operation failed.
        fee_charged: Stroops charged in all.
    """

    transaction: str
    operation: str | None
    fee_charged: int


@dataclass(frozen=True, slots=True)
class ContractFailure:
    """The contract that refused a call and its error number; the number means nothing without the contract's id."""

    contract_id: str
    code: int

    def error(self, identity: FarmIdentity) -> ContractError | None:
        """The farm's or token's error; None if another contract failed or the number is unknown."""
        try:
            if self.contract_id == identity.farm_id:
                return FarmError(FarmErrorCode(self.code))
            if self.contract_id == identity.token_id:
                return TokenError(TokenErrorCode(self.code))
        except ValueError:
            return None
        return None


def _operation_code(result: stellar_xdr.OperationResult) -> str | None:
    """The code of one operation's result, or None if it succeeded."""
    if result.code != stellar_xdr.OperationResultCode.opINNER:
        return result.code.name.removeprefix("op").lower()
    if result.tr is None:
        raise ValueError("an operation without a result")
    prefix = f"{result.tr.type.name}_"
    arm = next(value for name, value in vars(result.tr).items() if name != "type" and value is not None)
    name = arm.code.name.removeprefix(prefix).lower()
    return None if name == "success" else str(name)


def _read_result(result_xdr: str) -> ResultCodes:
    whole = stellar_xdr.TransactionResult.from_xdr(result_xdr)
    result: stellar_xdr.TransactionResultResult | stellar_xdr.InnerTransactionResultResult = whole.result
    if whole.result.code in _FEE_BUMPS and whole.result.inner_result_pair is not None:
        result = whole.result.inner_result_pair.result.result
    codes = (_operation_code(operation) for operation in result.results or [])
    return ResultCodes(
        transaction=result.code.name,
        operation=next((code for code in codes if code is not None), None),
        fee_charged=whole.fee_charged.int64,
    )


def read_result(result_xdr: str) -> ResultCodes:
    """The codes of a TransactionResult (base64)."""
    return decoded("a transaction result", lambda: _read_result(result_xdr))


def read_inner_hash(result_xdr: str) -> str | None:
    """The inner transaction's hash (64 hex digits) of a fee bump's TransactionResult (base64), else None.

    It lies at a fixed place, fee (8 bytes), code (4), hash (32), so that whole ledgers are searched cheaply.

    Raises:
        MalformedXdrError: it is no base64, or too short.
    """

    def inner_hash() -> str | None:
        raw = base64.b64decode(result_xdr[:_HASH_DIGITS_BASE64], validate=True)
        code, digest = _FEE_CODE_HASH.unpack_from(raw.ljust(_FEE_CODE_HASH.size, b"\0"))
        if code not in _FEE_BUMP_CODES:
            return None
        return str(digest.hex())

    return decoded("a transaction result", inner_hash)


@lru_cache(maxsize=_REMEMBERED)
def decoded_meta(raw: bytes) -> stellar_xdr.TransactionMeta:
    """A transaction's meta from its bytes, which nobody may change.

    One that is decoded whole may be asked for its changes and then for its result: what was decoded lately is kept.
    """
    return stellar_xdr.TransactionMeta.from_xdr_bytes(raw)


def read_return_value(meta_xdr: str) -> Native:
    """A contract call's return value as Python; None for void and where nothing was called.

    Args:
        meta_xdr: TransactionMeta (base64).
    """

    def value() -> Native:
        found = _return_value(base64.b64decode(meta_xdr))
        return scval.to_native(found) if found is not None else None

    return decoded("a transaction's meta", value)


def _return_value(raw: bytes) -> stellar_xdr.SCVal | None:
    try:
        value = meta_parts(raw).return_value
    except UnusualXdrError:
        meta = decoded_meta(raw)
        newest = meta.v4 or meta.v3
        return newest.soroban_meta.return_value if newest and newest.soroban_meta else None
    return stellar_xdr.SCVal.from_xdr_bytes(value) if value is not None else None


def _contract_errors(events: Sequence[stellar_xdr.DiagnosticEvent]) -> Iterator[ContractFailure]:
    """Every contract error the diagnostic events tell of, in order of emission."""
    for diagnostic in events:
        event = diagnostic.event
        body = event.body.v0
        if event.contract_id is None or body is None:
            continue
        for topic in body.topics:
            if topic.error is not None and topic.error.contract_code is not None:
                contract_id = StrKey.encode_contract(event.contract_id.contract_id.hash)
                yield ContractFailure(contract_id, topic.error.contract_code.uint32)


def read_contract_failure(diagnostic_events: Sequence[str], meta_xdr: str | None = None) -> ContractFailure | None:
    """Which contract refused the call, by the diagnostic events (base64) beside it or inside its meta.

    An error travels outwards: the token's error is repeated under the farm's id. The first event with the number the
    last one carries names the contract it came from. None where the host itself refused (footprint, budget), where
    nothing failed, and where the RPC records no diagnostic events.
    """

    def failure() -> ContractFailure | None:
        events = [stellar_xdr.DiagnosticEvent.from_xdr(event) for event in diagnostic_events]
        if not events and meta_xdr:
            meta = decoded_meta(base64.b64decode(meta_xdr))
            events = list(meta.v4.diagnostic_events) if meta.v4 else []
        errors = list(_contract_errors(events))
        return next((error for error in errors if error.code == errors[-1].code), None)

    return decoded("diagnostic events", failure)


def read_value(value_xdr: str) -> Native:
    """A contract value (base64 SCVal) as Python."""
    return decoded("a contract value", lambda: scval.to_native(value_xdr))


def read_resources(data_xdr: str, resource_fee: int) -> Resources:
    """The resources a simulation found (base64 SorobanTransactionData) with its least resource fee, in stroops."""

    def resources() -> Resources:
        used = stellar_xdr.SorobanTransactionData.from_xdr(data_xdr).resources
        return Resources(
            instructions=used.instructions.uint32,
            disk_read_bytes=used.disk_read_bytes.uint32,
            write_bytes=used.write_bytes.uint32,
            resource_fee=resource_fee,
        )

    return decoded("a simulation's resources", resources)
