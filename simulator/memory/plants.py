"""Plant requests and plants in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.farmer import FarmerState
from backend.domain.plant import Plant, PlantEvent, PlantRequest, PlantState
from backend.errors import StoreConflictError
from backend.ports.chain import PailKey
from backend.ports.stores import Candidate, EventPage, UnsentPlant
from simulator.memory.attempts import attempts_of, insert_attempts, open_sources
from simulator.memory.effects import book_moved, insert_plant, number_plants, open_harvest, record_plants
from simulator.memory.payments import check_covered, held_of
from simulator.memory.session import Session
from simulator.memory.tables import EventRow, Tables


class MemoryPlantStore:
    """See backend.ports.stores.PlantStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def request(self, request_id: str) -> PlantRequest | None:
        """A stored request."""
        async with self._session.transaction() as tables:
            return tables.requests.get(request_id)

    async def candidates(self, block_index: int, limit: int | None) -> list[Candidate]:
        """ACTIVE farmers without a plant in this block and without an open attempt, longest unplanted first."""
        async with self._session.transaction() as tables:
            busy = open_sources(tables)
            rows = [
                row
                for row in tables.farmers.having(FarmerState.ACTIVE)
                if row.key.address not in busy and tables.planted.get((block_index, row.key.farmer_id)) is None
            ]
            rows.sort(key=lambda row: (-1 if row.last_planted_block is None else row.last_planted_block, row.number))
            return [
                Candidate(
                    key=row.key,
                    stake_basis_points=row.stake_basis_points,
                    fixed_stake_stroops=row.fixed_stake,
                    booked_stroops=row.balance,
                    held_stroops=held_of(tables, row.key.farmer_id),
                )
                for row in rows[:limit]
            ]

    async def plants_of(self, block_index: int, pooler_id: str) -> list[Plant]:
        """This pooler's plants in a block that are not FAILED, oldest first."""
        async with self._session.transaction() as tables:
            rows = [tables.plants.get(plant_id) for plant_id in tables.of_block.get(block_index) or ()]
            plants = [(row.number, row.plant) for row in rows if row is not None]
            return [
                plant
                for _, plant in sorted(plants, key=lambda each: each[0])
                if plant.pooler_id == pooler_id
                and plant.state is not PlantState.FAILED
                and not tables.handed.having((block_index, plant.farmer_id))
            ]

    async def begin(
        self,
        request: PlantRequest,
        *,
        earlier: Sequence[UUID],
        plants: Sequence[Plant],
        attempts: Sequence[Attempt],
    ) -> None:
        """Stores a request, its new plants and their attempts, all or nothing. Raises StoreConflictError."""
        async with self._session.transaction() as tables:
            if tables.requests.get(request.request_id) is not None:
                raise StoreConflictError("the database refused a row by its rule plant_requests_pkey")
            tables.requests.put(request.request_id, request)
            for plant in plants:
                insert_plant(tables, plant)
            check_covered(tables, plants)
            own = [plant.plant_id for plant in plants if plant.pooler_id == request.pooler_id]
            counted = [*earlier, *own]
            tables.answers.put(request.request_id, [(plant_id, None) for plant_id in counted])
            for plant_id in counted:
                tables.asked.put(plant_id, (*(tables.asked.get(plant_id) or ()), request.request_id))
            insert_attempts(tables, attempts, fence=self._session.fence)
            failed = [plant.plant_id for plant in plants if plant.state is not PlantState.PENDING]
            number_plants(tables, [*_final(tables, earlier), *failed])
            sums = {"plants": len(plants), "own": len(own), "earlier": len(earlier)}
            data = {"request_id": request.request_id, **sums}
            tables.events.append(EventRow(request.block_index, "plant_requested", None, request.pooler_id, data))
            record_plants(tables, failed)

    async def retry(self, attempts: Sequence[Attempt]) -> None:
        """Stores new attempts (kind PLANT) of pending plants."""
        async with self._session.transaction() as tables:
            insert_attempts(tables, attempts, fence=self._session.fence)

    async def events(self, request_id: str, after: int) -> EventPage:
        """The request's events numbered above `after`."""
        async with self._session.transaction() as tables:
            answers = tables.answers.get(request_id) or []
            numbered = _numbered(tables, answers)
            return EventPage(
                events=[PlantEvent(number, plant) for number, plant in numbered if number > after],
                complete=len(numbered) == len(answers),
                planted=sum(plant.state is PlantState.CONFIRMED for _, plant in numbered),
                failed=sum(plant.state is PlantState.FAILED for _, plant in numbered),
                last_number=numbered[-1][0] if numbered else 0,
            )

    async def unsent(self) -> list[UnsentPlant]:
        """Pending plants without an open attempt."""
        async with self._session.transaction() as tables:
            found = []
            for row in sorted(tables.plants.having(PlantState.PENDING), key=lambda row: row.number):
                tried = attempts_of(tables, AttemptKind.PLANT, row.plant.plant_id)
                if all(attempt.state is not AttemptState.OPEN for attempt in tried):
                    farmer = tables.farmers.get(row.plant.farmer_id)
                    assert farmer is not None
                    last = tried[-1].result_code if tried else None
                    found.append(UnsentPlant(row.plant, farmer.key, len(tried), last))
            return found

    async def adopt(self, plants: Sequence[Plant], live_until: Mapping[PailKey, int]) -> int:
        """Stores CONFIRMED plants of which no row knew, with pending harvests; how many harvests were added."""
        async with self._session.transaction() as tables:
            self._session.hold_lease(tables)
            adopted, added = [], 0
            for plant in plants:
                if tables.planted.get((plant.block_index, plant.farmer_id)) is None:
                    insert_plant(tables, plant)
                    adopted.append(plant.plant_id)
                added += open_harvest(tables, plant, live_until=live_until.get((plant.address, plant.block_index)))
            record_plants(tables, adopted)
            book_moved(tables)
            return added


def _final(tables: Tables, plant_ids: Sequence[UUID]) -> list[UUID]:
    rows = [row for row in map(tables.plants.get, plant_ids) if row is not None]
    return [
        row.plant.plant_id
        for row in sorted(rows, key=lambda row: row.number)
        if row.plant.state is not PlantState.PENDING
    ]


def _numbered(tables: Tables, answers: Sequence[tuple[UUID, int | None]]) -> list[tuple[int, Plant]]:
    found = []
    for plant_id, number in answers:
        row = tables.plants.get(plant_id)
        if number is not None and row is not None:
            found.append((number, row.plant))
    return sorted(found, key=lambda each: each[0])
