"""The blocks a pooler is busy with: the open one, and those before whose reports are not written yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kale_chain.planning.works import WorkPlan
from pooler.domain.assignment import Assignment, FarmerWork
from pooler.domain.schedule import BlockPlan, Stage, stage


@dataclass(slots=True)
class Round:
    """One block with its farmers.

    Attributes:
        index: The block's index.
        plan: What is known of the block once it is open; None before.
        works: The farmers' work by address.
        plans: What is planned for them, in the order to submit in; those assigned since the last plan are missing.
        last_safe: The last ledger in which the block surely is not over, as planned last.
        over: Whether a later block is open.
    """

    index: int
    plan: BlockPlan | None = None
    works: dict[str, FarmerWork] = field(default_factory=dict)
    plans: dict[str, WorkPlan] = field(default_factory=dict)
    last_safe: int = 0
    over: bool = False

    def stage(self, address: str, closed: int) -> Stage:
        """Where a farmer's work stands once ledger `closed` has closed; after a final work it stays there."""
        if self.over:
            return Stage.OVER
        if Stage.FINAL in self.works[address].stages:
            return Stage.FINAL
        plan = self.plans.get(address)
        return Stage.SEARCHING if plan is None else stage(plan, closed)

    def looked_at(self, address: str, closed: int) -> bool:
        """Whether the farmer's pail is to be read: something was submitted for it, or is about to be."""
        return bool(self.works[address].stages) or self.stage(address, closed) > Stage.SEARCHING

    def assign(self, assignment: Assignment) -> bool:
        """Takes an assignment; False if it is known. One of a later lease renews what was released."""
        work = self.works.get(assignment.address)
        if work is None:
            self.works[assignment.address] = FarmerWork(assignment)
            return True
        if assignment.generation <= work.assignment.generation:
            return False
        work.assignment, work.released = assignment, False
        return True

    def release(self, farmer_id: str, generation: int) -> str | None:
        """Lets a farmer go that a later lease gave to another; its address, or None if there is nothing to let go."""
        for address, work in self.works.items():
            if work.assignment.farmer_id == farmer_id and work.assignment.generation < generation:
                work.released = True
                return address
        return None


class Rounds:
    """All rounds by block index."""

    def __init__(self) -> None:
        self._rounds: dict[int, Round] = {}

    def __iter__(self) -> Iterator[Round]:
        """Every round, oldest first."""
        return iter([self._rounds[index] for index in sorted(self._rounds)])

    def of(self, index: int) -> Round:
        """The round of a block; made if there is none."""
        return self._rounds.setdefault(index, Round(index))

    def get(self, index: int) -> Round | None:
        """The round of a block, if there is one."""
        return self._rounds.get(index)

    def close_before(self, index: int) -> list[Round]:
        """Marks every round before the farm's `index` as over; those that were not before."""
        closed = [one for one in self if one.index < index and not one.over]
        for one in closed:
            one.over = True
        return closed

    def drop_finished(self) -> None:
        """Forgets rounds that are over and have nobody left to report on."""
        self._rounds = {index: one for index, one in self._rounds.items() if one.works or not one.over}
