"""Bugs planted in the real code, one at a time, are found; in the same worlds without them nothing is."""

import pytest

from simulator.bugs import BUGS, WORLDS, Bug
from simulator.world import simulate

BLOCKS = 60


@pytest.mark.timeout(900)
@pytest.mark.parametrize("world", WORLDS)
def test_nothing_is_found_where_no_bug_is_planted(world: str) -> None:
    outcome = simulate(f"bugs {world}", BLOCKS, WORLDS[world])
    assert outcome.violation is None
    assert outcome.checks >= BLOCKS


@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_planted_bug_is_caught_by_the_check_that_is_meant_for_it(bug: Bug) -> None:
    with bug.patch():
        outcome = simulate(f"bugs {bug.world}", BLOCKS, WORLDS[bug.world])
    assert bug.found(outcome.violation), f"{outcome.violation}"


def test_there_are_enough_bugs() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
