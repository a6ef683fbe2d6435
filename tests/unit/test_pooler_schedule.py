"""When a pooler does what, held against the farm's own rules."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kale_chain.farm_model import FarmModel
from kale_chain.model import Block, Farm, Ledger
from pooler.domain.nonce_range import nonce_start
from pooler.domain.schedule import BlockPlan, Stage, plant_target, target_zeros

FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
START = 1_000_000


def farm_of(model: FarmModel) -> Farm:
    return Farm(model.index, model.farm_block, paused=model.paused, ledger=1, live_until=10)


def block(*, min_zeros: int, max_zeros: int) -> Block:
    return replace(Block.unseen(0).opened_at(0), min_zeros=min_zeros, max_zeros=max_zeros)


@given(
    pauses=st.lists(st.integers(0, 700), max_size=6),
    wait=st.integers(0, 700),
    evicted=st.booleans(),
)
def test_plants_are_asked_for_in_the_very_block_the_farm_would_put_them_in(
    pauses: list[int], wait: int, *, evicted: bool
) -> None:
    model, now = FarmModel(START, {}), START
    for number, pause in enumerate(pauses):
        now += pause
        model.plant(f"neighbour {number}", 0, Ledger(number + 1, now))
    if evicted:
        model.remove_block(model.index)
    now += wait
    target = plant_target(farm_of(model), open_block=model.index in model.blocks, ledger_time=now)
    age = now - model.farm_block.timestamp
    if target is None:
        assert 220 <= age < 300
        return
    model.plant(FARMER, 0, Ledger(100, now))
    assert (FARMER, target) in model.pails


def test_a_paused_farm_is_not_asked_for_plants() -> None:
    farm = replace(farm_of(FarmModel(START, {})), paused=True)
    assert plant_target(farm, open_block=True, ledger_time=START + 1_000) is None


@pytest.mark.parametrize(
    ("seconds", "stage"),
    [
        (0, Stage.SEARCHING),
        (219, Stage.SEARCHING),
        (220, Stage.INSURING),
        (279, Stage.INSURING),
        (280, Stage.FINAL),
        (900, Stage.FINAL),
    ],
)
def test_stages_follow_the_ledgers_time(seconds: int, stage: Stage) -> None:
    model = FarmModel(START, {})
    model.plant("neighbour", 0, Ledger(5, START + 40))
    plan = BlockPlan.of(farm_of(model), model.blocks[0])
    # The end counts from the instance's record, also in the first block, which opened 40 s later.
    assert plan.stage(START + seconds) is stage


@pytest.mark.parametrize(
    ("least", "most", "target"), [(0, 0, 64), (6, 7, 64), (7, 7, 64), (5, 7, 7), (0, 9, 9), (3, 8, 8)]
)
def test_the_target_is_the_blocks_maximum_unless_the_range_is_young(least: int, most: int, target: int) -> None:
    assert target_zeros(block(min_zeros=least, max_zeros=most)) == target


@given(runs=st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=2, unique=True), index=st.integers(0))
def test_every_run_starts_elsewhere(runs: list[bytes], index: int) -> None:
    first, second = (nonce_start(run, index, FARMER) for run in runs)
    assert first != second
    assert 0 <= first < 2**63
    assert first % 2**32 == 0
    assert nonce_start(runs[0], index, FARMER) == first
