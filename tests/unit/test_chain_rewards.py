"""Rewards in the contract's integer arithmetic."""

import csv
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kale_chain.errors import FarmError, FarmErrorCode
from kale_chain.hashing import count_zeros
from kale_chain.model import BLOCK_SECONDS, STROOPS_PER_KALE, Block, Pail
from kale_chain.rewards import base_reward, normalized_sum, reward

MAINNET_BLOCKS = Path(__file__).parents[1] / "vectors" / "mainnet_blocks_2024_12.csv"

gaps = st.integers(0, 2**32 - 1)
stakes = st.integers(0, 10**18)
zeros = st.integers(0, 64)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    def ordered(values: st.SearchStrategy[int]) -> tuple[int, int]:
        low, high = sorted((draw(values), draw(values)))
        return low, high

    (low_gap, high_gap), (low_stake, high_stake), (low_zeros, high_zeros) = map(ordered, (gaps, stakes, zeros))
    return Block(
        timestamp=0,
        min_gap=low_gap,
        min_stake=low_stake,
        min_zeros=low_zeros,
        max_gap=high_gap,
        max_stake=high_stake,
        max_zeros=high_zeros,
        entropy=bytes(32),
        staked_total=draw(stakes),
        normalized_total=draw(st.integers(0, 10**24)),
    )


def mainnet_blocks() -> dict[int, Block]:
    with MAINNET_BLOCKS.open() as lines:
        rows = [
            {name: bytes.fromhex(text) if name == "entropy" else int(text) for name, text in row.items()}
            for row in csv.DictReader(lines)
        ]
    return {int(row.pop("block_index")): Block(**row) for row in rows}


@pytest.mark.parametrize(
    ("index", "stroops"),
    [
        (0, 2505 * STROOPS_PER_KALE),
        (30_558 + 8_639, 2505 * STROOPS_PER_KALE),
        (30_558 + 8_640, 23_797_500_000),
        (30_558 + 2 * 8_640, 22_607_625_000),
    ],
)
def test_base_reward_falls_by_a_twentieth_every_8640_blocks(index: int, stroops: int) -> None:
    assert base_reward(index) == stroops


@given(st.integers(0, 2**32 - 1))
def test_base_reward_never_grows_and_never_exceeds_the_exact_value(index: int) -> None:
    assert base_reward(index + 1) <= base_reward(index)
    steps = max(0, index - 30_558) // 8_640
    assume(steps < 300)
    exact = 2505 * STROOPS_PER_KALE * Fraction(95, 100) ** steps
    assert exact - steps * Fraction(2505 * STROOPS_PER_KALE, 10**12) - 1 < base_reward(index) <= exact


@given(blocks(), gaps, stakes, zeros)
def test_normalized_sum_stays_between_three_and_three_times_the_widest_range(
    block: Block, gap: int, stake: int, count: int
) -> None:
    widest = max(
        1,
        block.max_gap - block.min_gap,
        block.max_stake - block.min_stake,
        block.max_zeros - block.min_zeros,
    )
    assert 3 <= normalized_sum(block, gap, stake, count) <= 3 * widest


@given(blocks(), st.tuples(gaps, stakes, zeros), st.integers(0, 2), st.integers(0, 10**12))
def test_normalized_sum_never_falls_with_more_gap_stake_or_zeros(
    block: Block, work: tuple[int, int, int], position: int, more: int
) -> None:
    better = list(work)
    better[position] += more
    assert normalized_sum(block, *better) >= normalized_sum(block, *work)


@given(blocks(), gaps, stakes, zeros)
def test_values_outside_a_range_count_as_its_ends(block: Block, gap: int, stake: int, count: int) -> None:
    clamped = (
        min(max(gap, block.min_gap), block.max_gap),
        min(max(stake, block.min_stake), block.max_stake),
        min(max(count, block.min_zeros), block.max_zeros),
    )
    assert normalized_sum(block, gap, stake, count) == normalized_sum(block, *clamped)


@given(blocks(), st.sampled_from(["gap", "stake", "zeros"]))
def test_ranges_upside_down_are_refused(block: Block, name: str) -> None:
    upside_down = replace(block, **{f"min_{name}": getattr(block, f"max_{name}") + 1})
    with pytest.raises(FarmError) as caught:
        normalized_sum(upside_down, 1, 1, 1)
    assert caught.value.code == FarmErrorCode.BLOCK_INVALID


@given(blocks(), st.lists(st.tuples(gaps, stakes, zeros), min_size=1, max_size=20), st.integers(0, 10**6))
def test_a_blocks_rewards_never_exceed_what_there_is_to_share(
    block: Block, works: list[tuple[int, int, int]], index: int
) -> None:
    total = sum(normalized_sum(block, *work) for work in works)
    scored = replace(block, normalized_total=total)
    pails = [Pail(sequence=0, gap=gap, stake=stake, zeros=count) for gap, stake, count in works]
    paid = sum(reward(scored, index, pail) for pail in pails)
    assert base_reward(index) + block.staked_total - len(works) < paid <= base_reward(index) + block.staked_total


def test_a_pail_without_work_has_no_reward() -> None:
    block = Block.unseen(0).opened_at(300)
    with pytest.raises(FarmError) as caught:
        reward(block, 0, Pail(sequence=1, gap=None, stake=5, zeros=None))
    assert caught.value.code == FarmErrorCode.WORK_MISSING


def test_mainnet_blocks_fit_what_the_model_says_of_blocks() -> None:
    known = mainnet_blocks()
    assert len(known) == 680
    for index, block in known.items():
        assert block.min_zeros <= count_zeros(block.entropy) <= block.max_zeros
        following = known.get(index + 1)
        assert following is None or following.timestamp >= block.timestamp + BLOCK_SECONDS
