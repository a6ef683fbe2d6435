"""The farm's entries as the ledger's own actors need them."""

from typing import Any, NamedTuple

from stellar_sdk import scval, xdr

from devnet.engine_client import EngineClient, contract_key, instance_key


class FarmState(NamedTuple):
    """The farm's instance: current index and, of `FarmBlock`, the time of the last opening."""

    block_index: int
    timestamp: int


class BlockState(NamedTuple):
    """Of a block what a farmer needs: ledger time of its opening and its entropy."""

    timestamp: int
    entropy: bytes


def block_key(farm_id: str, index: int) -> xdr.LedgerKey:
    """The key of a block."""
    return contract_key(farm_id, scval.to_vec([scval.to_symbol("Block"), scval.to_uint32(index)]), temporary=True)


def pail_key(farm_id: str, farmer: str, index: int) -> xdr.LedgerKey:
    """The key of a farmer's pail in a block."""
    parts = [scval.to_symbol("Pail"), scval.to_address(farmer), scval.to_uint32(index)]
    return contract_key(farm_id, scval.to_vec(parts), temporary=True)


def read_farm(client: EngineClient, farm_id: str) -> FarmState:
    """The farm as it is; `LookupError` if there is none."""
    data = client.entry(instance_key(farm_id))
    if not (data and data.contract_data and data.contract_data.val.instance):
        raise LookupError(f"no contract {farm_id}")
    storage = data.contract_data.val.instance.storage
    values = {_name(item.key): item.val for item in storage.sc_map} if storage else {}
    index = scval.from_uint32(values["FarmIndex"]) if "FarmIndex" in values else 0
    return FarmState(index, _fields(values["FarmBlock"])["timestamp"])


def read_block(client: EngineClient, farm_id: str, index: int) -> BlockState | None:
    """A block, or None if it never was, was removed or has expired."""
    data = client.entry(block_key(farm_id, index))
    if not (data and data.contract_data):
        return None
    fields = _fields(data.contract_data.val)
    return BlockState(fields["timestamp"], fields["entropy"])


def _name(key: xdr.SCVal) -> str:
    parts = scval.to_native(key)
    return str(parts[0]) if isinstance(parts, list) else ""


def _fields(value: xdr.SCVal) -> dict[str, Any]:
    fields = scval.to_native(value)
    assert isinstance(fields, dict)
    return {str(name): field for name, field in fields.items()}
