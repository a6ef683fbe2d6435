"""Extending the lives of a block and its pails, applied by the real contract engine."""

import pytest

from kale_chain.model import MAX_EXTENDED
from kale_chain.tx import Bounds, Signer, Transaction, fee_bump
from tests.fixtures.farmyard import Farmyard, addresses

LEDGERS = 17_280


async def extension(yard: Farmyard, channel: Signer, index: int, farmers: list[str]) -> Transaction:
    """An extension, signed and paid for."""
    call = yard.calls.extension(
        source=channel.address,
        block_index=index,
        farmers=farmers,
        ledgers=LEDGERS,
        sequence=await yard.next_sequence(channel.address),
        bounds=await yard.bounds(),
    )
    return fee_bump(call.signed_by(channel), yard.master)


async def test_block_and_pails_live_on_whoever_pays(farmyard: Farmyard) -> None:
    yard = farmyard
    farmers = addresses(await yard.onboard(MAX_EXTENDED - 1))
    (stranger,) = await yard.channels(1)
    planters = await yard.onboard(2)
    index = await yard.next_block()
    await yard.land(*[await yard.plant(farmer, 0, index) for farmer in planters])
    _, before = await yard.reader.dated_blocks([index, index + 1])
    assert list(before) == [index]
    assert before[index].block == await yard.reader.block(index)

    missing = farmers[: MAX_EXTENDED - 2]  # pails that are not there are passed over
    (landed,) = await yard.land(await extension(yard, stranger, index, [*addresses(planters), *missing]))
    assert landed.successful
    _, after = await yard.reader.dated_blocks([index])
    assert after[index].live_until == landed.ledger + LEDGERS > before[index].live_until
    pails = await yard.reader.pails([(farmer, index) for farmer in addresses(planters)])
    assert {entry.live_until for entry in pails.values()} == {landed.ledger + LEDGERS}


async def test_most_pails_of_one_extension_fit_its_fee(farmyard: Farmyard) -> None:
    yard = farmyard
    farmers = await yard.onboard(MAX_EXTENDED // 2) + await yard.onboard(MAX_EXTENDED // 2)
    (channel,) = await yard.channels(1)
    index = await yard.next_block()
    await yard.land(*[await yard.plant(farmer, 0, index) for farmer in farmers])
    built = await extension(yard, channel, index, addresses(farmers))
    (landed,) = await yard.land(built)
    assert landed.successful
    pails = await yard.reader.pails([(farmer.address, index) for farmer in farmers])
    assert {entry.live_until for entry in pails.values()} == {landed.ledger + LEDGERS}


@pytest.mark.parametrize("count", [0, MAX_EXTENDED + 1])
async def test_too_few_or_too_many_pails_are_refused(farmyard: Farmyard, count: int) -> None:
    with pytest.raises(ValueError, match="extends 1 to"):
        farmyard.calls.extension(
            source=farmyard.master.address,
            block_index=1,
            farmers=[farmyard.master.address] * count,
            ledgers=LEDGERS,
            sequence=1,
            bounds=Bounds(max_ledger=9),
        )
