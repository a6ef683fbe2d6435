"""A pooler's presence over gRPC: its states come in, notices go out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog

from backend.api.peers import check_pooler
from backend.api.plants import plant_event_message
from backend.domain import requests
from backend.domain.plant import PlantEvent
from backend.domain.presence import SILENT_LEDGERS, Capacity
from backend.errors import BackendError, InvalidRequestError
from backend.services.attendance import Attendance, Drained, LeasesGiven, LeasesTaken, Notice, Presence
from backend.services.attending import Attending
from kale_common.version import VERSION
from kalepool.v1 import pool_pb2, status_pb2

_log = structlog.get_logger()


async def attend(
    attending: Attending, states: AsyncIterator[pool_pb2.AttendRequest]
) -> AsyncIterator[pool_pb2.AttendResponse]:
    """One stream of `PoolService.Attend`.

    Raises:
        BackendError: see pool.proto.
    """
    first = await anext(states, None)
    if first is None:
        return
    check_pooler(first.pooler_id)
    attendance = attending.attend(first.pooler_id, _capacity(first, of=first.pooler_id))
    hearing = asyncio.create_task(_hear(attending, attendance, states), name=f"states of {first.pooler_id}")
    try:
        welcome = pool_pb2.Welcome(version=VERSION, silent_ledgers=SILENT_LEDGERS)
        yield pool_pb2.AttendResponse(number=1, ledger_sequence=attending.ledger, welcome=welcome)
        number = 1
        async for notice in attending.notices(attendance):
            number += 1
            if isinstance(notice, LeasesGiven):
                attendance.given[number] = notice.handed
            yield _notice_message(notice, number, attending.ledger)
    finally:
        attending.leave(attendance)
        hearing.cancel()


async def _hear(attending: Attending, attendance: Attendance, states: AsyncIterator[pool_pb2.AttendRequest]) -> None:
    """Takes a pooler's states until it closes its side; a malformed one ends the stream."""
    try:
        async for state in states:
            capacity = _capacity(state, of=attendance.pooler_id)
            try:
                await attending.hear(attendance, capacity, acknowledged=state.acknowledged)
            except BackendError as error:
                _log.warning("leases not handed over yet", pooler_id=attendance.pooler_id, error=str(error))
    except InvalidRequestError as error:
        attending.end(attendance, error)
    else:
        attending.end(attendance)


def _capacity(state: pool_pb2.AttendRequest, *, of: str) -> Capacity:
    if state.pooler_id != of:
        raise InvalidRequestError("pooler_id", f"the stream is that of pooler {of}")
    requests.attendance(
        pooler_id=state.pooler_id,
        max_farmers=state.max_farmers,
        hashes_per_second=state.hashes_per_second,
        machine_load=state.machine_load,
        version=state.version,
    )
    return Capacity(
        farmers=state.max_farmers,
        hashes_per_second=state.hashes_per_second,
        takes_over=pool_pb2.POOLER_CAPABILITY_TAKE_OVER in state.capabilities,
        draining=state.draining,
        version=state.version,
        running_searches=state.running_searches,
        unacknowledged_reports=state.unacknowledged_reports,
        machine_load=state.machine_load,
    )


def _notice_message(notice: Notice, number: int, ledger: int) -> pool_pb2.AttendResponse:
    message = pool_pb2.AttendResponse(number=number, ledger_sequence=ledger)
    match notice:
        case LeasesGiven():
            message.leases_given.plants.extend(
                plant_event_message(PlantEvent(0, one.plant), generation=one.hand_over.generation)
                for one in notice.handed
            )
        case LeasesTaken():
            message.leases_taken.leases.extend(
                pool_pb2.TakenLease(
                    block_index=one.block_index, farmer_id=str(one.farmer_id), lease_generation=one.generation
                )
                for one in notice.hand_overs
            )
        case Drained():
            message.drained.kept_farmers = notice.kept
        case _:
            message.ledger_closed.SetInParent()
    return message


def pooler_message(presence: Presence) -> status_pb2.AttendingPooler:
    """A pooler in the backend's status."""
    message = status_pb2.AttendingPooler(pooler_id=presence.pooler_id, silent_ledgers=presence.unanswered)
    if presence.capacity is not None:
        message.version = presence.capacity.version
        message.max_farmers = presence.capacity.farmers
        message.hashes_per_second = presence.capacity.hashes_per_second
        message.running_searches = presence.capacity.running_searches
        message.draining = presence.capacity.draining
        message.takes_over = presence.capacity.takes_over
    return message
