"""The farm and its farmers as the ledger shows them."""

from collections.abc import Iterable, Mapping, Sequence

from kale_chain.errors import FarmMissingError
from kale_chain.model import Account, Block, BlockEntry, Farm, FarmIdentity, PailEntry, Receiver, is_extension_due
from kale_chain.rpc import Entries, StellarRpc
from kale_chain.tx import Bounds, FarmCalls, Signer
from kale_chain.xdr import keys
from kale_chain.xdr.entries import (
    farm_state,
    read_account,
    read_block,
    read_instance,
    read_pail,
    read_room,
    read_trustline_balance,
)

EXTENSION_FEE_STROOPS = 40_000_000
"""Reserved for extending the farm's life where no simulation can tell the rent; what is not used comes back."""

NEW_CODE_FEE_STROOPS = 1_000_000_000
"""The same where the farm has new code, whose first call pays for half a year."""

_FEE_MARGIN_PERCENT = 25
_MEMO_REQUIRED = "config.memo_required"


class FarmReader:
    """Reads one farm through one RPC. Every method raises `RpcError` where the RPC does not answer.

    What the RPC does not show is absent, which for a pail or block can also mean that it has expired.
    """

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity) -> None:
        self._rpc = rpc
        self._identity = identity
        self._instance = keys.instance(identity.farm_id).to_xdr()

    async def farm(self) -> Farm:
        """The farm's instance.

        Raises:
            FarmMissingError: If the instance is gone (archived for want of rent).
        """
        return self._farm(await self._rpc.entries([self._instance]))

    async def block(self, index: int) -> Block | None:
        """Block `index`; None before it opens and after it has expired."""
        key = keys.block(self._identity.farm_id, index).to_xdr()
        entry = (await self._rpc.entries([key])).get(key)
        return read_block(entry.data_xdr) if entry else None

    async def farm_and_block(self, index: int | None) -> tuple[Farm, Block | None]:
        """The farm and block `index` as of the same ledger. With `index` None, the farm alone and None."""
        if index is None:
            return await self.farm(), None
        key = keys.block(self._identity.farm_id, index).to_xdr()
        entries = await self._rpc.entries([self._instance, key])
        entry = entries.get(key)
        return self._farm(entries), read_block(entry.data_xdr) if entry else None

    async def pails(self, pails: Sequence[tuple[str, int]]) -> dict[tuple[str, int], PailEntry]:
        """The pails of (farmer, block index) that exist."""
        return (await self.dated_pails(pails))[1]

    async def dated_pails(self, pails: Sequence[tuple[str, int]]) -> tuple[int, dict[tuple[str, int], PailEntry]]:
        """The latest closed ledger when they were read (0 if none was asked for), and the pails that exist."""
        by_key = {keys.pail(self._identity.farm_id, farmer, index).to_xdr(): (farmer, index) for farmer, index in pails}
        entries = await self._existing(by_key)
        found = {
            by_key[key]: PailEntry(read_pail(entry.data_xdr), entry.live_until or 0)
            for key, entry in entries.found.items()
        }
        return entries.ledger, found

    async def dated_blocks(self, indexes: Iterable[int]) -> tuple[int, dict[int, BlockEntry]]:
        """The latest closed ledger when they were read (0 if none was asked for), and the blocks that exist."""
        by_key = {keys.block(self._identity.farm_id, index).to_xdr(): index for index in indexes}
        entries = await self._existing(by_key)
        found = {
            by_key[key]: BlockEntry(read_block(entry.data_xdr), entry.live_until or 0)
            for key, entry in entries.found.items()
        }
        return entries.ledger, found

    async def balances(self, addresses: Iterable[str]) -> dict[str, int]:
        """KALE in stroops of the accounts that have a trustline."""
        return (await self.dated_balances(addresses))[1]

    async def dated_balances(self, addresses: Iterable[str]) -> tuple[int, dict[str, int]]:
        """The latest closed ledger when they were read (0 if none was asked for), and KALE as `balances` gives it."""
        by_key = {keys.kale_trustline(self._identity, address).to_xdr(): address for address in addresses}
        entries = await self._existing(by_key)
        return entries.ledger, {
            by_key[key]: read_trustline_balance(entry.data_xdr) for key, entry in entries.found.items()
        }

    async def accounts(self, addresses: Iterable[str]) -> dict[str, Account]:
        """Sequence numbers and XLM of the accounts that exist."""
        return (await self.dated_accounts(addresses))[1]

    async def dated_accounts(self, addresses: Iterable[str]) -> tuple[int, dict[str, Account]]:
        """The latest closed ledger when they were read (0 if none was asked for), and the accounts that exist."""
        by_key = {keys.account(address).to_xdr(): address for address in addresses}
        entries = await self._existing(by_key)
        return entries.ledger, {by_key[key]: read_account(entry.data_xdr) for key, entry in entries.found.items()}

    async def dated_receivers(self, addresses: Iterable[str]) -> tuple[int, dict[str, Receiver]]:
        """The latest closed ledger when they were read (0 if none was asked for), and what each account can receive."""
        wanted = list(dict.fromkeys(addresses))
        entries = await self._existing({key: address for address in wanted for key in self._receiver_keys(address)})
        return entries.ledger, {address: self._receiver(entries, address) for address in wanted}

    def _receiver_keys(self, address: str) -> tuple[str, str, str]:
        account, line = keys.account(address), keys.kale_trustline(self._identity, address)
        return account.to_xdr(), line.to_xdr(), keys.data(address, _MEMO_REQUIRED).to_xdr()

    def _receiver(self, entries: Entries, address: str) -> Receiver:
        account, line, data = map(entries.get, self._receiver_keys(address))
        room, authorised = read_room(line.data_xdr) if line is not None else (None, False)
        return Receiver(account is not None, room, authorised, data is not None)

    async def fee_floor(self, farm: Farm) -> int:
        """The least resource fee for calls now, in stroops: 0 but where the farm's life is due to be extended.

        Then the first call pays a week's rent of instance and code, on a quiet farm much more than the call itself.
        Which call is first nobody knows beforehand, so each must carry it (`FarmCalls.fee_floor`); the others get it
        back. The rent is taken from the simulation of a plant by nobody.
        """
        new_code = await self._code_due(farm)
        if not farm.extension_due and not new_code:
            return 0
        probe = FarmCalls(self._identity).plant(
            farmer=Signer.generate().address,
            stake=0,
            block_index=farm.index,
            sequence=1,
            bounds=Bounds(max_ledger=farm.ledger + 1),
        )
        used = (await self._rpc.simulate(probe.envelope)).resources
        if used is not None:
            return used.with_margin(_FEE_MARGIN_PERCENT).resource_fee
        # A paused farm refuses the plant that would tell, but not the works and harvests that must carry the rent.
        return NEW_CODE_FEE_STROOPS if new_code else EXTENSION_FEE_STROOPS

    async def _code_due(self, farm: Farm) -> bool:
        """Whether the code's own life is due to be extended: new code's is, whatever the instance's."""
        key = keys.code(farm.wasm_hash or self._identity.wasm_hash).to_xdr()
        entry = (await self._rpc.entries([key])).get(key)
        return entry is not None and is_extension_due(entry.live_until or 0, farm.ledger)

    async def _existing(self, by_key: Mapping[str, object]) -> Entries:
        return await self._rpc.entries(list(by_key)) if by_key else Entries(0, {})

    def _farm(self, entries: Entries) -> Farm:
        entry = entries.get(self._instance)
        if entry is None:
            advice = "its instance has been archived; restore it (RestoreFootprint) before farming on"
            raise FarmMissingError(self._identity.farm_id, advice)
        instance = read_instance(entry.data_xdr)
        index, block, paused = farm_state(instance.storage)
        return Farm(index, block, paused, entries.ledger, entry.live_until or 0, instance.wasm_hash)
