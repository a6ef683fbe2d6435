"""Whom the backend plants with what stake, on farms of every kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, cast
from uuid import uuid4

import pytest

from backend.domain.farmer import FarmerKey
from backend.domain.plant import FarmView
from backend.domain.staking import Economy, StakePolicy
from backend.ports.chain import ChainReader, PailKey
from backend.ports.stores import Candidate
from backend.services.following import FarmWatch
from backend.services.learning import UNMEASURED_FEES, Learning
from backend.services.staking import Staking
from backend.services.tally import Planned, Tally
from kale_chain.clock import Pace
from kale_chain.model import STROOPS_PER_KALE, Block, Farm, Ledger, Pail, PailEntry
from kale_chain.planning.inputs import Fees, LossHistory
from kale_chain.planning.plants import Reason
from kale_chain.rewards import base_reward

START = 1_000_000
KALE = STROOPS_PER_KALE
NOTHING = LossHistory()
STEADY = Pace(5, 0, 5, 5)
RANGES = replace(
    Block.unseen(START).opened_at(START), max_gap=58, max_zeros=9, min_zeros=5, max_stake=5 * KALE, normalized_total=0
)


@dataclass
class FakeReader:
    """A ledger with these blocks and pails."""

    blocks: dict[int, Block] = field(default_factory=dict)
    entries: dict[PailKey, Pail] = field(default_factory=dict)

    async def block(self, index: int) -> Block | None:
        return self.blocks.get(index)

    async def pails(self, keys: Sequence[PailKey]) -> tuple[int, Mapping[PailKey, PailEntry]]:
        return 500, {key: PailEntry(self.entries[key], 900) for key in keys if key in self.entries}


@dataclass
class FakeWatch:
    """A farm in block 7, which is `age` seconds old."""

    age: int
    block: Block = RANGES
    seen: Block = RANGES
    pace: Pace = STEADY

    @property
    def view(self) -> FarmView:
        farm = Farm(7, replace(self.seen, timestamp=START), paused=False, ledger=500, live_until=10_000)
        return FarmView(farm, Ledger(500, START + self.age), self.block)


@dataclass
class FakeLearning:
    """What is known of losses, fees and the poolers' hash rate."""

    losses: LossHistory = NOTHING
    fees: Fees = UNMEASURED_FEES
    hashes_per_second: int = 10_000_000

    async def history(self, block_index: int) -> tuple[LossHistory, Fees]:
        assert block_index in {7, 8}
        return self.losses, self.fees


async def stakes(
    watch: FakeWatch,
    economy: Economy,
    asked: Sequence[int],
    *,
    block: int = 8,
    reader: FakeReader | None = None,
    learning: FakeLearning | None = None,
    tally: Tally | None = None,
) -> list[int | None]:
    """What is staked for farmers who ask for these stakes of a balance of 100 KALE; None: not planted."""
    candidates = [
        Candidate(FarmerKey(uuid4(), f"G{number}", bytes(32), b"", 1), 0, fixed_stake_stroops=stroops)
        for number, stroops in enumerate(asked)
    ]
    ledger, tally = cast("ChainReader", reader or FakeReader()), tally or Tally()
    staking = Staking(
        ledger, cast("FarmWatch", watch), economy, cast("Learning", learning or FakeLearning()), tally.plan
    )
    balances = {one.key.address: 100 * KALE for one in candidates}
    found: Mapping[str, Any] = await staking.stakes(block, candidates, balances)
    return [found.get(one.key.address) for one in candidates]


@pytest.mark.parametrize(("block", "age"), [(8, 295), (7, 20)])
async def test_stakes_never_exceed_what_is_asked_nor_what_earns(block: int, age: int) -> None:
    rivals = replace(RANGES, normalized_total=300 * 5 * KALE)
    watch = FakeWatch(age, block=rivals)
    found = await stakes(watch, Economy(), [3 * KALE, 50 * KALE, 0], block=block, reader=FakeReader({6: rivals}))
    assert found == [3 * KALE, 5 * KALE, 0]


async def test_nothing_is_staked_where_pails_are_lost_too_often() -> None:
    rivals = replace(RANGES, normalized_total=300 * 5 * KALE)
    watch, reader = FakeWatch(20, block=rivals), FakeReader({6: rivals})
    for lost, staked in ((0, 3 * KALE), (4_900, 0)):
        learning = FakeLearning(LossHistory(5_000, lost))
        assert await stakes(watch, Economy(), [3 * KALE], block=7, reader=reader, learning=learning) == [staked]


async def test_on_a_farm_where_nobody_stakes_a_stake_earns_nothing() -> None:
    nobody = replace(RANGES, max_stake=0)
    assert await stakes(FakeWatch(295, seen=nobody), Economy(), [3 * KALE]) == [0]
    asked = Economy(StakePolicy.ASKED)
    assert await stakes(FakeWatch(295, seen=nobody), asked, [3 * KALE]) == [3 * KALE]


async def test_farmers_who_would_not_pay_for_their_fees_are_not_planted() -> None:
    crowd = replace(RANGES, normalized_total=10_000_000 * 5 * KALE)
    watch = FakeWatch(295, block=crowd)
    assert await stakes(watch, Economy(floor_price=Fraction(1, 1000)), [0, 0]) == [None, None]
    assert await stakes(watch, Economy(floor_price=Fraction(1_000_000)), [0, 0]) == [0, 0]
    assert await stakes(watch, Economy(), [0, 0]) == [0, 0]


async def test_nobody_is_planted_where_no_time_is_left_to_insure() -> None:
    assert await stakes(FakeWatch(230), Economy(), [0], block=7) == [None]


async def test_our_own_score_is_no_rival() -> None:
    """At this price a farmer pays if the pool shares the block with nobody, and not if it shared it with itself."""
    whole = replace(RANGES, normalized_total=3 * 5 * KALE)
    economy = Economy(floor_price=Fraction(80_000, base_reward(8)))
    ours = {("G0", 7): Pail(1, 58, 5 * KALE, 9)}
    watch = FakeWatch(295, block=whole)
    assert await stakes(watch, economy, [0], reader=FakeReader(entries=ours)) == [0]
    assert await stakes(watch, economy, [0]) == [None]


async def test_one_is_planted_to_open_the_block_that_lets_stakes_be_harvested() -> None:
    crowd = replace(RANGES, normalized_total=10_000_000 * 5 * KALE)
    watch, economy = FakeWatch(295, block=crowd), Economy(floor_price=Fraction(1, 1000))
    staked = FakeReader(entries={("G1", 7): Pail(1, 58, KALE, 9)})
    found = await stakes(watch, economy, [3 * KALE, 0], reader=staked)
    assert sorted(found, key=str) == [0, None]
    # That one's own pail is not worth another plant.
    alone = FakeReader(entries={("G1", 7): Pail(1, 58, 0, 9)})
    assert await stakes(watch, economy, [3 * KALE, 0], reader=alone) == [None, None]


async def test_farmers_are_left_out_at_what_transactions_really_cost() -> None:
    """A price at which a farmer pays for the usual fees, but not for ten times as much."""
    crowd = replace(RANGES, normalized_total=1_000 * 5 * KALE)
    watch, reader = FakeWatch(295, block=crowd), FakeReader({7: crowd})
    economy = Economy(floor_price=Fraction(1, 100))
    assert await stakes(watch, economy, [0], reader=reader) == [0]
    surge = FakeLearning(fees=Fees(plant=190_000_000, work=140_000_000, harvest=120_000_000))
    assert await stakes(watch, economy, [0], reader=reader, learning=surge) == [None]


async def test_more_farmers_pay_where_poolers_search_faster() -> None:
    """Zeros found for nobody earn nothing, so that a farmer is worth less."""
    crowd = replace(RANGES, normalized_total=1_000 * 5 * KALE, min_gap=57)
    watch, reader = FakeWatch(295, block=crowd, seen=crowd), FakeReader({7: crowd})

    async def planted(hashes_per_second: int) -> int:
        learning = FakeLearning(fees=Fees(plant=35_000_000), hashes_per_second=hashes_per_second)
        found = await stakes(watch, Economy(floor_price=Fraction(1)), [0] * 20, reader=reader, learning=learning)
        return len(found) - found.count(None)

    assert await planted(1_000) < await planted(1_000_000_000)


async def test_plan_is_told_with_those_it_leaves_out() -> None:
    crowd = replace(RANGES, normalized_total=10_000_000 * 5 * KALE)
    tally, staked = Tally(), FakeReader(entries={("G1", 7): Pail(1, 58, KALE, 9)})
    economy = Economy(floor_price=Fraction(1, 1000))
    await stakes(FakeWatch(295, block=crowd), economy, [3 * KALE, 0], reader=staked, tally=tally)
    assert tally.planned == Planned(8, 0, {Reason.FEES: 2}), "who only opens the block is left out as well"
    await stakes(FakeWatch(295), Economy(), [0], tally=tally)
    assert tally.planned == Planned(8, 1, {}), "those left out of a block are planned for again"
