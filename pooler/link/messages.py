"""The protocol's messages as the domain's values, and back."""

import structlog

from kale_chain.errors import InvalidAddressError
from kale_chain.hashing import farmer_bytes
from kale_common.version import VERSION
from kalepool.v1 import common_pb2, pool_pb2
from pooler.domain.assignment import Accepted, Assignment, Failure, Reason
from pooler.domain.presence import Notice, State, TakenLease
from pooler.domain.report import Acknowledgement, Report
from pooler.ports import PlantedEvent, PlantFailedEvent, PlantMessage, PlantsDone

log = structlog.get_logger(__name__)

REASONS: dict[Reason, common_pb2.FailureReason.ValueType] = {
    Reason.TIMEOUT: common_pb2.FAILURE_REASON_TIMEOUT,
    Reason.CONTRACT_REFUSED: common_pb2.FAILURE_REASON_CONTRACT_REFUSED,
    Reason.NETWORK_REFUSED: common_pb2.FAILURE_REASON_NETWORK_REFUSED,
    Reason.FEE_ACCOUNT_LOW: common_pb2.FAILURE_REASON_FEE_ACCOUNT_LOW,
    Reason.HASH_INVALID: common_pb2.FAILURE_REASON_HASH_INVALID,
}


def plant_message(response: pool_pb2.PlantResponse) -> PlantMessage:
    """One message of a plant stream."""
    if response.WhichOneof("message") == "summary":
        return PlantsDone(response.summary.planted, response.summary.failed)
    return _plant_event(response.event)


def _plant_event(event: pool_pb2.PlantEvent) -> PlantedEvent | PlantFailedEvent:
    if event.WhichOneof("outcome") == "failed":
        return PlantFailedEvent(event.number, event.farmer_id, _reason(event.failed), event.failed.message)
    try:
        farmer_bytes(event.wallet_address)
    except InvalidAddressError as error:
        return PlantFailedEvent(event.number, event.farmer_id, "INVALID_ADDRESS", str(error))
    assignment = Assignment(
        block_index=event.block_index,
        farmer_id=event.farmer_id,
        address=event.wallet_address,
        planted_ledger=event.planted.ledger_sequence,
        stake_stroops=event.planted.stake_stroops,
        generation=event.lease_generation or 1,
    )
    return PlantedEvent(event.number, assignment)


def _reason(failed: common_pb2.Failure) -> str:
    """The reason's name; a reason of a newer backend is told by its number."""
    if failed.reason not in common_pb2.FailureReason.values():
        return f"REASON_{failed.reason}"
    return common_pb2.FailureReason.Name(failed.reason).removeprefix("FAILURE_REASON_")


def state_request(state: State, pooler_id: str) -> pool_pb2.AttendRequest:
    """A pooler's state as it is sent."""
    return pool_pb2.AttendRequest(
        pooler_id=pooler_id,
        acknowledged=state.acknowledged,
        max_farmers=state.max_farmers,
        hashes_per_second=state.hashes_per_second,
        running_searches=state.running_searches,
        machine_load=state.machine_load,
        unacknowledged_reports=state.unacknowledged_reports,
        draining=state.draining,
        version=VERSION,
        capabilities=[pool_pb2.POOLER_CAPABILITY_TAKE_OVER],
    )


def notice(response: pool_pb2.AttendResponse) -> Notice:
    """A notice; what this version does not know is only counted."""
    events = [_plant_event(plant) for plant in response.leases_given.plants]
    return Notice(
        number=response.number,
        given=tuple(event.assignment for event in events if isinstance(event, PlantedEvent)),
        taken=tuple(
            TakenLease(lease.block_index, lease.farmer_id, lease.lease_generation)
            for lease in response.leases_taken.leases
        ),
        welcome=response.welcome.version if response.HasField("welcome") else None,
        drained=response.drained.kept_farmers if response.HasField("drained") else None,
    )


def report_request(report: Report, pooler_id: str) -> pool_pb2.ReportWorkRequest:
    """A report as it is sent."""
    request = pool_pb2.ReportWorkRequest(
        report_id=report.report_id,
        pooler_id=pooler_id,
        block_index=report.block_index,
        farmer_id=report.farmer_id,
    )
    if isinstance(report.outcome, Failure):
        request.failed.reason = REASONS[report.outcome.reason]
        request.failed.message = report.outcome.message
    else:
        request.accepted.CopyFrom(_accepted(report.outcome))
    return request


def _accepted(accepted: Accepted) -> pool_pb2.WorkAccepted:
    message = pool_pb2.WorkAccepted(
        zeros=accepted.zeros,
        gap=accepted.gap,
        transaction_hash=accepted.transaction_hash,
        ledger_sequence=accepted.ledger_sequence,
    )
    if accepted.find is not None:
        message.work_hash = accepted.find.digest.hex()
        message.nonce = accepted.find.nonce
    return message


def acknowledgement(response: pool_pb2.ReportWorkResponse) -> Acknowledgement:
    """The backend's answer to a report."""
    refused = response.state == pool_pb2.REPORT_STATE_REFUSED
    return Acknowledgement(response.report_id, response.failure.message or "refused" if refused else None)
