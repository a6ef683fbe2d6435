"""The lifeboat alone brings every harvest in: no backend, no database, no farmer's key."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from devnet.faults import Action, Fault
from devnet.server import DevnetServer
from kale_chain.tx import Signer
from tests.fixtures.backend import StartBackend
from tests.fixtures.devnet import closing
from tests.fixtures.farming import DEPOSIT, planted, worked
from tests.fixtures.farmyard import Farmyard, addresses

STAKE = 10 * 10_000_000
HOUR_LEDGERS = 720
DAY_LEDGERS = 17_280


async def set_life(devnet: DevnetServer, ledgers: int) -> None:
    """Entries made from now on live so long."""
    await devnet.ledger.call(lambda client: client.engine.set_min_temporary_ttl(ledgers))


async def lifeboat(devnet: DevnetServer, farmers: Sequence[str], **changes: str) -> tuple[int, dict[str, Any], str]:
    """Runs the command while ledgers close: exit code, its JSON value, and what it said on standard error."""
    scenario = devnet.scenario
    settings = {
        "STELLAR_NETWORK": "local",
        "STELLAR_RPC_URL": devnet.url,
        "STELLAR_NETWORK_PASSPHRASE": scenario.passphrase,
        "KALE_CONTRACT_ID": scenario.farm_id,
        "FEE_ACCOUNT_SECRET": scenario.faucet.secret,
        "LEDGER_POLL_MS": "20",
    }
    # Slow enough for an hour's life, of which a fifth is left, to outlast the start of a process.
    async with closing(devnet, pause_seconds=0.1):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kale_lifeboat", "--json", *farmers),
            env=dict(os.environ) | settings | changes,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, said = await process.communicate()
    return process.returncode or 0, json.loads(output) if output else {}, said.decode()


async def plant_and_work(farmyard: Farmyard, farmers: Sequence[Signer]) -> int:
    """A block with a worked pail for each farmer; its index."""
    index = await farmyard.next_block()
    assert all(one.successful for one in await farmyard.land(*[await farmyard.plant(f, STAKE, index) for f in farmers]))
    for farmer in farmers:
        found = await farmyard.search(farmer.address, index, 0)
        (landed,) = await farmyard.land(await farmyard.work(farmer, farmer.address, index, found))
        assert landed.successful
    return index


async def open_next(farmyard: Farmyard) -> None:
    """Has somebody else open the next block."""
    stranger, *_ = await farmyard.onboard(1)
    await farmyard.land(await farmyard.plant(stranger, 0, await farmyard.next_block()))


async def test_backend_gone_for_most_of_an_hour_of_life_loses_nothing(start_backend: StartBackend) -> None:
    async with start_backend() as pool:
        devnet = pool.world.devnet
        await set_life(devnet, HOUR_LEDGERS)
        block, farmers = await planted(pool, 3)
        await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
        planted_at = (await pool.world.rpc.latest_ledger()).sequence
    await devnet.advance(60)
    await pool.world.plant_as_stranger(block + 1)
    gone = (await pool.world.rpc.latest_ledger()).sequence - planted_at
    await devnet.advance(HOUR_LEDGERS * 8 // 10 - gone)
    wallets = [farmer.wallet_address for farmer in farmers]
    code, report, said = await lifeboat(devnet, wallets)
    assert (code, report["harvested"], report["refused"]) == (0, 3, []), said
    balances = await pool.world.farm.balances(wallets)
    assert sum(balances.values()) == 3 * DEPOSIT + report["reward_stroops"]
    assert report["reward_stroops"] > 0
    again, second, _ = await lifeboat(devnet, wallets)
    assert (again, second["pails"], second["harvested"]) == (0, 0, 0)
    async with start_backend() as pool:

        async def booked() -> bool:
            return all([(await pool.farmer(farmer.farmer_id)).earned_stroops for farmer in farmers])

        await pool.until(booked, ledgers=15)
        for farmer in farmers:
            now = await pool.farmer(farmer.farmer_id)
            assert DEPOSIT + now.earned_stroops == balances[farmer.wallet_address]
            assert (now.open_stake_stroops, now.lost_stake_stroops) == (0, 0)


async def test_pails_of_several_blocks_are_brought_in_after_most_of_a_day(
    farmyard: Farmyard, devnet: DevnetServer
) -> None:
    await set_life(devnet, DAY_LEDGERS)
    farmers = await farmyard.onboard(3, kale_stroops=DEPOSIT)
    for _ in range(3):
        last = await plant_and_work(farmyard, farmers)
    await open_next(farmyard)
    await devnet.advance(DAY_LEDGERS * 8 // 10)
    code, report, said = await lifeboat(devnet, addresses(farmers), CHANNELS="4")
    assert (code, report["pails"], report["harvested"], report["stake_stroops"]) == (0, 9, 9, 9 * STAKE), said
    assert last == 3
    balances = await farmyard.reader.balances(addresses(farmers))
    assert sum(balances.values()) == 3 * DEPOSIT + report["reward_stroops"]


async def test_pail_of_the_running_block_lives_longer_until_it_can_be_harvested(
    farmyard: Farmyard, devnet: DevnetServer
) -> None:
    await set_life(devnet, 200)
    farmers = await farmyard.onboard(2, kale_stroops=DEPOSIT)
    index = await plant_and_work(farmyard, farmers)
    code, first, said = await lifeboat(devnet, addresses(farmers), CHANNELS="0")
    assert (code, first["waiting"], first["extended"], first["harvested"]) == (0, 2, 2, 0), said
    _, second, _ = await lifeboat(devnet, addresses(farmers), CHANNELS="0")
    assert (second["waiting"], second["extended"]) == (2, 0), "a life extended already is left alone"
    await devnet.advance(400)  # beyond the lives they were born with
    await open_next(farmyard)
    code, third, said = await lifeboat(devnet, addresses(farmers), CHANNELS="0")
    assert (code, third["harvested"]) == (0, 2), said
    assert await farmyard.reader.pails([(farmer.address, index) for farmer in farmers]) == {}


async def test_faulty_rpc_delays_the_sweep_only(farmyard: Farmyard, devnet: DevnetServer) -> None:
    farmers = await farmyard.onboard(2, kale_stroops=DEPOSIT)
    await plant_and_work(farmyard, farmers)
    await open_next(farmyard)
    devnet.faults.add(Fault(Action.STATUS, "sendTransaction", count=3))
    devnet.faults.add(Fault(Action.STATUS, "getLedgerEntries", count=2))
    code, report, said = await lifeboat(devnet, addresses(farmers))
    assert (code, report["harvested"]) == (0, 2), said


@pytest.mark.parametrize(
    ("changes", "farmer", "code", "text"),
    [
        ({}, "GABC", 2, "is not an account address"),
        ({"FEE_ACCOUNT_SECRET": ""}, None, 2, "FEE_ACCOUNT_SECRET: is not set"),
        ({"FEE_ACCOUNT_SECRET": Signer.from_seed(b"\7" * 32).secret}, None, 3, "does not exist on this network"),
        ({"STELLAR_NETWORK_PASSPHRASE": "another"}, None, 2, "wrong network"),
    ],
)
async def test_wrong_input_is_told_in_one_line(
    devnet: DevnetServer, changes: dict[str, str], farmer: str | None, code: int, text: str
) -> None:
    given = farmer or devnet.scenario.faucet.public_key
    ended, report, said = await lifeboat(devnet, [given], **changes)
    assert (ended, report) == (code, {})
    assert text in said
    assert len(said.strip().splitlines()) == 1
    assert Signer.from_seed(b"\7" * 32).secret not in said
