"""Reading and identifying a real local ledger, and following it."""

import asyncio

import pytest
from stellar_sdk import StrKey

from kale_chain.errors import (
    FarmMissingError,
    InvalidContractIdError,
    LedgerRangeError,
    TokenAsFarmError,
    WrongNetworkError,
)
from kale_chain.follower import LedgerFollower
from kale_chain.identify import MAINNET_PASSPHRASE, identify
from kale_chain.model import STROOPS_PER_KALE, Block
from kale_chain.rpc import SubmissionStatus
from kale_chain.tx import Bounds, Signer, fee_bump
from tests.fixtures.farmyard import Farmyard, addresses


async def test_the_farm_is_known_by_what_the_ledger_says_of_it(farmyard: Farmyard) -> None:
    scenario, identity = farmyard.devnet.scenario, farmyard.identity
    assert (identity.farm_id, identity.token_id) == (scenario.farm_id, scenario.token_id)
    assert (identity.asset_code, identity.asset_issuer) == (scenario.asset.code, scenario.asset.issuer)
    assert identity.passphrase == scenario.passphrase
    assert len(identity.wasm_hash) == 32


async def test_a_token_given_as_the_farm_is_told_so(farmyard: Farmyard) -> None:
    scenario = farmyard.devnet.scenario
    with pytest.raises(TokenAsFarmError) as caught:
        await identify(farmyard.rpc, farm_id=scenario.token_id, passphrase=scenario.passphrase)
    asset = f"KALE:{scenario.asset.issuer}"
    assert f"{scenario.token_id} is the token contract of {asset}, not a farm" in str(caught.value)
    assert "set KALE_CONTRACT_ID to" in str(caught.value)
    assert caught.value.asset == asset


async def test_other_wrong_configurations_are_told_apart(farmyard: Farmyard) -> None:
    rpc, scenario = farmyard.rpc, farmyard.devnet.scenario
    with pytest.raises(WrongNetworkError) as caught:
        await identify(rpc, farm_id=scenario.farm_id, passphrase=MAINNET_PASSPHRASE)
    assert scenario.passphrase in str(caught.value)
    assert MAINNET_PASSPHRASE in str(caught.value)
    nothing = StrKey.encode_contract(bytes(32))
    with pytest.raises(FarmMissingError, match=f"no contract {nothing}"):
        await identify(rpc, farm_id=nothing, passphrase=scenario.passphrase)
    with pytest.raises(InvalidContractIdError):
        await identify(rpc, farm_id=scenario.farm_id[:-1], passphrase=scenario.passphrase)


async def test_farm_block_and_farmers_are_read_in_one_look_each(farmyard: Farmyard) -> None:
    yard = farmyard
    index = await yard.next_block()
    farm, block = await yard.reader.farm_and_block(index)
    latest = await yard.rpc.latest_ledger()
    assert block is None
    assert (farm.paused, farm.ledger) == (False, latest.sequence)
    assert farm.live_until > farm.ledger
    assert farm.block.ends_at <= latest.close_time
    assert (await yard.reader.farm_and_block(None)) == (farm, None)
    assert not farm.extension_due
    assert await yard.reader.fee_floor(farm) == 0
    stranger = Signer.generate().address
    assert await yard.reader.accounts([stranger]) == {}
    assert await yard.reader.balances([stranger]) == {}
    assert await yard.reader.pails([]) == {}


async def test_a_block_is_what_the_farm_saw_in_the_one_before(farmyard: Farmyard) -> None:
    yard = farmyard
    farmers = await yard.onboard(2, kale_stroops=5 * STROOPS_PER_KALE)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    await yard.land(*[await yard.plant(one, stake, index) for one, stake in zip(farmers, (10, 30), strict=True)])
    await yard.devnet.advance(6)
    nonce, digest = await yard.search(farmers[0].address, index, 1)
    await yard.land(await yard.work(channel, farmers[0].address, index, (nonce, digest)))
    seen = (await yard.reader.farm()).block
    assert (seen.min_gap, seen.max_gap, seen.min_stake, seen.max_stake) == (7, 7, 10, 30)
    following = await yard.next_block()
    (opened,) = await yard.land(await yard.plant(farmers[0], 0, following))
    farm, block = await yard.reader.farm_and_block(following)
    assert block == seen.opened_at(opened.close_time)
    assert block is not None
    assert (block.min_zeros, block.max_zeros, block.entropy) == (1, 1, digest)
    reset = Block.unseen(opened.close_time)
    assert (farm.block.timestamp, farm.block.min_gap, farm.block.entropy) == (
        reset.timestamp,
        reset.min_gap,
        reset.entropy,
    )
    assert (farm.block.min_stake, farm.block.max_stake) == (0, 0)


async def test_sending_again_does_no_harm_and_a_bad_sequence_is_told(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1)
    index = await yard.next_block()
    plant = await yard.plant(farmer, 0, index)
    await yard.send(plant)
    assert (await yard.rpc.send(plant.envelope)).status == SubmissionStatus.DUPLICATE
    rival = fee_bump(
        yard.calls.plant(
            farmer=farmer.address, stake=0, block_index=index, sequence=plant.sequence + 1, bounds=await yard.bounds()
        ).signed_by(farmer),
        yard.master,
    )
    assert (await yard.rpc.send(rival.envelope)).status == SubmissionStatus.TRY_AGAIN_LATER
    await yard.devnet.advance(1)
    landed = await yard.rpc.transaction(plant.hash)
    assert landed is not None
    assert landed.successful
    assert (await yard.rpc.send(plant.envelope)).status == SubmissionStatus.DUPLICATE
    stale = fee_bump(
        yard.calls.plant(
            farmer=farmer.address, stake=0, block_index=index, sequence=plant.sequence, bounds=await yard.bounds()
        ).signed_by(farmer),
        yard.master,
        inclusion_fee=300,
    )
    submission = await yard.rpc.send(stale.envelope)
    assert (submission.status, submission.code) == (SubmissionStatus.ERROR, "txBAD_SEQ")


async def test_a_transaction_past_its_last_ledger_is_refused(farmyard: Farmyard) -> None:
    yard = farmyard
    (channel,) = await yard.channels(1)
    latest = await yard.rpc.latest_ledger()
    payment = yard.classic.payment(
        source=yard.master.address,
        destination=channel.address,
        stroops=1,
        native=True,
        sequence=await yard.next_sequence(yard.master.address),
        bounds=Bounds(max_ledger=latest.sequence + 1),
    ).signed_by(yard.master)
    submission = await yard.rpc.send(payment.envelope)
    assert (submission.status, submission.code) == (SubmissionStatus.ERROR, "txTOO_LATE")


async def test_a_payment_carries_its_memo(farmyard: Farmyard) -> None:
    yard = farmyard
    (farmer,) = await yard.onboard(1)
    payment = yard.classic.payment(
        source=yard.faucet.address,
        destination=farmer.address,
        stroops=123,
        memo_hash=b"\7" * 32,
        sequence=await yard.next_sequence(yard.faucet.address),
        bounds=await yard.bounds(),
    ).signed_by(yard.faucet)
    (landed,) = await yard.land(payment)
    assert landed.result_code == "txSUCCESS"
    assert landed.envelope_xdr == payment.envelope
    assert await yard.reader.balances([farmer.address]) == {farmer.address: 123}


async def test_a_classic_failure_tells_the_operations_code(farmyard: Farmyard) -> None:
    yard = farmyard
    (channel,) = await yard.channels(1)
    again = yard.classic.create_accounts(
        source=yard.master.address,
        accounts=[(channel.address, 10_000_000)],
        sequence=await yard.next_sequence(yard.master.address),
        bounds=await yard.bounds(),
    ).signed_by(yard.master)
    (landed,) = await yard.land(again)
    assert (landed.successful, landed.result_code, landed.operation_code) == (False, "txFAILED", "already_exist")
    assert landed.contract_failure is None


async def test_the_follower_tells_every_ledger_once_with_its_transactions(farmyard: Farmyard) -> None:
    yard = farmyard
    start = (await yard.rpc.latest_ledger()).sequence
    follower = LedgerFollower(yard.rpc, poll_seconds=0.01)
    updates = follower.updates(start)
    farmers = await yard.onboard(3)
    index = await yard.next_block()
    plants = [await yard.plant(farmer, 0, index) for farmer in farmers]
    landed = await yard.land(*plants)
    await yard.devnet.advance(3)
    end = (await yard.rpc.latest_ledger()).sequence
    covered: list[int] = []
    found: dict[str, int] = {}
    while not covered or covered[-1] < end:
        update = await anext(updates)
        covered += range(update.first, update.last.sequence + 1)
        found |= {name: one.ledger for name, one in update.transactions.items()}
    assert covered == list(range(start + 1, end + 1))
    assert {plant.hash: one.ledger for plant, one in zip(plants, landed, strict=True)}.items() <= found.items()
    assert follower.healthy

    waiting = asyncio.ensure_future(anext(updates))
    await yard.devnet.advance(1)
    update = await waiting
    assert (update.first, update.last.sequence, update.transactions) == (end + 1, end + 1, {})
    await updates.aclose()


async def test_more_transactions_than_a_page_holds_are_all_read(farmyard: Farmyard) -> None:
    yard = farmyard
    start = (await yard.rpc.latest_ledger()).sequence + 1
    sources = [channel for _ in range(3) for channel in await yard.channels(80, xlm_stroops=20_000_000)]
    sequences = await yard.reader.accounts(addresses(sources))
    bounds = await yard.bounds()
    sent = [
        yard.classic.payment(
            source=source.address,
            destination=yard.master.address,
            stroops=1,
            native=True,
            sequence=sequences[source.address].sequence + 1,
            bounds=bounds,
        ).signed_by(source)
        for source in sources
    ]
    for payment in sent:
        await yard.send(payment)
    await yard.devnet.advance(1)
    latest = await yard.rpc.latest_ledger()
    found = await yard.rpc.transactions(start, latest.sequence)
    assert {payment.hash for payment in sent} <= {one.hash for one in found}
    assert len(found) == len({one.hash for one in found})
    assert [one.ledger for one in found] == sorted(one.ledger for one in found)


async def test_ledgers_not_closed_yet_are_a_range_error(farmyard: Farmyard) -> None:
    latest = (await farmyard.rpc.latest_ledger()).sequence
    for start in (latest, latest + 1):
        with pytest.raises(LedgerRangeError) as caught:
            await farmyard.rpc.transactions(start, latest + 1)
        assert caught.value.latest == latest
