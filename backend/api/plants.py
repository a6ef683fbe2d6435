"""Plants as the protocol's messages."""

from __future__ import annotations

from backend.domain.failure import Failure, FailureReason
from backend.domain.plant import PlantEvent, PlantState
from backend.domain.presence import FIRST_GENERATION
from backend.services.planting import PlantSummary
from kalepool.v1 import common_pb2, pool_pb2

REASON_PREFIX = "FAILURE_REASON_"


def failure_message(failure: Failure) -> common_pb2.Failure:
    """A failure."""
    reason = common_pb2.FailureReason.Value(REASON_PREFIX + failure.reason.name)
    return common_pb2.Failure(reason=reason, message=failure.message)


def plant_message(event: PlantEvent | PlantSummary) -> pool_pb2.PlantResponse:
    """A message of a plant stream."""
    if isinstance(event, PlantSummary):
        summary = pool_pb2.PlantSummary(
            block_index=event.block_index, planted=event.planted, failed=event.failed, last_number=event.last_number
        )
        return pool_pb2.PlantResponse(summary=summary)
    return pool_pb2.PlantResponse(event=plant_event_message(event))


def plant_event_message(event: PlantEvent, *, generation: int = FIRST_GENERATION) -> pool_pb2.PlantEvent:
    """A final plant, and the generation of the lease it comes with."""
    plant = event.plant
    message = pool_pb2.PlantEvent(
        number=event.number,
        block_index=plant.block_index,
        farmer_id=str(plant.farmer_id),
        wallet_address=plant.address,
        lease_generation=generation,
    )
    if plant.state is PlantState.CONFIRMED:
        message.planted.stake_stroops = plant.stake_stroops
        message.planted.ledger_sequence = plant.ledger or 0
        message.planted.transaction_hash = plant.transaction_hash or ""
    else:
        failure = plant.failure or Failure(FailureReason.INTERNAL, "the plant failed")
        message.failed.CopyFrom(failure_message(failure))
    return message
