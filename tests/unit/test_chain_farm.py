"""The rent a call must be ready to pay, where the RPC's simulation tells it or cannot."""

from kale_chain.answers import Entries, Entry, Simulation
from kale_chain.farm import EXTENSION_FEE_STROOPS, NEW_CODE_FEE_STROOPS, FarmReader
from kale_chain.model import Block, Farm, FarmIdentity, Resources
from kale_chain.tx import PLANT_WITHOUT_STAKE, Bounds, FarmCalls, Signer, Transaction
from kale_chain.xdr import keys

ISSUER = Signer.from_seed(b"\1" * 32).address
TOKEN = keys.token_id("KALE", ISSUER, "tests")
IDENTITY = FarmIdentity(TOKEN, TOKEN, "KALE", ISSUER, bytes(32), ISSUER, "tests")
DUE = Farm(5, Block.unseen(0), paused=False, ledger=100, live_until=200)


class FakeRpc:
    """An RPC that simulates everything the same way, and whose farm's code lives until a ledger."""

    def __init__(self, resources: Resources | None, *, code_until: int = 3_110_400) -> None:
        self.simulated: list[str] = []
        self._resources = resources
        self._code_until = code_until

    async def entries(self, wanted: list[str]) -> Entries:
        return Entries(100, {key: Entry("", 1, self._code_until) for key in wanted})

    async def simulate(self, envelope: str) -> Simulation:
        self.simulated.append(envelope)
        error = None if self._resources else "HostError"
        return Simulation(100, error, None, self._resources, None, ())


def reader(rpc: FakeRpc) -> FarmReader:
    return FarmReader(rpc, IDENTITY)  # type: ignore[arg-type]  # the method it calls


async def test_the_rent_of_an_extension_is_simulated_with_a_margin() -> None:
    rpc = FakeRpc(Resources(1, 2, 3, resource_fee=1_000))
    assert await reader(rpc).fee_floor(DUE) == 1_250
    probe = Transaction.from_envelope(rpc.simulated[0], "tests")
    assert probe.max_ledger == DUE.ledger + 1


async def test_where_simulation_fails_the_reserve_is_a_fixed_one() -> None:
    assert await reader(FakeRpc(None)).fee_floor(DUE) == EXTENSION_FEE_STROOPS


async def test_where_simulation_fails_new_code_has_a_reserve_for_its_whole_life() -> None:
    upgraded = Farm(5, Block.unseen(0), paused=True, ledger=100, live_until=3_110_400, wasm_hash=b"\5" * 32)
    assert await reader(FakeRpc(None, code_until=120_000)).fee_floor(upgraded) == NEW_CODE_FEE_STROOPS


async def test_a_farm_extended_lately_asks_for_nothing() -> None:
    rpc = FakeRpc(None)
    extended = Farm(5, Block.unseen(0), paused=False, ledger=100, live_until=3_110_400)
    assert await reader(rpc).fee_floor(extended) == 0
    assert rpc.simulated == []


async def test_new_code_asks_for_rent_though_the_instance_lives_long() -> None:
    rpc = FakeRpc(Resources(1, 2, 3, resource_fee=1_000), code_until=120_000)
    extended = Farm(5, Block.unseen(0), paused=False, ledger=100, live_until=3_110_400, wasm_hash=b"\5" * 32)
    assert await reader(rpc).fee_floor(extended) == 1_250


def test_the_floor_raises_what_a_call_may_cost_and_never_lowers_it() -> None:
    calls = FarmCalls(IDENTITY)

    def resource_fee() -> int:
        plant = calls.plant(farmer=ISSUER, stake=0, block_index=1, sequence=1, bounds=Bounds(max_ledger=9))
        return plant.resource_fee

    assert resource_fee() == PLANT_WITHOUT_STAKE.resource_fee
    calls.fee_floor = 9_000_000
    assert resource_fee() == 9_000_000
    calls.fee_floor = 1
    assert resource_fee() == PLANT_WITHOUT_STAKE.resource_fee
