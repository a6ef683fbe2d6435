"""kale_chain over a local ledger that drops, delays, lags, pauses and lets entries expire."""

from typing import Any

import aiohttp
import pytest

from kale_chain.errors import (
    FarmError,
    FarmErrorCode,
    Retry,
    RpcRateLimitedError,
    RpcRefusedError,
    RpcTimeoutError,
    RpcUnavailableError,
)
from kale_chain.follower import LedgerFollower
from kale_chain.rpc import LedgerTransaction, StellarRpc, SubmissionStatus
from kale_chain.tx import fee_bump
from tests.fixtures.farmyard import Farmyard


async def control(yard: Farmyard, path: str, **body: Any) -> None:
    """Use one of the ledger's routes for tests."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{yard.devnet.url}/devnet/{path}", json=body) as response,
    ):
        assert response.status == 200, await response.text()


def farm_error(yard: Farmyard, landed: LedgerTransaction) -> FarmError:
    error = landed.contract_error(yard.identity)
    assert isinstance(error, FarmError)
    return error


async def test_an_answer_lost_after_sending_says_nothing_about_the_transaction(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1)
    plant = await yard.plant(farmer, 0, await yard.next_block())
    await control(yard, "faults", action="drop", method="sendTransaction")
    with pytest.raises(RpcUnavailableError):
        await yard.rpc.send(plant.envelope)
    assert (await yard.rpc.send(plant.envelope)).status == SubmissionStatus.DUPLICATE
    await yard.devnet.advance(1)
    landed = await yard.rpc.transaction(plant.hash)
    assert landed is not None
    assert landed.successful


async def test_faults_of_the_endpoint_are_told_apart(farmyard: Farmyard) -> None:
    yard = farmyard
    for fault, error in (
        ({"action": "status", "status": 429}, RpcRateLimitedError),
        ({"action": "status", "status": 502}, RpcUnavailableError),
        ({"action": "error"}, RpcRefusedError),
        ({"action": "drop"}, RpcUnavailableError),
    ):
        await control(yard, "faults", method="getNetwork", **fault)
        async with StellarRpc(yard.devnet.url) as rpc:  # another's 429 is none of its business
            with pytest.raises(error):
                await rpc.network()
    await control(yard, "faults", method="getNetwork", action="delay", seconds=0.5)
    async with StellarRpc(yard.devnet.url, timeout=0.05) as impatient:
        with pytest.raises(RpcTimeoutError):
            await impatient.network()
    assert (await yard.rpc.network()).passphrase == yard.identity.passphrase


async def test_the_follower_misses_nothing_over_faults_and_lag(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1)
    start = (await yard.rpc.latest_ledger()).sequence
    observed: list[tuple[bool, int]] = []

    async def sleep(_: float) -> None:
        observed.append((follower.healthy, follower.lag))
        await control(yard, "lag", ledgers=0)

    follower = LedgerFollower(yard.rpc, poll_seconds=0.01, sleep=sleep)
    updates = follower.updates(start)
    index = await yard.next_block()
    plant = await yard.plant(farmer, 0, index)
    await yard.land(plant)
    for method in ("getHealth", "getTransactions"):
        await control(yard, "faults", action="drop", method=method)
    first = await anext(updates)
    assert observed == [(False, 0), (False, 0)]
    assert follower.healthy
    assert plant.hash in first.transactions

    await control(yard, "lag", ledgers=7)
    await yard.devnet.advance(1)
    second = await anext(updates)
    assert observed[2:] == [(False, 6)]
    assert (second.first, second.last.sequence) == (first.last.sequence + 1, first.last.sequence + 1)
    await updates.aclose()


async def test_a_paused_farm_refuses_plants_and_takes_work(farmyard: Farmyard) -> None:
    yard = farmyard
    early, late = await yard.onboard(2)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    await yard.land(await yard.plant(early, 0, index))
    await control(yard, "farm", paused=True)
    await yard.devnet.advance(1)
    assert (await yard.reader.farm()).paused
    found = await yard.search(early.address, index, 1)
    refused, worked = await yard.land(
        await yard.plant(late, 0, index), await yard.work(channel, early.address, index, found)
    )
    error = farm_error(yard, refused)
    assert (error.code, error.retry) == (FarmErrorCode.FARM_PAUSED, Retry.NEXT_BLOCK)
    assert worked.successful
    await control(yard, "farm", paused=False)
    await yard.devnet.advance(1)
    assert not (await yard.reader.farm()).paused


async def test_a_negative_stake_is_the_farms_error(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1)
    (landed,) = await yard.land(await yard.plant(farmer, -1, await yard.next_block()))
    assert farm_error(yard, landed).code == FarmErrorCode.PLANT_AMOUNT_TOO_LOW


async def test_expired_entries_are_gone_and_the_next_plant_opens_the_block_foretold(farmyard: Farmyard) -> None:
    yard = farmyard
    farmer, other = await yard.onboard(2)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    await yard.land(await yard.plant(farmer, 0, index))
    found = await yard.search(farmer.address, index, 1)
    await control(yard, "expire", farmer=farmer.address, block_index=index)
    assert await yard.reader.pails([(farmer.address, index)]) == {}
    (lost,) = await yard.land(await yard.work(channel, farmer.address, index, found))
    assert farm_error(yard, lost).code == FarmErrorCode.PAIL_MISSING

    await control(yard, "expire", block_index=index)
    farm, block = await yard.reader.farm_and_block(index)
    assert block is None
    latest = await yard.rpc.latest_ledger()
    foretold = farm.planted_index(latest.close_time, block_exists=False)
    assert foretold == index + 1
    opening = yard.calls.plant(
        farmer=other.address,
        stake=0,
        block_index=foretold,
        sequence=await yard.next_sequence(other.address),
        bounds=await yard.bounds(),
        after_missing=True,
    ).signed_by(other)
    (opened,) = await yard.land(fee_bump(opening, yard.master))
    assert opened.successful
    assert (await yard.reader.farm()).index == foretold
