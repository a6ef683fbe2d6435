"""What a pooler tells the backend about one farmer in one block."""

from dataclasses import dataclass

from pooler.domain.assignment import Accepted, Assignment, Failure


@dataclass(frozen=True, slots=True)
class Report:
    """One report; its id follows from pooler, block and farmer, so that a repeat is known as one.

    Attributes:
        report_id: The idempotency key.
        block_index: The block.
        farmer_id: The farmer's id at the backend.
        address: The farmer's address.
        outcome: Accepted work of ours (its `find` is set), or why there is none.
    """

    report_id: str
    block_index: int
    farmer_id: str
    address: str
    outcome: Accepted | Failure

    @classmethod
    def of(cls, pooler_id: str, assignment: Assignment, outcome: Accepted | Failure) -> "Report":
        """The report on an assignment."""
        return cls(
            report_id=f"{pooler_id}:{assignment.block_index}:{assignment.farmer_id}",
            block_index=assignment.block_index,
            farmer_id=assignment.farmer_id,
            address=assignment.address,
            outcome=outcome,
        )


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The backend's answer to a report.

    Attributes:
        report_id: The report.
        refused: Why it can never be accepted; None if it is stored.
    """

    report_id: str
    refused: str | None
