"""`kale-pool shadow` on the real ledger: what it says of a block against what the harvests really pay."""

import pytest

from kale_chain.model import STROOPS_PER_KALE
from kale_chain.rewards import base_reward
from kale_console.shadow import BlockReport, Shadow, Terms
from tests.fixtures.farmyard import Farmyard

KALE = STROOPS_PER_KALE


def terms(*farmers: str) -> Terms:
    """A pool of these farmers, or else of two imagined ones."""
    return Terms(farmers, imagined=2, stake_basis_points=1_000, imagined_stake=5 * KALE, hashes_per_second=1_000_000)


async def follow(yard: Farmyard, shadow: Shadow, ledgers: int) -> list[BlockReport]:
    """Closes ledgers, each seen by the shadow; what it reports."""
    found = []
    for _ in range(ledgers):
        await yard.devnet.advance(1)
        report = await shadow.look(await yard.rpc.latest_ledger())
        found += [] if report is None else [report]
    return found


async def test_a_block_is_reported_as_the_harvests_pay_it(farmyard: Farmyard) -> None:
    early, late, never, stranger = await farmyard.onboard(4, kale_stroops=50 * KALE)
    (channel,) = await farmyard.channels(1)
    shadow = Shadow(farmyard.reader, terms(early.address, late.address, never.address))
    await shadow.look(await farmyard.rpc.latest_ledger())
    index = await farmyard.next_block()
    for farmer, stake in ((early, 2 * KALE), (late, 0), (never, KALE), (stranger, 0)):
        await farmyard.send(await farmyard.plant(farmer, stake, index))
    assert await follow(farmyard, shadow, 10) == []
    assert not shadow.waiting
    for farmer, ledgers in ((early, 20), (stranger, 10), (late, 18)):
        found = await farmyard.search(farmer.address, index, 2)
        await farmyard.send(await farmyard.work(channel, farmer.address, index, found))
        assert await follow(farmyard, shadow, ledgers) == []
    after = await farmyard.next_block()
    await farmyard.send(await farmyard.plant(channel, 0, after))
    (report,) = await follow(farmyard, shadow, 1)
    assert (report.index, report.planted, report.worked) == (index, 3, 2)
    paid = 0
    for farmer in (early, late):
        (harvested,) = await farmyard.land(await farmyard.harvest(channel, farmer.address, index))
        assert isinstance(harvested.return_value, int)
        paid += harvested.return_value
    assert report.earned == paid - KALE, "what was paid, less the stake that was lost"
    # In a first block every work scores the same: two of three get two thirds, three of four would get more.
    assert report.earned == pytest.approx((base_reward(index) + KALE) * 2 / 3 - KALE, abs=3)
    assert report.policy == report.best == pytest.approx(base_reward(index) * 3 / 4, abs=3)
    left = report.left
    assert (left.gap, left.zeros, left.stake) == (0, 0, 0)
    assert left.unworked == pytest.approx(report.best - report.earned, abs=3)


async def test_the_block_that_runs_at_the_start_is_not_reported(farmyard: Farmyard) -> None:
    (farmer,) = await farmyard.onboard(1)
    index = await farmyard.next_block()
    await farmyard.land(await farmyard.plant(farmer, 0, index))
    shadow = Shadow(farmyard.reader, terms())
    assert await follow(farmyard, shadow, 3) == []
    assert shadow.waiting
    after = await farmyard.next_block()
    await farmyard.send(await farmyard.plant(farmer, 0, after))
    assert await follow(farmyard, shadow, 1) == []
    assert not shadow.waiting
