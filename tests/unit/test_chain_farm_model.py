"""The reference model against operations recorded from the real farm contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kale_chain.errors import ContractError
from kale_chain.farm_model import FarmModel
from kale_chain.model import Block, Ledger

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
