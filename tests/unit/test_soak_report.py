"""What a soak's report calls a miss."""

from dataclasses import replace

import pytest

from simulator.kills import Standing
from simulator.soak import Report, Usage

GOOD = Report(
    seed=1,
    blocks=10,
    calm_blocks=8,
    eligible=800,
    planted=800,
    faults={"RPC cut": 2},
    memory_ratio={"backend": 1.05},
    descriptors_apart={"backend": 2},
    standing=Standing(planted=900, harvested=800, lost=0, taken=0, attempts=3_000, open_attempts=0, doubled=0),
    accounts=100,
    balanced=100,
    seconds=100.0,
)


def test_every_aim_met_is_no_miss() -> None:
    assert GOOD.misses == []


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (replace(GOOD, planted=798), "798 of 800 eligible plants"),
        (replace(GOOD, balanced=99), "99 of 100 accounts equal"),
        (replace(GOOD, standing=replace(GOOD.standing, lost=1)), "1 stakes lost"),
        (replace(GOOD, memory_ratio={"pooler": 1.2}), "pooler's memory grew 1.20-fold"),
        (replace(GOOD, descriptors_apart={"backend": 6}), "backend's descriptors are 6 apart"),
    ],
)
def test_each_aim_missed_is_told(report: Report, text: str) -> None:
    (miss,) = report.misses
    assert text in miss


def test_usage_compares_the_last_third_with_the_second() -> None:
    usage = Usage(memory=[999, 999, 100, 100, 130, 130], descriptors=[1, 1, 20, 20, 25, 25])
    assert (usage.ratio(), usage.apart()) == (1.3, 5)
    assert (Usage().ratio(), Usage(memory=[1, 2]).apart()) == (1.0, 0)
