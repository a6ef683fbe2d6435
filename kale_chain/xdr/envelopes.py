"""What a transaction that someone else built asks of the farm."""

import base64
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stellar_sdk import Address, MuxedAccount, StrKey, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.xdr.entries import decoded

T = TypeVar("T")

_HARVEST = b"harvest"
_HARVEST_ARGUMENTS = 2
_PLANT = b"plant"
_PLANT_ARGUMENTS = 2
_WORK = b"work"
_WORK_ARGUMENTS = 3
_FUNCTIONS = {_PLANT: _PLANT_ARGUMENTS, _WORK: _WORK_ARGUMENTS, _HARVEST: _HARVEST_ARGUMENTS}
_PAIL = b"Pail"
_PAIL_FIELDS = 3


def read_harvest_call(envelope_xdr: str, farm_id: str) -> tuple[str, int] | None:
    """Farmer and block index if a transaction (base64 envelope, plain or fee bump) calls the farm's harvest itself.

    None for everything else, also for a contract that harvests on its own account. Most envelopes of a ledger are
    told apart by their bytes alone.

    Raises:
        MalformedXdrError: it is no envelope.
    """
    return _read(envelope_xdr, farm_id, _HARVEST, _harvest_call)


@dataclass(frozen=True, slots=True)
class PlantCall:
    """A call of the farm's plant; the block is the one whose pail its footprint may write."""

    farmer: str
    block_index: int
    stake: int


def read_plant_call(envelope_xdr: str, farm_id: str) -> PlantCall | None:
    """What a transaction (base64 envelope, plain or fee bump) plants, if it calls the farm's plant itself.

    Raises:
        MalformedXdrError: it is no envelope.
    """
    return _read(envelope_xdr, farm_id, _PLANT, _plant_call)


@dataclass(frozen=True, slots=True)
class FarmCall:
    """A call of the farm: plant, work or harvest, for whom, and in which block."""

    function: str
    farmer: str
    block_index: int


def read_farm_call(envelope_xdr: str, farm_id: str) -> FarmCall | None:
    """Which of the farm's three functions a transaction (base64 envelope, plain or fee bump) calls itself, if any.

    The block is the one whose pail the transaction's footprint may write.

    Raises:
        MalformedXdrError: it is no envelope.
    """
    return _read(envelope_xdr, farm_id, b"", _farm_call)


def _read(
    envelope_xdr: str, farm_id: str, function: bytes, read: Callable[[stellar_xdr.Transaction | None, str], T | None]
) -> T | None:
    """What `read` finds in an envelope whose bytes name farm and function; most are not decoded at all."""
    raw = base64.b64decode(envelope_xdr)
    if function not in raw or StrKey.decode_contract(farm_id) not in raw:
        return None
    return decoded(
        "a transaction envelope",
        lambda: read(inner_transaction(stellar_xdr.TransactionEnvelope.from_xdr_bytes(raw)), farm_id),
    )


def _farm_call(transaction: stellar_xdr.Transaction | None, farm_id: str) -> FarmCall | None:
    for function, count in _FUNCTIONS.items():
        arguments = _arguments(transaction, farm_id, function, count)
        if transaction is None or arguments is None:
            continue
        farmer = scval.from_address(arguments[0]).address
        index = _written_pail(transaction, farm_id, farmer)
        return None if index is None else FarmCall(function.decode(), farmer, index)
    return None


def _written_pail(transaction: stellar_xdr.Transaction, farm_id: str, farmer: str) -> int | None:
    data = transaction.ext.soroban_data
    found = (_pail_index(key, farm_id, farmer) for key in (data.resources.footprint.read_write if data else ()))
    return next((index for index in found if index is not None), None)


def _plant_call(transaction: stellar_xdr.Transaction | None, farm_id: str) -> PlantCall | None:
    arguments = _arguments(transaction, farm_id, _PLANT, _PLANT_ARGUMENTS)
    if transaction is None or arguments is None:
        return None
    farmer, stake = scval.from_address(arguments[0]).address, scval.from_int128(arguments[1])
    index = _written_pail(transaction, farm_id, farmer)
    return None if index is None else PlantCall(farmer, index, stake)


def _pail_index(key: stellar_xdr.LedgerKey, farm_id: str, farmer: str) -> int | None:
    entry = key.contract_data
    if entry is None or Address.from_xdr_sc_address(entry.contract).address != farm_id or entry.key.vec is None:
        return None
    fields = entry.key.vec.sc_vec
    if len(fields) != _PAIL_FIELDS or fields[0].sym is None or fields[0].sym.sc_symbol != _PAIL:
        return None
    return scval.from_uint32(fields[2]) if scval.from_address(fields[1]).address == farmer else None


def inner_transaction(envelope: stellar_xdr.TransactionEnvelope) -> stellar_xdr.Transaction | None:
    """The transaction of an envelope, of a fee bump the one that it carries; None for the oldest kind of envelope."""
    plain = envelope.v1 or (envelope.fee_bump.tx.inner_tx.v1 if envelope.fee_bump else None)
    return plain.tx if plain else None


def _arguments(
    transaction: stellar_xdr.Transaction | None, farm_id: str, function: bytes, count: int
) -> Sequence[stellar_xdr.SCVal] | None:
    """The arguments of the farm's function if a transaction calls it with so many."""
    for operation in transaction.operations if transaction else ():
        host = operation.body.invoke_host_function_op
        call = host.host_function.invoke_contract if host else None
        if call is None or call.function_name.sc_symbol != function or len(call.args) != count:
            continue
        if Address.from_xdr_sc_address(call.contract_address).address == farm_id:
            return call.args
    return None


def _harvest_call(transaction: stellar_xdr.Transaction | None, farm_id: str) -> tuple[str, int] | None:
    arguments = _arguments(transaction, farm_id, _HARVEST, _HARVEST_ARGUMENTS)
    if arguments is None:
        return None
    return scval.from_address(arguments[0]).address, scval.from_uint32(arguments[1])


def uses_sequence(envelope_xdr: str, source: str, sequence: int) -> bool:
    """Whether a transaction (base64 envelope, plain or fee bump) has this source (G…) and sequence number.

    Raises:
        MalformedXdrError: it is no envelope.
    """
    raw = base64.b64decode(envelope_xdr)
    if StrKey.decode_ed25519_public_key(source) not in raw or struct.pack(">q", sequence) not in raw:
        return False
    return decoded("a transaction envelope", lambda: _uses(raw, source, sequence))


def _uses(raw: bytes, source: str, sequence: int) -> bool:
    envelope = stellar_xdr.TransactionEnvelope.from_xdr_bytes(raw)
    plain = inner_transaction(envelope)
    if plain is not None:
        account, number = MuxedAccount.from_xdr_object(plain.source_account).account_id, plain.seq_num
    elif envelope.v0 is not None:
        account = StrKey.encode_ed25519_public_key(envelope.v0.tx.source_account_ed25519.uint256)
        number = envelope.v0.tx.seq_num
    else:
        return False
    return account == source and number.sequence_number.int64 == sequence
