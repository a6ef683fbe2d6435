"""Two thousand blocks in memory with everything that goes wrong, and no promise broken."""

import pytest

from simulator.shards import run_all, shards_of

BLOCKS = 2000


@pytest.mark.timeout(1800)
def test_two_thousand_blocks_break_no_promise() -> None:
    found = list(run_all(shards_of(1, BLOCKS), jobs=2))
    assert [f"{result.violation}; {result.shard.command}" for result in found if result.violation is not None] == []
    assert sum(result.outcome["pails"] for result in found) > 2 * BLOCKS
    assert sum(result.outcome["lives"] for result in found) > BLOCKS // 10
