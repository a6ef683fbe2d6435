"""The same worlds over the real PostgreSQL: crashes, rivals and restores break no promise, and bugs are seen."""

from dataclasses import replace

import pytest

from simulator.bugs import BUGS
from simulator.weather import CALM
from simulator.world import simulate

BLOCKS = 12
ROUGH = replace(
    CALM,
    restore=0.3,
    second_backend=0.2,
    clean_restart=0.1,
    crash=0.0006,
    database_refused=0.01,
    database_unacknowledged=0.01,
    rpc_lost_answer=0.02,
    queue_dropped=0.02,
)


@pytest.mark.timeout(900)
def test_rough_world_over_postgresql_breaks_no_promise() -> None:
    outcome = simulate("postgres", BLOCKS, ROUGH, store="postgres")
    assert outcome.violation is None
    assert outcome.pails > 2 * BLOCKS
    assert outcome.lives > 1
    assert outcome.restores > 0


@pytest.mark.timeout(600)
def test_planted_bug_is_caught_over_postgresql() -> None:
    bug = next(bug for bug in BUGS if bug.name == "other stake signed")
    with bug.patch():
        outcome = simulate("postgres", 3, CALM, store="postgres")
    assert bug.found(outcome.violation), f"{outcome.violation}"
