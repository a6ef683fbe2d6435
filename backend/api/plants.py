"""Plants as the protocol's messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from backend.domain.failure import Failure, FailureReason
from backend.domain.plant import PlantEvent, PlantRequest, PlantState
from backend.domain.presence import FIRST_GENERATION
from backend.services.planting import PlantSummary
from kalepool.v1 import common_pb2, pool_pb2

_MOST_REPLAYS = 64
"""Requests whose streams are kept: those of two blocks and of more poolers than a pool has."""

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


class Replays:
    """Plant streams that were sent to their end, to be sent again as they are: events never change once numbered."""

    def __init__(self) -> None:
        self._whole: OrderedDict[PlantRequest, Sequence[pool_pb2.PlantResponse]] = OrderedDict()

    def keep(self, request: PlantRequest, messages: Sequence[pool_pb2.PlantResponse]) -> None:
        """Keeps a request's events, from the first, and its summary."""
        self._whole[request] = messages
        if len(self._whole) > _MOST_REPLAYS:
            self._whole.popitem(last=False)

    def after(self, request: PlantRequest, number: int) -> Sequence[pool_pb2.PlantResponse] | None:
        """The events numbered above `number` and the summary; None if this request is not kept."""
        messages = self._whole.get(request)
        return None if messages is None else messages[min(number, len(messages) - 1) :]
