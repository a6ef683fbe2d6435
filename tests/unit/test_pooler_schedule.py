"""When a pooler does what, held against the farm's own rules."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kale_chain.clock import UNKNOWN, Pace
from kale_chain.farm_model import FarmModel
from kale_chain.model import Farm, Ledger
from kale_chain.planning.works import Insurance, WorkPlan
from pooler.domain.nonce_range import RANGE_LENGTH, RUNS, nonce_start
from pooler.domain.schedule import BlockPlan, Stage, plant_target, stage

FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
START = 1_000_000
STEADY = Pace(5, 0, 5, 5)


def farm_of(model: FarmModel) -> Farm:
    return Farm(model.index, model.farm_block, paused=model.paused, ledger=1, live_until=10)


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
    target = plant_target(farm_of(model), open_block=model.index in model.blocks, ledger=Ledger(99, now), pace=STEADY)
    age = now - model.farm_block.timestamp
    if target is None:
        assert 220 <= age < 290
        return
    if 290 <= age < 300 and target > model.index:
        now = model.farm_block.ends_at
    model.plant(FARMER, 0, Ledger(100, now))
    assert (FARMER, target) in model.pails


def test_a_paused_farm_is_not_asked_for_plants() -> None:
    farm = replace(farm_of(FarmModel(START, {})), paused=True)
    assert plant_target(farm, open_block=True, ledger=Ledger(9, START + 1_000), pace=STEADY) is None


@pytest.mark.parametrize(
    ("pace", "age", "asked"),
    [
        (Pace(5, 0, 5, 5), 289, False),
        (Pace(5, 0, 5, 5), 290, True),
        (Pace(8, 0, 8, 8), 283, False),
        (Pace(8, 0, 8, 8), 284, True),
        (UNKNOWN, 290, True),
    ],
)
def test_the_next_block_is_asked_for_two_ledgers_before_it_can_open(pace: Pace, age: int, *, asked: bool) -> None:
    model = FarmModel(START, {})
    model.plant("neighbour", 0, Ledger(5, START))
    target = plant_target(farm_of(model), open_block=True, ledger=Ledger(50, START + age), pace=pace)
    assert target == (1 if asked else None)


def test_the_end_of_a_block_counts_from_the_instances_record() -> None:
    model = FarmModel(START, {})
    model.plant("neighbour", 0, Ledger(5, START + 40))  # the first block, which opened 40 s later
    assert BlockPlan.of(farm_of(model), model.blocks[0], 7) == BlockPlan(0, START + 300, bytes(32), 7)


@pytest.mark.parametrize(
    ("closed", "insured", "expected"),
    [
        (42, False, Stage.SEARCHING),
        (43, False, Stage.INSURING),
        (43, True, Stage.SEARCHING),
        (57, False, Stage.INSURING),
        (58, False, Stage.FINAL),
        (70, True, Stage.FINAL),
    ],
)
def test_work_is_sent_for_the_next_ledger(closed: int, *, insured: bool, expected: Stage) -> None:
    insurance = None if insured else Insurance(44, 3, 0)
    plan = WorkPlan(FARMER, 1, 7, 0, insurance, final_not_before=59, deadline=60)
    assert stage(plan, closed) is expected


LEASES = st.tuples(st.integers(1, 4095), st.integers(0, RUNS - 1))


@given(first=LEASES, second=LEASES)
def test_ranges_of_leases_and_runs_never_meet(first: tuple[int, int], second: tuple[int, int]) -> None:
    starts = sorted(nonce_start(*each) for each in (first, second))
    assert first == second or starts[1] - starts[0] >= RANGE_LENGTH
    assert starts[0] >= 0
    assert starts[1] + RANGE_LENGTH <= 2**63
    assert starts[0] % 2**32 == 0
