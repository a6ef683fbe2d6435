"""The reference model against operations recorded from the real farm contract."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kale_chain.errors import ContractError, FarmError, FarmErrorCode, TokenError, TokenErrorCode
from kale_chain.farm_model import FarmModel
from kale_chain.hashing import work_hash
from kale_chain.model import STROOPS_PER_KALE, Block, Farm, Ledger

TRACE = Path(__file__).parents[1] / "vectors" / "farm_trace.txt"
FARMERS = [str(number) for number in range(6)]


def block_text(block: Block | None) -> str:
    if block is None:
        return "-"
    return ",".join(
        str(value)
        for value in (
            block.timestamp,
            block.min_gap,
            block.min_stake,
            block.min_zeros,
            block.max_gap,
            block.max_stake,
            block.max_zeros,
            block.staked_total,
            block.normalized_total,
        )
    )


def state_text(model: FarmModel, farmer: str) -> str:
    current = block_text(model.blocks.get(model.index))
    return f"{model.index}|{block_text(model.farm_block)}|{current}|{model.balances[farmer]}"


def perform(model: FarmModel, name: str, farmer: str, argument: int, now: Ledger) -> str:
    try:
        if name == "plant":
            model.plant(farmer, argument, now)
            return "ok"
        if name == "work":
            return f"ok{model.record_work(farmer, argument, bytes(32), now)}"
        return f"ok{model.harvest(farmer, argument)}"
    except ContractError as error:
        return f"e{error.code}"


def runs() -> Iterator[list[str]]:
    lines: list[str] = []
    for line in TRACE.read_text().splitlines():
        if line.startswith("SEED") and lines:
            yield lines
            lines = []
        lines.append(line)
    yield lines


@pytest.mark.parametrize("lines", list(runs()), ids=lambda lines: lines[0].replace(" ", "-"))
def test_model_reproduces_every_line_of_the_trace(lines: list[str]) -> None:
    start = int(lines[0].split()[2])
    model = FarmModel(start, dict.fromkeys(FARMERS, 10**13))
    for line in lines[1:]:
        _, sequence, time, name, farmer, argument, result, state = line.split()
        now = Ledger(int(sequence), int(time))
        assert perform(model, name, farmer, int(argument), now) == result, line
        assert state_text(model, farmer) == state, line


def test_trace_holds_every_recorded_operation() -> None:
    assert sum(line.startswith("OP") for line in TRACE.read_text().splitlines()) == 1310


HARVESTER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
PLANTED = Ledger(10, 1_300)
WORKED = Ledger(20, 1_350)


def planted_farm(stake: int = 7) -> FarmModel:
    model = FarmModel(1_000, {HARVESTER: 100})
    model.plant(HARVESTER, stake, PLANTED)
    return model


def found(model: FarmModel, nonce: int = 5) -> bytes:
    return work_hash(model.index, nonce, model.blocks[model.index].entropy, HARVESTER)


def refusal(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ContractError) as caught:
        call()
    assert isinstance(caught.value, FarmError | TokenError)
    return caught.value.contract, caught.value.code


def test_work_takes_the_hash_of_block_nonce_entropy_and_farmer_alone() -> None:
    model = planted_farm()
    digest = found(model)
    assert refusal(lambda: model.work(HARVESTER, digest, 5, PLANTED)) == ("farm", FarmErrorCode.GAP_COUNT_TOO_LOW)
    assert refusal(lambda: model.work(HARVESTER, digest, 6, WORKED)) == ("farm", FarmErrorCode.HASH_INVALID)
    assert model.work(HARVESTER, digest, 5, WORKED) == 10
    assert model.farm_block.entropy == digest
    assert refusal(lambda: model.work(HARVESTER, digest, 5, WORKED)) == ("farm", FarmErrorCode.ZERO_COUNT_TOO_LOW)


def test_the_last_work_is_the_next_blocks_entropy_and_its_harvest_pays_reward_and_stake() -> None:
    model = planted_farm(stake=7)
    digest = found(model)
    model.work(HARVESTER, digest, 5, WORKED)
    model.plant(HARVESTER, 0, Ledger(80, 1_600))
    assert (model.index, model.blocks[2].entropy) == (2, digest)
    assert model.harvest(HARVESTER, 1) == 2505 * STROOPS_PER_KALE
    assert model.balances[HARVESTER] == 100 + 2505 * STROOPS_PER_KALE


def test_a_stake_that_cannot_be_burned_is_the_tokens_error() -> None:
    model = FarmModel(1_000, {HARVESTER: 100})
    assert refusal(lambda: model.plant(HARVESTER, 101, PLANTED)) == ("token", TokenErrorCode.BALANCE)
    assert refusal(lambda: model.plant("stranger", 1, PLANTED)) == ("token", TokenErrorCode.TRUSTLINE_MISSING)
    model.plant("stranger", 0, PLANTED)
    assert model.pails["stranger", 1].stake == 0


def test_a_pause_stops_plants_and_nothing_else() -> None:
    model = planted_farm()
    assert refusal(model.unpause) == ("farm", FarmErrorCode.FARM_NOT_PAUSED)
    model.pause()
    assert refusal(model.pause) == ("farm", FarmErrorCode.FARM_PAUSED)
    assert refusal(lambda: model.plant("stranger", 0, PLANTED)) == ("farm", FarmErrorCode.FARM_PAUSED)
    assert model.work(HARVESTER, found(model), 5, WORKED) == 10
    model.unpause()
    model.plant("stranger", 0, WORKED)


def test_a_block_gone_before_its_time_is_made_anew_with_the_next_index() -> None:
    model = planted_farm()
    model.remove_block(1)
    assert refusal(lambda: model.work(HARVESTER, bytes(32), 5, WORKED)) == ("farm", FarmErrorCode.BLOCK_MISSING)
    model.plant(HARVESTER, 3, WORKED)
    assert (model.index, model.farm_block.timestamp) == (2, PLANTED.close_time)
    assert model.blocks[2].timestamp == WORKED.close_time
    assert refusal(lambda: model.harvest(HARVESTER, 1)) == ("farm", FarmErrorCode.BLOCK_MISSING)


STEP = st.tuples(
    st.sampled_from(["plant", "work", "harvest"]),
    st.sampled_from(FARMERS[:3]),
    st.integers(-1, 40),
    st.integers(0, 40),
)


def everything(model: FarmModel) -> tuple[object, ...]:
    return (model.index, model.farm_block, dict(model.blocks), dict(model.pails), dict(model.balances))


@given(st.lists(STEP, max_size=60))
def test_refused_calls_change_nothing_and_no_stake_appears_or_vanishes(steps: list[tuple[str, str, int, int]]) -> None:
    model = FarmModel(1_000, dict.fromkeys(FARMERS[:3], 60))
    now = Ledger(100, 1_000)
    rewards = 0
    for name, farmer, argument, passed in steps:
        now = Ledger(now.sequence + passed // 5, now.close_time + 10 * passed)
        before = everything(model)
        result = perform(model, name, farmer, max(0, argument) if name == "work" else argument, now)
        if result.startswith("e"):
            assert everything(model) == before
        elif name == "harvest":
            rewards += int(result[2:])
        locked = sum(pail.stake for pail in model.pails.values())
        assert sum(model.balances.values()) + locked == 180 + rewards
        unworked = sum(
            pail.stake for (_, index), pail in model.pails.items() if index == model.index and not pail.worked
        )
        assert not model.blocks or model.blocks[model.index].staked_total == unworked


@given(st.integers(0, 3), st.booleans(), st.integers(0, 700), st.booleans())
def test_the_farm_predicts_the_index_that_its_model_plants_into(
    index: int,
    exists: bool,
    passed: int,
    paused: bool,
) -> None:
    model = FarmModel(1_000, {})
    model.index = index
    if exists:
        model.blocks[index] = model.farm_block.opened_at(1_000)
    farm = Farm(index, model.farm_block, paused, ledger=100, live_until=200)
    now = Ledger(101, 1_000 + passed)
    model.plant("farmer", 0, now)
    assert model.index == farm.planted_index(now.close_time, block_exists=exists)


@pytest.mark.parametrize(("live_until", "due"), [(3_110_400, False), (3_110_400 - 120_960, True), (0, True)])
def test_an_extension_is_due_a_week_below_the_longest_life(live_until: int, due: bool) -> None:
    farm = Farm(0, Block.unseen(0), paused=False, ledger=0, live_until=live_until)
    assert farm.extension_due is due
