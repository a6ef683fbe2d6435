"""Calls of the farm with footprints built by hand.

Simulation sees only the last closed ledger: it refuses a work right after its plant, and cannot see the block that a
plant is about to open. The footprint follows from the call alone, and being narrow it is also an assertion: a
transaction that slips into another block is refused by the host instead of doing the wrong thing there.
"""

from collections.abc import Sequence

from stellar_sdk import ExtendFootprintTTL, InvokeHostFunction, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.model import MAX_EXTENDED, Farm, FarmIdentity, Resources
from kale_chain.tx.envelope import MIN_FEE, Bounds, Transaction, build
from kale_chain.xdr import keys
from kale_chain.xdr.keys import LedgerKey

# Simulated on the local ledger with the project's own farm contract (each call's most over three blocks):
#   plant 1,275,748 instructions, 160 bytes read from disk, 1,560 written, 36,163 stroops; without stake 1,109,963,
#   0, 1,400, 29,556; work 1,223,436, 0, 1,408, 23,181; harvest 1,045,029, 160, 160, 22,713.
# On the main network a plant takes about 1.0 M instructions, writes 1.7 kB and costs 19,000 stroops.
# A quarter more is cheap (3 to 5 % of the fee) and covers other ranges, amounts and addresses. The resource fee is
# far above, for what is not used comes back: entries that live a day rather than an hour cost more rent (41,520), and a
# young farm's instance grows (the plant that opens its block 1: 151,159, with a day's entries 156,516).
PLANT = Resources(instructions=1_600_000, disk_read_bytes=400, write_bytes=2_200, resource_fee=250_000)
PLANT_WITHOUT_STAKE = Resources(instructions=1_400_000, disk_read_bytes=0, write_bytes=2_000, resource_fee=250_000)
WORK = Resources(instructions=1_550_000, disk_read_bytes=0, write_bytes=2_000, resource_fee=150_000)
HARVEST = Resources(instructions=1_350_000, disk_read_bytes=400, write_bytes=400, resource_fee=150_000)
# Extending the lives of a block and 20 pails from 720 to 17,280 ledgers: 101,582 stroops, nearly all of it rent.
EXTENSION = Resources(instructions=0, disk_read_bytes=0, write_bytes=0, resource_fee=250_000)

_SOURCE_ACCOUNT = stellar_xdr.SorobanCredentials(stellar_xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT)


def _invocation(
    contract_id: str, function: str, arguments: Sequence[stellar_xdr.SCVal]
) -> stellar_xdr.InvokeContractArgs:
    return stellar_xdr.InvokeContractArgs(
        contract_address=keys.sc_address(contract_id),
        function_name=stellar_xdr.SCSymbol(function.encode()),
        args=list(arguments),
    )


def _authorized(
    invocation: stellar_xdr.InvokeContractArgs, *inner: stellar_xdr.SorobanAuthorizedInvocation
) -> stellar_xdr.SorobanAuthorizedInvocation:
    function = stellar_xdr.SorobanAuthorizedFunction(
        stellar_xdr.SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN, contract_fn=invocation
    )
    return stellar_xdr.SorobanAuthorizedInvocation(function, list(inner))


def _address(address: str) -> stellar_xdr.SCVal:
    return stellar_xdr.SCVal(stellar_xdr.SCValType.SCV_ADDRESS, address=keys.sc_address(address))


def plant_operation(
    farm_id: str, token_id: str, farmer: str, stake: int
) -> tuple[stellar_xdr.InvokeContractArgs, stellar_xdr.SorobanAuthorizationEntry]:
    """The call and the authorisation of a plant: the farmer's as the transaction's source, for nothing but the burn."""
    arguments = [_address(farmer), scval.to_int128(stake)]
    invocation = _invocation(farm_id, "plant", arguments)
    burn = [_authorized(_invocation(token_id, "burn", arguments))] if stake > 0 else []
    return invocation, stellar_xdr.SorobanAuthorizationEntry(_SOURCE_ACCOUNT, _authorized(invocation, *burn))


class FarmCalls:
    """Builds unsigned calls of one farm.

    Their own fee is the inclusion fee alone, below the resource fee: they are valid only inside a fee bump
    (`fee_bump`), whose payer carries the cost, so nobody can send them bare. `sequence` is the transaction's own
    number: one more than the source account's on the ledger. `resources` replaces the measured table.

    Attributes:
        fee_floor: Least resource fee of every call, in stroops; see `FarmReader.fee_floor`.
    """

    def __init__(self, identity: FarmIdentity) -> None:
        self.fee_floor = 0
        self._identity = identity
        self._instance = keys.instance(identity.farm_id)
        self._token = keys.instance(identity.token_id)
        self._wasm_hash = identity.wasm_hash
        self._code = keys.code(identity.wasm_hash)

    def follow(self, farm: Farm) -> bool:
        """Builds calls for the farm's present code from now on; True if an upgrade has replaced it."""
        if farm.wasm_hash in (None, self._wasm_hash):
            return False
        self._wasm_hash = farm.wasm_hash
        self._code = keys.code(farm.wasm_hash)
        return True

    def plant(
        self,
        *,
        farmer: str,
        stake: int,
        block_index: int,
        sequence: int,
        bounds: Bounds,
        after_missing: bool = False,
        resources: Resources | None = None,
    ) -> Transaction:
        """The farmer's plant of `stake` stroops in block `block_index`, open already or opened by this very plant.

        The farmer is its source, so that its signature is the farmer's authorisation.

        Args:
            farmer: Plants, and is the transaction's source.
            stake: Stroops, 0 or more.
            block_index: See `Farm.planted_index`.
            sequence: See the class.
            bounds: See the class.
            after_missing: Whether the block before it was removed before its 300 s were over: then the farm looks
                for that one first, and the footprint holds it too.
            resources: See the class.
        """
        farm = self._identity.farm_id
        invocation, authorization = plant_operation(farm, self._identity.token_id, farmer, stake)
        read_only, read_write = [self._code], [self._instance, *self._block_and_pail(farmer, block_index)]
        if stake > 0:
            read_only.append(self._token)
            read_write.append(keys.kale_trustline(self._identity, farmer))
        if after_missing:
            read_only.append(keys.block(farm, block_index - 1))
        used = resources or (PLANT if stake > 0 else PLANT_WITHOUT_STAKE)
        data = self._soroban_data(read_only, read_write, used)
        return self._call(
            farmer,
            invocation,
            authorizations=[authorization],
            soroban_data=data,
            sequence=sequence,
            bounds=bounds,
        )

    def work(
        self,
        *,
        source: str,
        farmer: str,
        block_index: int,
        digest: bytes,
        nonce: int,
        sequence: int,
        bounds: Bounds,
        resources: Resources | None = None,
    ) -> Transaction:
        """Work for `farmer` in block `block_index`, from any `source` account: nobody's authorisation is needed.

        Args:
            source: The account whose sequence number is used.
            farmer: Whose pail it is for.
            block_index: The current block.
            digest: The work hash, 32 bytes.
            nonce: The nonce it came from, u64.
            sequence: See the class.
            bounds: See the class.
            resources: See the class.
        """
        arguments = [_address(farmer), scval.to_bytes(digest), scval.to_uint64(nonce)]
        invocation = _invocation(self._identity.farm_id, "work", arguments)
        read_write = [self._instance, *self._block_and_pail(farmer, block_index)]
        data = self._soroban_data([self._code], read_write, resources or WORK)
        return self._call(source, invocation, authorizations=[], soroban_data=data, sequence=sequence, bounds=bounds)

    def harvest(
        self,
        *,
        source: str,
        farmer: str,
        block_index: int,
        sequence: int,
        bounds: Bounds,
        resources: Resources | None = None,
    ) -> Transaction:
        """The harvest of `farmer`'s pail of block `block_index`, from any `source` account.

        Reward and stake go to the farmer's trustline whoever asks. The call returns the reward alone, in stroops.
        """
        arguments = [_address(farmer), scval.to_uint32(block_index)]
        invocation = _invocation(self._identity.farm_id, "harvest", arguments)
        block, pail = self._block_and_pail(farmer, block_index)
        read_only = [self._instance, block, self._token, self._code]
        read_write = [pail, keys.kale_trustline(self._identity, farmer)]
        data = self._soroban_data(read_only, read_write, resources or HARVEST)
        return self._call(source, invocation, authorizations=[], soroban_data=data, sequence=sequence, bounds=bounds)

    def extension(
        self,
        *,
        source: str,
        block_index: int,
        farmers: Sequence[str],
        ledgers: int,
        sequence: int,
        bounds: Bounds,
        resources: Resources | None = None,
    ) -> Transaction:
        """Lets a block and pails in it live for at least `ledgers` more; nobody's authorisation is needed.

        Both are needed for a harvest. What lives longer, or no longer at all, is left as it is.

        Args:
            source: The account whose sequence number is used.
            block_index: The block.
            farmers: Whose pails; at most MAX_EXTENDED.
            ledgers: Ledgers from the applying one on.
            sequence: See the class.
            bounds: See the class.
            resources: See the class.
        """
        if not 0 < len(farmers) <= MAX_EXTENDED:
            raise ValueError(f"one transaction extends 1 to {MAX_EXTENDED} pails, not {len(farmers)}")
        farm = self._identity.farm_id
        pails = [keys.pail(farm, farmer, block_index) for farmer in farmers]
        return build(
            passphrase=self._identity.passphrase,
            source=source,
            sequence=sequence,
            bounds=bounds,
            fee=MIN_FEE,
            operations=[ExtendFootprintTTL(ledgers)],
            soroban_data=self._soroban_data([keys.block(farm, block_index), *pails], [], resources or EXTENSION),
        )

    def _block_and_pail(self, farmer: str, block_index: int) -> tuple[LedgerKey, LedgerKey]:
        farm = self._identity.farm_id
        return keys.block(farm, block_index), keys.pail(farm, farmer, block_index)

    def _call(
        self,
        source: str,
        invocation: stellar_xdr.InvokeContractArgs,
        *,
        authorizations: list[stellar_xdr.SorobanAuthorizationEntry],
        soroban_data: stellar_xdr.SorobanTransactionData,
        sequence: int,
        bounds: Bounds,
    ) -> Transaction:
        function = stellar_xdr.HostFunction(
            stellar_xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT, invoke_contract=invocation
        )
        return build(
            passphrase=self._identity.passphrase,
            source=source,
            sequence=sequence,
            bounds=bounds,
            fee=MIN_FEE,
            operations=[InvokeHostFunction(function, authorizations)],
            soroban_data=soroban_data,
        )

    def _soroban_data(
        self, read_only: list[LedgerKey], read_write: list[LedgerKey], resources: Resources
    ) -> stellar_xdr.SorobanTransactionData:
        return stellar_xdr.SorobanTransactionData(
            ext=stellar_xdr.SorobanTransactionDataExt(0),
            resources=stellar_xdr.SorobanResources(
                footprint=stellar_xdr.LedgerFootprint(read_only, read_write),
                instructions=stellar_xdr.Uint32(resources.instructions),
                disk_read_bytes=stellar_xdr.Uint32(resources.disk_read_bytes),
                write_bytes=stellar_xdr.Uint32(resources.write_bytes),
            ),
            resource_fee=stellar_xdr.Int64(max(resources.resource_fee, self.fee_floor)),
        )
