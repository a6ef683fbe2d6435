"""What the pooler is doing, for those who ask, and a bell for those who watch."""

import asyncio
import time
from collections.abc import Callable

from pooler.domain.round import Round, Rounds
from pooler.domain.schedule import Stage
from pooler.domain.snapshot import FarmerSnapshot, Part, Snapshot
from pooler.ports import Backend
from pooler.services.assigning import Assigning
from pooler.services.reporting import Reporting
from pooler.services.searching import Searching
from pooler.services.submitting import Submitting
from pooler.services.tally import Tally
from pooler.services.watching import Watching


class Overview:
    """Snapshots of a pooler; `ring` says that there is something new.

    Attributes:
        bell: Set at the next ring. Take it before the snapshot, then nothing is missed.

    Args:
        pooler_id: The pooler's name.
        problems: Why each part that the pooler depends on is not up, by its name.
        backend: The backend.
        rate: Hashes a second.
        load: The machine's load.
    """

    def __init__(
        self,
        *,
        pooler_id: str,
        problems: dict[str, Callable[[], str | None]],
        backend: Backend,
        rate: Callable[[], float],
        load: Callable[[], float],
        watching: Watching,
        searching: Searching,
        submitting: Submitting,
        reporting: Reporting,
        rounds: Rounds,
    ) -> None:
        self._pooler_id = pooler_id
        self._problems = problems
        self._backend = backend
        self._rate = rate
        self._load = load
        self._watching = watching
        self._searching = searching
        self._submitting = submitting
        self._reporting = reporting
        self._rounds = rounds
        self._started = time.monotonic()
        self.bell = asyncio.Event()
        self.assigning: Assigning | None = None
        self.fee_balance_stroops = 0

    def ring(self) -> None:
        """Sets the present bell and hangs up a new one."""
        self.bell.set()
        self.bell = asyncio.Event()

    def snapshot(self) -> Snapshot:
        """What the pooler is doing now."""
        sight, ledger = self._watching.sight, self._watching.ledger
        index = 0 if sight is None else sight.farm.index
        one = self._rounds.get(index)
        return Snapshot(
            pooler_id=self._pooler_id,
            parts=tuple(Part(name, problem()) for name, problem in self._problems.items()),
            circuits=tuple(self._backend.circuits),
            ledger=ledger,
            block_index=index,
            block_opened_at=0 if sight is None or sight.block is None else sight.block.timestamp,
            farm_paused=sight is not None and sight.farm.paused,
            phase=self._phase(one),
            farmers=() if one is None else self._farmers(one),
            running_searches=self._searching.running,
            hashes_per_second=self._rate(),
            machine_load=self._load(),
            unacknowledged_reports=self._reporting.unacknowledged,
            fee_balance_stroops=self.fee_balance_stroops,
            uptime_seconds=int(time.monotonic() - self._started),
        )

    @property
    def tally(self) -> Tally:
        """Counts of what became of work transactions."""
        return self._submitting.tally

    @property
    def open_attempts(self) -> int:
        """Work transactions whose end is not known yet."""
        return self._submitting.open_attempts

    def _phase(self, one: Round | None) -> str:
        works = () if one is None else one.works.values()
        if self._submitting.open_attempts or any(Stage.FINAL in work.stages for work in works):
            return "submitting"
        if self._searching.running:
            return "searching"
        return "planting" if self.assigning is not None and self.assigning.asking else "waiting"

    def _farmers(self, one: Round) -> tuple[FarmerSnapshot, ...]:
        return tuple(
            FarmerSnapshot(
                farmer_id=work.assignment.farmer_id,
                best_zeros=None if work.best is None else work.best.zeros,
                accepted_zeros=None if work.accepted is None else work.accepted.zeros,
                hashes=self._searching.hashes(one.index, address),
            )
            for address, work in one.works.items()
        )
