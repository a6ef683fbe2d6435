"""A pooler with the naive policy, to measure against: the same program, but plants and works without a plan.

Plants are asked for once somebody has opened the block; the search ends at a fixed number of zeros, and each farmer's
work is handed in as soon as that is reached, or with what was found by the time at which the real policy insures.
Started like `kale-pooler run`, by the same environment.
"""

import contextlib
import os
from pathlib import Path

import structlog
import typer

import pooler.services.assembly
import pooler.services.farming
from kale_chain.clock import Pace
from kale_chain.model import Farm, Ledger
from kale_chain.planning.works import WorkPlan
from kale_common.command import until_signal
from kale_common.logs import configure
from pooler.app import run
from pooler.config import load_settings
from pooler.domain.schedule import LATEST_PLANT_SECONDS, BlockPlan
from pooler.services.planning import Planning
from pooler.services.watching import Sight

TARGET_ZEROS = int(os.environ.get("NAIVE_ZEROS", "5"))


class NaivePlanning(Planning):
    """Hands in the first hash with the wanted zeros at once."""

    def look(self, sight: Sight, ledger: Ledger) -> None:
        """Plans the works of the open block."""
        if sight.block is None:
            return
        one = self._rounds.of(sight.farm.index)
        one.plan = BlockPlan.of(sight.farm, sight.block, TARGET_ZEROS)
        late = ledger.close_time >= sight.farm.block.timestamp + LATEST_PLANT_SECONDS
        for address, work in one.works.items():
            ready = late or (work.best is not None and work.best.zeros >= TARGET_ZEROS)
            aim = ledger.sequence + (1 if ready else 2)
            one.plans[address] = WorkPlan(address, one.index, TARGET_ZEROS, None, None, aim, aim)


def plant_when_open(farm: Farm, *, open_block: bool, ledger: Ledger, pace: Pace) -> int | None:
    """The open block, while there is time to work; a block that nobody opens is left alone for 20 s of ledger time."""
    del pace
    overdue = ledger.close_time - farm.block.ends_at
    if farm.paused or not open_block or overdue >= 20:  # noqa: PLR2004  (then even a naive pool has to open it)
        return farm.planted_index(ledger.close_time, block_exists=open_block)
    return farm.index if overdue < LATEST_PLANT_SECONDS - 300 else None


def main() -> None:
    """Runs it until it is stopped."""
    pooler.services.assembly.Planning = NaivePlanning  # type: ignore[misc]
    pooler.services.farming.plant_target = plant_when_open
    settings = load_settings(Path(os.environ.get("ENV_FILE", ".env")))
    configure(settings.log_level)
    structlog.get_logger().info("naive policy", target_zeros=TARGET_ZEROS)
    with contextlib.suppress(typer.Exit):
        until_signal(run(settings))


if __name__ == "__main__":
    main()
