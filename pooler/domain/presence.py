"""What a pooler tells of itself while it attends, and what it is told."""

from dataclasses import dataclass

from pooler.domain.assignment import Assignment


@dataclass(frozen=True, slots=True)
class State:
    """A pooler's state.

    Attributes:
        acknowledged: Number of the last notice dealt with; 0 at first.
        max_farmers: How many farmers it can search for in a block.
        hashes_per_second: All its cores together, as measured.
        running_searches: Searches that run.
        machine_load: 1 when every usable core is busy.
        unacknowledged_reports: Reports that the backend has not acknowledged.
        draining: Whether it is about to stop.
    """

    acknowledged: int
    max_farmers: int
    hashes_per_second: float
    running_searches: int
    machine_load: float
    unacknowledged_reports: int
    draining: bool


@dataclass(frozen=True, slots=True)
class TakenLease:
    """A farmer that is another pooler's now; `generation` is that of the lease that holds."""

    block_index: int
    farmer_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What the backend says on an attendance stream.

    Attributes:
        number: 1, 2, 3, … within the stream.
        given: Farmers that are this pooler's now.
        taken: Farmers that are others' now.
        welcome: The backend's version, in the first notice; else None.
        drained: Farmers that nobody else could take, in the answer to draining; else None.
    """

    number: int
    given: tuple[Assignment, ...] = ()
    taken: tuple[TakenLease, ...] = ()
    welcome: str | None = None
    drained: int | None = None
