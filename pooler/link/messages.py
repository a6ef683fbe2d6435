"""The protocol's messages as the domain's values, and back."""

import structlog

from kale_chain.errors import InvalidAddressError
from kale_chain.hashing import farmer_bytes
from kalepool.v1 import common_pb2, pool_pb2
from pooler.domain.assignment import Accepted, Assignment, Failure, Reason
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
    event = response.event
    if event.WhichOneof("outcome") == "failed":
        reason = common_pb2.FailureReason.Name(event.failed.reason).removeprefix("FAILURE_REASON_")
        return PlantFailedEvent(event.number, event.farmer_id, reason, event.failed.message)
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
    )
    return PlantedEvent(event.number, assignment)


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
