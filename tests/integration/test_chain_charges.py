"""What the ledger took for calls of the farm, against what they declared and what the accounts paid."""

from kale_chain.model import STROOPS_PER_KALE
from kale_chain.tx import HARVEST, PLANT, WORK
from kale_chain.xdr.envelopes import FarmCall, read_farm_call
from tests.fixtures.farmyard import Farmyard

INCLUSION = 200
"""Stroops: a fee bump of one operation counts as two."""


async def test_every_call_tells_its_charges_and_whom_it_was_for(farmyard: Farmyard) -> None:
    (farmer,) = await farmyard.onboard(1, kale_stroops=50 * STROOPS_PER_KALE)
    (channel,) = await farmyard.channels(1)
    index = await farmyard.next_block()
    (planted,) = await farmyard.land(await farmyard.plant(farmer, STROOPS_PER_KALE, index))
    found = await farmyard.search(farmer.address, index, 2)
    (worked,) = await farmyard.land(await farmyard.work(channel, farmer.address, index, found))
    after = await farmyard.next_block()
    await farmyard.land(await farmyard.plant(farmer, 0, after))
    (harvested,) = await farmyard.land(await farmyard.harvest(channel, farmer.address, index))
    for name, table, one in (("plant", PLANT, planted), ("work", WORK, worked), ("harvest", HARVEST, harvested)):
        assert read_farm_call(one.envelope_xdr, farmyard.identity.farm_id) == FarmCall(name, farmer.address, index)
        charges = one.charges
        assert charges is not None
        assert charges.declared == table
        assert 0 < charges.written_bytes <= table.write_bytes
        assert charges.resource_fee + INCLUSION == one.fee_charged
        assert 0 <= charges.rent <= charges.refundable
        assert charges.created == {"plant": 2, "work": 0, "harvest": 0}[name], "its pail, and the block it opens"
        assert charges.instructions is None, "the local ledger keeps no metrics"


async def test_a_payment_has_no_charges_and_is_no_call(farmyard: Farmyard) -> None:
    (farmer,) = await farmyard.onboard(1)
    paid = farmyard.classic.payment(
        source=farmyard.faucet.address,
        destination=farmer.address,
        stroops=1,
        sequence=await farmyard.next_sequence(farmyard.faucet.address),
        bounds=await farmyard.bounds(),
    )
    (landed,) = await farmyard.land(paid.signed_by(farmyard.faucet))
    assert landed.charges is None
    assert read_farm_call(landed.envelope_xdr, farmyard.identity.farm_id) is None
