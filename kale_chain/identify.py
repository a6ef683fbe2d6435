"""Making sure, before anything is spent, that network and farm are the ones that were meant."""

from kale_chain.errors import (
    FarmMissingError,
    InvalidContractIdError,
    MalformedXdrError,
    NotAFarmError,
    RpcError,
    TokenAsFarmError,
    WrongNetworkError,
)
from kale_chain.model import FarmIdentity
from kale_chain.rpc import StellarRpc
from kale_chain.xdr import keys
from kale_chain.xdr.entries import FARM_KEYS, HOMESTEAD_ASSET, HOMESTEADER, Instance, address_text, read_instance

MAINNET_PASSPHRASE = "Public Global Stellar Network ; September 2015"  # noqa: S105  (public by its name)
TESTNET_PASSPHRASE = "Test SDF Network ; September 2015"  # noqa: S105

KNOWN_FARMS = {
    MAINNET_PASSPHRASE: "CDL74RF5BLYR2YBLCCI7F5FB6TPSCLKEJUBSD2RSVWZ4YHF3VMFAIGWA",
    TESTNET_PASSPHRASE: "CDSWUUXGPWDZG76ISK6SUCVPZJMD5YUV66J2FXFXFGDX25XKZJIEITAO",
}
"""KALE's farm on the public networks, by passphrase."""


async def identify(rpc: StellarRpc, *, farm_id: str, passphrase: str) -> FarmIdentity:
    """The farm `farm_id` on the network `passphrase`, checked against what `rpc` shows.

    Reads only. The token is the farm's own `HomesteadAsset`, whose id must be the one the network gives that asset.

    Raises:
        WrongNetworkError: The RPC serves another network.
        InvalidContractIdError: `farm_id` is no contract id.
        FarmMissingError: Nothing exists there.
        TokenAsFarmError: It is a token's contract.
        NotAFarmError: It is some other contract, or its asset is not what it should be.
        RpcError: The RPC did not answer.
    """
    network = await rpc.network()
    if network.passphrase != passphrase:
        raise WrongNetworkError(passphrase, network.passphrase)
    if not keys.is_contract_id(farm_id):
        raise InvalidContractIdError(farm_id)
    advice = _advice(passphrase)
    farm = await _instance(rpc, farm_id)
    if farm is None:
        raise FarmMissingError(farm_id, advice)
    token_id, wasm_hash, homesteader = _checked(farm, farm_id, advice)
    code, issuer = await _asset(rpc, farm_id, token_id, passphrase)
    return FarmIdentity(farm_id, token_id, code, issuer, wasm_hash, homesteader, passphrase)


async def check_endpoints(rpc: StellarRpc, *, passphrase: str) -> None:
    """Refuses endpoints of another network; one that does not answer is passed over, its answers are checked later.

    Raises:
        WrongNetworkError: An endpoint serves another network.
    """
    for one in rpc.each():
        try:
            network = await one.network()
        except RpcError:
            continue
        if network.passphrase != passphrase:
            raise WrongNetworkError(passphrase, network.passphrase)


def _advice(passphrase: str) -> str:
    known = KNOWN_FARMS.get(passphrase)
    return f"set KALE_CONTRACT_ID to {known or 'the id of the farm contract on this network'}"


async def _instance(rpc: StellarRpc, contract_id: str) -> Instance | None:
    key = keys.instance(contract_id).to_xdr()
    entry = (await rpc.entries([key])).get(key)
    return read_instance(entry.data_xdr) if entry else None


def _checked(farm: Instance, farm_id: str, advice: str) -> tuple[str, bytes, str]:
    """The farm's token id, wasm hash and administrator."""
    if farm.is_asset or farm.token_name is not None:
        raise TokenAsFarmError(farm_id, farm.token_name or "an asset", advice)
    missing = [key for key in FARM_KEYS if key not in farm.storage]
    if missing or farm.wasm_hash is None:
        raise NotAFarmError(farm_id, f"its instance lacks {', '.join(missing) or 'code'}", advice)
    try:
        token_id = address_text(farm.storage[HOMESTEAD_ASSET])
        homesteader = address_text(farm.storage[HOMESTEADER])
    except MalformedXdrError as error:
        raise NotAFarmError(farm_id, "its keys hold other things than a farm's", advice) from error
    return token_id, farm.wasm_hash, homesteader


async def _asset(rpc: StellarRpc, farm_id: str, token_id: str, passphrase: str) -> tuple[str, str]:
    """Code and issuer of the farm's token."""
    token = await _instance(rpc, token_id) if keys.is_contract_id(token_id) else None
    asset = token.asset if token else None
    if asset is None or keys.token_id(*asset, passphrase) != token_id:
        found = f"its HomesteadAsset {token_id} is not the contract of a classic asset"
        raise NotAFarmError(farm_id, found, _advice(passphrase))
    return asset
