"""From the domain to the protocol's messages and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from backend.api.attend import pooler_message
from backend.api.plants import REASON_PREFIX, failure_message
from backend.domain import requests
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import Farmer, FarmerState
from backend.domain.work import WorkReport
from backend.errors import InvalidRequestError
from backend.services.attendance import Presence
from backend.services.status import Component, Health, PoolStatus
from backend.services.working import Acknowledgement, ReportOutcome
from kalepool.v1 import common_pb2, farmers_pb2, pool_pb2, status_pb2

_STATE_PREFIX = "FARMER_STATE_"
_REPORT_STATES = {
    ReportOutcome.STORED: pool_pb2.REPORT_STATE_STORED,
    ReportOutcome.STORED_UNVERIFIED: pool_pb2.REPORT_STATE_STORED_UNVERIFIED,
    ReportOutcome.DUPLICATE: pool_pb2.REPORT_STATE_DUPLICATE,
    ReportOutcome.REFUSED: pool_pb2.REPORT_STATE_REFUSED,
}
_HEALTH = {
    Health.UP: status_pb2.HEALTH_UP,
    Health.DEGRADED: status_pb2.HEALTH_DEGRADED,
    Health.DOWN: status_pb2.HEALTH_DOWN,
}


def failure_of(message: common_pb2.Failure) -> Failure:
    """A failure that a pooler sent; a reason this version does not know counts as internal."""
    try:
        name = common_pb2.FailureReason.Name(message.reason).removeprefix(REASON_PREFIX)
    except ValueError:
        name = FailureReason.INTERNAL.name
    return Failure(FailureReason.__members__.get(name, FailureReason.INTERNAL), message.message)


def report_of(message: pool_pb2.ReportWorkRequest) -> WorkReport:
    """A validated report.

    Raises:
        InvalidRequestError: it is malformed.
    """
    outcome = message.WhichOneof("outcome")
    if outcome is None:
        raise InvalidRequestError("outcome", "neither accepted nor failed is set")
    if outcome == "failed":
        return requests.failed_report(
            report_id=message.report_id,
            pooler_id=message.pooler_id,
            block_index=message.block_index,
            farmer_id=message.farmer_id,
            failure=failure_of(message.failed),
        )
    accepted = message.accepted
    return requests.work_report(
        report_id=message.report_id,
        pooler_id=message.pooler_id,
        block_index=message.block_index,
        farmer_id=message.farmer_id,
        work_hash=accepted.work_hash,
        nonce=accepted.nonce if accepted.HasField("nonce") else None,
        zeros=accepted.zeros,
        gap=accepted.gap,
        transaction_hash=accepted.transaction_hash,
        ledger_sequence=accepted.ledger_sequence,
    )


def acknowledgement_message(acknowledgement: Acknowledgement) -> pool_pb2.ReportWorkResponse:
    """The answer to a report."""
    failure = acknowledgement.failure
    return pool_pb2.ReportWorkResponse(
        report_id=acknowledgement.report_id,
        state=_REPORT_STATES[acknowledgement.outcome],
        failure=None if failure is None else failure_message(failure),
    )


def farmer_message(farmer: Farmer) -> farmers_pb2.Farmer:
    """A farmer."""
    return farmers_pb2.Farmer(
        farmer_id=str(farmer.farmer_id),
        wallet_address=farmer.address,
        state=farmers_pb2.FarmerState.Value(_STATE_PREFIX + farmer.state.name),
        stake_basis_points=farmer.stake_basis_points,
        harvest_after_blocks=farmer.harvest_after_blocks,
        balance_stroops=farmer.balance_stroops,
        earned_stroops=farmer.earned_stroops,
        open_stake_stroops=farmer.open_stake_stroops,
        lost_stake_stroops=farmer.lost_stake_stroops,
        last_planted_block=farmer.last_planted_block,
        created_at=_timestamp(farmer.created_at),
        updated_at=_timestamp(farmer.updated_at),
        fixed_stake_stroops=farmer.fixed_stake_stroops,
        labels=farmer.labels,
    )


def farmer_state(value: farmers_pb2.FarmerState.ValueType) -> FarmerState | None:
    """A state as the domain knows it; None if it is unspecified.

    Raises:
        InvalidRequestError: this version does not know it.
    """
    if value == farmers_pb2.FARMER_STATE_UNSPECIFIED:
        return None
    try:
        return FarmerState[farmers_pb2.FarmerState.Name(value).removeprefix(_STATE_PREFIX)]
    except ValueError as error:
        raise InvalidRequestError("state", f"{value} is no state of a farmer") from error


def status_message(status: PoolStatus, version: str, poolers: Sequence[Presence] = ()) -> status_pb2.Status:
    """The backend's status."""
    counts = status.counts
    return status_pb2.Status(
        version=version,
        uptime_seconds=status.uptime_seconds,
        health=_HEALTH[status.health],
        components=[_component_message(component) for component in status.components],
        chain=_chain_message(status),
        backend=status_pb2.BackendStatus(
            active_farmers=counts.active_farmers,
            planted=counts.planted,
            unworked=counts.unworked,
            open_pails=counts.open_pails,
            open_attempts=counts.open_attempts,
            master_balance_stroops=status.master_balance_stroops,
            poolers=[pooler_message(one) for one in poolers],
        ),
    )


def _component_message(component: Component) -> status_pb2.Component:
    return status_pb2.Component(name=component.name, health=_HEALTH[component.health], detail=component.detail)


def _chain_message(status: PoolStatus) -> status_pb2.ChainStatus | None:
    view = status.view
    if view is None:
        return None
    return status_pb2.ChainStatus(
        ledger_sequence=view.ledger.sequence,
        ledger_time=view.ledger.close_time,
        block_index=view.farm.index,
        block_opened_ledger_time=view.farm.block.timestamp if view.open_block is not None else 0,
        farm_paused=view.farm.paused,
    )


def moment(field: str, stamp: Timestamp) -> datetime:
    """A time that a caller sent. Raises InvalidRequestError if there is no such time."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidRequestError(field, "is no time between the years 1 and 9999") from None


def _timestamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
