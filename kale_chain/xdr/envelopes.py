"""What a transaction that someone else built asks of the farm."""

import base64

from stellar_sdk import Address, StrKey, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.xdr.entries import decoded

_HARVEST = b"harvest"
_HARVEST_ARGUMENTS = 2


def read_harvest_call(envelope_xdr: str, farm_id: str) -> tuple[str, int] | None:
    """Farmer and block index if a transaction (base64 envelope, plain or fee bump) calls the farm's harvest itself.

    None for everything else, also for a contract that harvests on its own account. Most envelopes of a ledger are
    told apart by their bytes alone.

    Raises:
        MalformedXdrError: it is no envelope.
    """
    raw = base64.b64decode(envelope_xdr)
    if _HARVEST not in raw or StrKey.decode_contract(farm_id) not in raw:
        return None
    return decoded(
        "a transaction envelope", lambda: _harvest_call(stellar_xdr.TransactionEnvelope.from_xdr_bytes(raw), farm_id)
    )


def _harvest_call(envelope: stellar_xdr.TransactionEnvelope, farm_id: str) -> tuple[str, int] | None:
    plain = envelope.v1 or (envelope.fee_bump.tx.inner_tx.v1 if envelope.fee_bump else None)
    for operation in plain.tx.operations if plain else ():
        host = operation.body.invoke_host_function_op
        call = host.host_function.invoke_contract if host else None
        if call is None or call.function_name.sc_symbol != _HARVEST or len(call.args) != _HARVEST_ARGUMENTS:
            continue
        if Address.from_xdr_sc_address(call.contract_address).address == farm_id:
            return scval.from_address(call.args[0]).address, scval.from_uint32(call.args[1])
    return None
