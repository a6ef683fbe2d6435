"""The ledger's own farmers."""

import collections

from stellar_sdk import Keypair, xdr

from devnet.farm_reader import read_farm
from devnet.neighbours import Plan
from devnet.server import DevnetOptions, DevnetServer
from tests.fixtures.ledger_client import LedgerClient

OPTIONS = DevnetOptions(close_seconds=0, genesis_time=1_750_000_000, neighbours=6, neighbour_zeros=(1, 2))


def calls(devnet: DevnetServer, first: int) -> collections.Counter[tuple[str, bool]]:
    """How often each function of the farm was called from a ledger on, and with what success."""
    counted: collections.Counter[tuple[str, bool]] = collections.Counter()
    for ledger in devnet.ledger.history.since(first):
        for record in ledger.transactions:
            envelope = xdr.TransactionEnvelope.from_xdr(record.envelope_xdr).v1
            assert envelope
            operation = envelope.tx.operations[0].body.invoke_host_function_op
            assert operation
            invoked = operation.host_function.invoke_contract
            assert invoked
            counted[invoked.function_name.sc_symbol.decode(), record.successful] += 1
    return counted


async def test_neighbours_plant_work_and_harvest_every_block() -> None:
    async with DevnetServer(OPTIONS) as devnet:
        await devnet.advance(3 * 62)
        plans = [[Plan.of(one.public_key, index, (1, 2)) for one in devnet.scenario.neighbours] for index in range(3)]
        works = [sum(plan.work_seconds is not None for plan in block) for block in plans]
        farm = await devnet.ledger.call(read_farm, devnet.scenario.farm_id)
        assert farm.block_index == 3
        counted = calls(devnet, 6)
        assert counted["plant", True] >= 3 * 6
        assert counted["work", True] == sum(works)
        assert counted["harvest", True] >= works[0] + works[1]
        assert not [name for name, successful in counted if not successful]


async def test_neighbours_leave_the_opening_to_others_for_one_ledger(client: LedgerClient) -> None:
    assert client.devnet.scenario.neighbours == ()
    async with DevnetServer(OPTIONS) as devnet:
        await devnet.advance(2)
        first = await devnet.ledger.call(read_farm, devnet.scenario.farm_id)
        opened = devnet.ledger.history.latest.close_time
        assert not calls(devnet, 6)[("work", True)]
        due = first.timestamp + 300
        await devnet.advance((due - opened) // 5 + 1)
        assert devnet.ledger.history.latest.close_time == due + 5
        assert (await devnet.ledger.call(read_farm, devnet.scenario.farm_id)).block_index == 0
        await devnet.advance()
        farm = await devnet.ledger.call(read_farm, devnet.scenario.farm_id)
        assert (farm.block_index, farm.timestamp) == (1, due + 10)


async def test_plan_depends_on_farmer_and_block_alone() -> None:
    addresses = [Keypair.from_raw_ed25519_seed(bytes([number]) * 32).public_key for number in range(40)]
    plans = [Plan.of(address, 7, (4, 6)) for address in addresses]
    assert plans == [Plan.of(address, 7, (4, 6)) for address in addresses]
    assert plans != [Plan.of(address, 8, (4, 6)) for address in addresses]
    assert {plan.zeros for plan in plans} <= {4, 5, 6}
    assert len({plan.zeros for plan in plans}) > 1
    assert 0 < sum(plan.stake > 0 for plan in plans) < len(plans)
