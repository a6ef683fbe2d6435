"""Plant, work and harvest with footprints built by hand, applied by the real contract engine."""

from dataclasses import replace

import pytest

from kale_chain.errors import FarmError, FarmErrorCode, TokenError, TokenErrorCode
from kale_chain.model import STROOPS_PER_KALE, Pail, Resources
from kale_chain.rewards import base_reward, reward
from kale_chain.rpc import LedgerTransaction, SubmissionStatus
from kale_chain.tx import HARVEST, MIN_FEE, PLANT, PLANT_WITHOUT_STAKE, WORK, fee_bump
from tests.fixtures.farmyard import Farmyard, addresses

STAKE = 3 * STROOPS_PER_KALE
DEPOSIT = 10 * STROOPS_PER_KALE


def refusal(yard: Farmyard, landed: LedgerTransaction) -> tuple[type, int]:
    assert (landed.result_code, landed.operation_code) == ("txFAILED", "trapped")
    error = landed.contract_error(yard.identity)
    assert error is not None
    return type(error), error.code


async def test_a_stake_comes_back_with_its_reward(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1, kale_stroops=DEPOSIT)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()

    (planted,) = await yard.land(await yard.plant(farmer, STAKE, index))
    assert planted.successful
    assert planted.return_value is None
    farm, block = await yard.reader.farm_and_block(index)
    assert farm.index == index
    assert block is not None
    assert (block.timestamp, block.staked_total) == (planted.close_time, STAKE)
    assert await yard.reader.balances([farmer.address]) == {farmer.address: DEPOSIT - STAKE}
    pails = await yard.reader.pails([(farmer.address, index), (farmer.address, index + 1), (channel.address, index)])
    assert list(pails) == [(farmer.address, index)]
    entry = pails[farmer.address, index]
    assert entry.pail == Pail(sequence=planted.ledger, gap=None, stake=STAKE, zeros=None)
    assert entry.live_until > planted.ledger

    await yard.devnet.advance(4)
    (worked,) = await yard.land(
        await yard.work(channel, farmer.address, index, await yard.search(farmer.address, index, 2))
    )
    assert worked.return_value == worked.ledger - planted.ledger == 5
    pail = (await yard.reader.pails([(farmer.address, index)]))[farmer.address, index].pail
    assert pail == Pail(sequence=planted.ledger, gap=5, stake=STAKE, zeros=2)

    following = await yard.next_block()
    (opened,) = await yard.land(await yard.plant(farmer, 0, following))
    assert opened.successful
    block = await yard.reader.block(index)
    assert block is not None
    (harvested,) = await yard.land(await yard.harvest(channel, farmer.address, index))
    assert harvested.return_value == reward(block, index, pail) == base_reward(index)
    balances = await yard.reader.balances([farmer.address])
    assert balances == {farmer.address: DEPOSIT + base_reward(index)}
    assert await yard.reader.pails([(farmer.address, index)]) == {}


async def test_farmers_plant_together_and_none_spends_xlm_of_its_own(farmyard: Farmyard) -> None:
    yard = farmyard
    farmers = await yard.onboard(10, kale_stroops=DEPOSIT)
    index = await yard.next_block()
    plants = [await yard.plant(farmer, STAKE, index) for farmer in farmers]
    before = (await yard.reader.accounts([yard.master.address]))[yard.master.address].balance_stroops
    landed = await yard.land(*plants)
    assert {one.ledger for one in landed} == {landed[0].ledger}
    assert all(one.successful and one.fee_bump for one in landed)
    for plant, one in zip(plants, landed, strict=True):
        assert one.fee_charged < plant.fee
    accounts = await yard.reader.accounts([yard.master.address, *addresses(farmers)])
    assert before - accounts[yard.master.address].balance_stroops == sum(one.fee_charged for one in landed)
    assert all(accounts[farmer.address].balance_stroops == 0 for farmer in farmers)


async def test_an_inner_transaction_cannot_be_sent_bare(farmyard: Farmyard) -> None:
    yard = farmyard
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    bare = yard.calls.harvest(
        source=channel.address,
        farmer=yard.faucet.address,
        block_index=index,
        sequence=await yard.next_sequence(channel.address),
        bounds=await yard.bounds(),
    ).signed_by(channel)
    submission = await yard.rpc.send(bare.envelope)
    assert submission.status == SubmissionStatus.ERROR
    assert submission.code in {"txINSUFFICIENT_FEE", "txSOROBAN_INVALID"}
    # Inside a fee bump the very same bytes are taken.
    await yard.send(fee_bump(bare, yard.master))


async def test_the_farms_refusals_are_told_by_name(farmyard: Farmyard) -> None:
    yard = farmyard
    farmer, idle = await yard.onboard(2, kale_stroops=DEPOSIT)
    first, second = await yard.channels(2)
    index = await yard.next_block()
    await yard.land(await yard.plant(farmer, STAKE, index), await yard.plant(idle, 0, index))
    good = await yard.search(farmer.address, index, 1)
    worse = await yard.search(farmer.address, index, 0)

    (again,) = await yard.land(await yard.plant(farmer, STAKE, index))
    assert refusal(yard, again) == (FarmError, FarmErrorCode.PAIL_EXISTS)
    (wrong,) = await yard.land(await yard.work(first, farmer.address, index, (good[0] + 1, good[1])))
    assert refusal(yard, wrong) == (FarmError, FarmErrorCode.HASH_INVALID)
    (nobody,) = await yard.land(await yard.work(first, first.address, index, good))
    assert refusal(yard, nobody) == (FarmError, FarmErrorCode.PAIL_MISSING)
    await yard.land(await yard.work(first, farmer.address, index, good))
    (less,) = await yard.land(await yard.work(first, farmer.address, index, worse))
    assert refusal(yard, less) == (FarmError, FarmErrorCode.ZERO_COUNT_TOO_LOW)
    (early,) = await yard.land(await yard.harvest(first, farmer.address, index))
    assert refusal(yard, early) == (FarmError, FarmErrorCode.HARVEST_NOT_READY)

    following = await yard.next_block()
    await yard.land(await yard.plant(farmer, 0, following))
    unworked, absent = await yard.land(
        await yard.harvest(first, idle.address, index), await yard.harvest(second, first.address, index)
    )
    assert refusal(yard, unworked) == (FarmError, FarmErrorCode.WORK_MISSING)
    assert refusal(yard, absent) == (FarmError, FarmErrorCode.PAIL_MISSING)
    (missing,) = await yard.land(await yard.harvest(first, farmer.address, following + 7))
    assert refusal(yard, missing) == (FarmError, FarmErrorCode.BLOCK_MISSING)


async def test_work_in_the_plants_own_ledger_is_too_early(farmyard: Farmyard) -> None:
    yard = farmyard
    opener, farmer = await yard.onboard(2)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    await yard.land(await yard.plant(opener, 0, index))
    found = await yard.search(farmer.address, index, 0)
    # The network shuffles a ledger's transactions: the work comes after the plant, or before it.
    _, worked = await yard.land(
        await yard.plant(farmer, 0, index), await yard.work(channel, farmer.address, index, found)
    )
    assert refusal(yard, worked) in {
        (FarmError, FarmErrorCode.GAP_COUNT_TOO_LOW),
        (FarmError, FarmErrorCode.PAIL_MISSING),
    }


async def test_the_tokens_refusal_is_not_taken_for_the_farms_of_the_same_number(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1, kale_stroops=DEPOSIT)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    (poor,) = await yard.land(await yard.plant(farmer, DEPOSIT + 1, index))
    assert refusal(yard, poor) == (TokenError, TokenErrorCode.BALANCE)
    assert TokenErrorCode.BALANCE == FarmErrorCode.WORK_MISSING
    (untrusting,) = await yard.land(await yard.plant(channel, 1, index))
    assert refusal(yard, untrusting) == (TokenError, TokenErrorCode.TRUSTLINE_MISSING)
    assert TokenErrorCode.TRUSTLINE_MISSING == FarmErrorCode.HASH_INVALID
    assert await yard.reader.balances(addresses([farmer, channel])) == {farmer.address: DEPOSIT}


@pytest.mark.parametrize("offset", [-1, 1])
async def test_a_plant_that_slips_into_another_block_does_nothing_there(farmyard: Farmyard, offset: int) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1, kale_stroops=DEPOSIT)
    index = await yard.next_block()
    if index + offset < 0:
        await yard.land(await yard.plant(farmer, 0, index))
        index = await yard.next_block()
    before = await yard.reader.farm()
    (slipped,) = await yard.land(await yard.plant(farmer, STAKE, index + offset))
    assert (slipped.result_code, slipped.operation_code) == ("txFAILED", "trapped")
    assert slipped.contract_failure is None
    after = await yard.reader.farm()
    assert (after.index, after.block) == (before.index, before.block)
    assert await yard.reader.balances([farmer.address]) == {farmer.address: DEPOSIT}


async def test_a_work_that_slips_into_the_next_block_does_nothing_there(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    await yard.land(await yard.plant(farmer, 0, index))
    found = await yard.search(farmer.address, index, 1)
    following = await yard.next_block()
    await yard.land(await yard.plant(farmer, 0, following))
    (slipped,) = await yard.land(await yard.work(channel, farmer.address, index, found))
    assert (slipped.successful, slipped.operation_code, slipped.contract_failure) == (False, "trapped", None)
    pails = await yard.reader.pails([(farmer.address, index), (farmer.address, following)])
    assert not any(entry.pail.worked for entry in pails.values())


async def test_a_stroop_too_little_for_the_rent_is_told_by_the_operations_code(farmyard: Farmyard) -> None:
    yard = farmyard
    opener, farmer, poor = await yard.onboard(3)
    index = await yard.next_block()
    await yard.land(await yard.plant(opener, 0, index))
    (enough,) = await yard.land(await yard.plant(farmer, 0, index))
    used = enough.fee_charged - 2 * MIN_FEE
    tight = yard.calls.plant(
        farmer=poor.address,
        stake=0,
        block_index=index,
        sequence=await yard.next_sequence(poor.address),
        bounds=await yard.bounds(),
        resources=replace(PLANT_WITHOUT_STAKE, resource_fee=used - 1),
    ).signed_by(poor)
    (landed,) = await yard.land(fee_bump(tight, yard.master))
    assert (landed.result_code, landed.operation_code) == ("txFAILED", "insufficient_refundable_fee")


async def test_the_table_of_resources_leaves_room_over_what_is_simulated(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1, kale_stroops=DEPOSIT)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    await yard.land(await yard.plant(farmer, 0, index))
    await yard.land(await yard.work(channel, farmer.address, index, await yard.search(farmer.address, index, 1)))
    await yard.next_block()

    async def check(transaction_envelope: str, table: Resources) -> None:
        simulated = (await yard.rpc.simulate(transaction_envelope)).resources
        assert simulated is not None
        for name in ("instructions", "disk_read_bytes", "write_bytes", "resource_fee"):
            assert getattr(simulated, name) <= getattr(table, name), name

    following = index + 1
    await check((await yard.inner_plant(farmer, STAKE, following)).envelope, PLANT)
    await check((await yard.inner_plant(farmer, 0, following)).envelope, PLANT_WITHOUT_STAKE)
    await yard.land(await yard.plant(farmer, STAKE, following))
    await yard.devnet.advance(1)
    found = await yard.search(farmer.address, following, 1)
    await check((await yard.inner_work(channel, farmer.address, following, found)).envelope, WORK)
    await check((await yard.inner_harvest(channel, farmer.address, index)).envelope, HARVEST)
