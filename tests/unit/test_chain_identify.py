"""What a wrong configuration is told. The right one, and every contract kind, is tried on the real local ledger."""

import pytest
from stellar_sdk import StrKey, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.answers import Entries, Entry, Network
from kale_chain.errors import (
    FarmMissingError,
    InvalidContractIdError,
    NotAFarmError,
    TokenAsFarmError,
    WrongNetworkError,
)
from kale_chain.identify import KNOWN_FARMS, MAINNET_PASSPHRASE, TESTNET_PASSPHRASE, identify
from kale_chain.xdr import keys

SOME_CONTRACT = StrKey.encode_contract(b"\7" * 32)


class FakeRpc:
    """An RPC of one network with one contract instance on it."""

    def __init__(
        self, passphrase: str, contract_id: str = "", instance: stellar_xdr.SCContractInstance | None = None
    ) -> None:
        self._network = Network(passphrase, 28, None)
        self._found: dict[str, Entry] = {}
        if instance is not None:
            key = keys.instance(contract_id)
            assert key.contract_data is not None
            data = stellar_xdr.ContractDataEntry(
                ext=stellar_xdr.ExtensionPoint(0),
                contract=key.contract_data.contract,
                key=key.contract_data.key,
                durability=key.contract_data.durability,
                val=stellar_xdr.SCVal(stellar_xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=instance),
            )
            entry = stellar_xdr.LedgerEntryData(stellar_xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data)
            self._found[key.to_xdr()] = Entry(entry.to_xdr(), 1, 99)

    async def network(self) -> Network:
        return self._network

    async def entries(self, wanted: list[str]) -> Entries:
        return Entries(5, {key: self._found[key] for key in wanted if key in self._found})


def wasm_instance(storage: dict[str, stellar_xdr.SCVal]) -> stellar_xdr.SCContractInstance:
    executable = stellar_xdr.ContractExecutable(
        stellar_xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, stellar_xdr.Hash(b"\5" * 32)
    )
    pairs = [stellar_xdr.SCMapEntry(scval.to_symbol(name), value) for name, value in storage.items()]
    return stellar_xdr.SCContractInstance(executable, stellar_xdr.SCMap(pairs))


async def attempt(rpc: FakeRpc, farm_id: str, passphrase: str) -> None:
    await identify(rpc, farm_id=farm_id, passphrase=passphrase)  # type: ignore[arg-type]  # the two methods it calls


async def test_another_network_is_told_by_both_names() -> None:
    with pytest.raises(WrongNetworkError) as caught:
        await attempt(FakeRpc(TESTNET_PASSPHRASE), SOME_CONTRACT, MAINNET_PASSPHRASE)
    assert MAINNET_PASSPHRASE in str(caught.value)
    assert TESTNET_PASSPHRASE in str(caught.value)


@pytest.mark.parametrize(
    "farm_id",
    ["", "C", SOME_CONTRACT[:-1] + "A", StrKey.encode_ed25519_public_key(b"\7" * 32), SOME_CONTRACT.lower()],
)
async def test_what_is_no_contract_id_is_told_so(farm_id: str) -> None:
    with pytest.raises(InvalidContractIdError, match="KALE_CONTRACT_ID must be"):
        await attempt(FakeRpc("net"), farm_id, "net")


@pytest.mark.parametrize("passphrase", [MAINNET_PASSPHRASE, TESTNET_PASSPHRASE])
async def test_nothing_there_names_the_public_networks_own_farm(passphrase: str) -> None:
    with pytest.raises(FarmMissingError) as caught:
        await attempt(FakeRpc(passphrase), SOME_CONTRACT, passphrase)
    assert f"set KALE_CONTRACT_ID to {KNOWN_FARMS[passphrase]}" in str(caught.value)


async def test_a_token_with_code_of_its_own_is_a_token_too() -> None:
    metadata = scval.to_map({scval.to_symbol("name"): scval.to_string("KALE")})
    rpc = FakeRpc(MAINNET_PASSPHRASE, SOME_CONTRACT, wasm_instance({"METADATA": metadata}))
    with pytest.raises(TokenAsFarmError) as caught:
        await attempt(rpc, SOME_CONTRACT, MAINNET_PASSPHRASE)
    assert str(caught.value) == (
        f"{SOME_CONTRACT} is the token contract of KALE, not a farm; "
        f"set KALE_CONTRACT_ID to {KNOWN_FARMS[MAINNET_PASSPHRASE]}"
    )


async def test_another_contract_is_told_by_what_it_lacks() -> None:
    rpc = FakeRpc("net", SOME_CONTRACT, wasm_instance({"FarmBlock": scval.to_void()}))
    with pytest.raises(NotAFarmError, match="its instance lacks Homesteader, HomesteadAsset"):
        await attempt(rpc, SOME_CONTRACT, "net")


async def test_a_farms_keys_with_other_contents_are_no_farm() -> None:
    storage = dict.fromkeys(("FarmBlock", "Homesteader", "HomesteadAsset"), scval.to_uint32(1))
    rpc = FakeRpc("net", SOME_CONTRACT, wasm_instance(storage))
    with pytest.raises(NotAFarmError, match="other things than a farm's"):
        await attempt(rpc, SOME_CONTRACT, "net")


async def test_a_farm_whose_token_is_no_classic_asset_is_refused() -> None:
    other = StrKey.encode_contract(b"\x08" * 32)
    storage = {
        "FarmBlock": scval.to_void(),
        "Homesteader": scval.to_address(other),
        "HomesteadAsset": scval.to_address(other),
    }
    rpc = FakeRpc("net", SOME_CONTRACT, wasm_instance(storage))
    with pytest.raises(NotAFarmError, match=f"its HomesteadAsset {other} is not"):
        await attempt(rpc, SOME_CONTRACT, "net")
