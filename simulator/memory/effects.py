"""Effects on rows in memory: only rows in their first state move, so that a repeat changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

from backend.domain.blame import OWNERS, Facts, Subject, cause_of
from backend.domain.failure import Failure
from backend.domain.farmer import FarmerState
from backend.domain.harvest import HarvestState
from backend.domain.money import Transfer
from backend.domain.plant import ADOPTED_POOLER, Plant, PlantState
from backend.domain.settlement import (
    BalanceMoved,
    BatchReleased,
    Effect,
    ExitRewound,
    FarmersOnboarded,
    HarvestClosed,
    HarvestConfirmed,
    HarvestReopened,
    PailHarvested,
    PailPlanted,
    PlantConfirmed,
    PlantFailed,
    WithdrawalFailed,
    WithdrawalPaid,
    WorkSettled,
)
from backend.domain.work import BACKSTOP_POOLER, WorkState
from backend.errors import StoreConflictError
from simulator.memory.books import book
from simulator.memory.payments import fail, mark_paid, movements, rewind
from simulator.memory.tables import EventRow, HarvestRow, PlantRow, Tables, WorkRow


def apply_effects(tables: Tables, effects: Sequence[Effect], *, fees: Sequence[Transfer] = ()) -> None:
    """Applies effects and books what they and `fees` move; one whose row has moved on already is passed over."""
    final = [effect.plant_id for effect in effects if isinstance(effect, PlantConfirmed | PlantFailed)]
    moved = [plant_id for plant_id in final if _is_pending(tables, plant_id)]
    for effect in effects:
        _APPLY[type(effect)](tables, effect)
    number_plants(tables, moved)
    record_plants(tables, moved)
    payments = [one for effect in effects if isinstance(effect, BalanceMoved) for one in movements(tables, effect)]
    book_moved(tables, others=[*fees, *payments])


def book_moved(tables: Tables, *, others: Sequence[Transfer] = ()) -> None:
    """Books the harvests that this transaction has opened and ended, and other transfers."""
    book(tables, opened=tables.opened, ended=tables.ended, reopened=tables.reopened, others=others)
    tables.opened.clear()
    tables.ended.clear()
    tables.reopened.clear()


def open_harvest(tables: Tables, plant: Plant, *, live_until: int | None = None) -> bool:
    """Stores the pending harvest of a confirmed plant unless there is one, and marks its farmer as planted."""
    farmer = tables.farmers.get(plant.farmer_id)
    assert farmer is not None
    assert plant.ledger is not None
    if farmer.last_planted_block is None or farmer.last_planted_block < plant.block_index:
        tables.farmers.put(plant.farmer_id, replace(farmer, last_planted_block=plant.block_index))
    key = (plant.block_index, plant.farmer_id)
    if tables.harvested.get(key) is not None:
        return False
    harvest_id = uuid5(plant.farmer_id, f"harvest {plant.block_index}")
    tables.harvested.put(key, harvest_id)
    row = HarvestRow(
        number=tables.next_number(),
        harvest_id=harvest_id,
        block_index=plant.block_index,
        farmer_id=plant.farmer_id,
        address=plant.address,
        stake=plant.stake_stroops,
        planted_ledger=plant.ledger,
        live_until=live_until,
    )
    tables.harvests.put(harvest_id, row)
    tables.opened.append(harvest_id)
    return True


def insert_plant(tables: Tables, plant: Plant) -> None:
    """Stores a plant. Raises StoreConflictError if the farmer has one in this block."""
    key = (plant.block_index, plant.farmer_id)
    if tables.planted.get(key) is not None:
        raise StoreConflictError("the database refused a row by its rule idx_plant_transactions_block_farmer")
    tables.planted.put(key, plant.plant_id)
    tables.of_block.put(plant.block_index, (*(tables.of_block.get(plant.block_index) or ()), plant.plant_id))
    tables.plants.put(plant.plant_id, PlantRow(tables.next_number(), plant))


def number_plants(tables: Tables, plant_ids: Sequence[UUID]) -> None:
    """Gives final plants the next numbers of the requests that count them, in the order given."""
    for plant_id in plant_ids:
        for request_id in tables.asked.get(plant_id) or ():
            answers = tables.answers.get(request_id) or []
            number = 1 + max((number or 0 for _, number in answers), default=0)
            numbered = [(plant, number if plant == plant_id and old is None else old) for plant, old in answers]
            tables.answers.put(request_id, numbered)


def record_plants(tables: Tables, plant_ids: Sequence[UUID]) -> None:
    """Records planted or plant_failed of final plants."""
    for plant_id in plant_ids:
        row = tables.plants.get(plant_id)
        assert row is not None
        plant = row.plant
        kind = "planted" if plant.state is PlantState.CONFIRMED else "plant_failed"
        data = {"plant_id": str(plant_id), "stake_amount": plant.stake_stroops, **_why(plant.failure)}
        _attribute(tables, Subject.PLANT, plant_id, plant.failure, codes=_codes(tables, "plant", plant_id))
        tables.events.append(EventRow(plant.block_index, kind, plant.farmer_id, plant.pooler_id, data))


def record_work(tables: Tables, row: WorkRow) -> None:
    """Records work_complete or work_failed."""
    kind = "work_failed" if row.state in (WorkState.FAILED, WorkState.TIMEOUT) else "work_complete"
    by_backend, codes = row.pooler_id == BACKSTOP_POOLER, _codes(tables, "work", row.work_id)
    _attribute(tables, Subject.WORK, row.work_id, row.failure, codes=codes, by_backend=by_backend)
    data = {"work_id": str(row.work_id), "status": row.state.value, "nonce": row.nonce, **_why(row.failure)}
    tables.events.append(EventRow(row.block_index, kind, row.farmer_id, row.pooler_id, data))


def _is_pending(tables: Tables, plant_id: UUID) -> bool:
    row = tables.plants.get(plant_id)
    return row is not None and row.plant.state is PlantState.PENDING


def _confirm_plant(tables: Tables, effect: PlantConfirmed) -> None:
    row = tables.plants.get(effect.plant_id)
    if row is not None and row.plant.state is PlantState.PENDING:
        plant = replace(
            row.plant, state=PlantState.CONFIRMED, ledger=effect.ledger, transaction_hash=effect.transaction_hash
        )
        tables.plants.put(effect.plant_id, PlantRow(row.number, plant))
        open_harvest(tables, plant)


def _fail_plant(tables: Tables, effect: PlantFailed) -> None:
    row = tables.plants.get(effect.plant_id)
    if row is not None and row.plant.state is PlantState.PENDING:
        plant = replace(row.plant, state=PlantState.FAILED, failure=effect.failure)
        tables.plants.put(effect.plant_id, PlantRow(row.number, plant))


def _settle_work(tables: Tables, effect: WorkSettled) -> None:
    row = tables.works.get(effect.work_id)
    if row is None or row.state not in (WorkState.PENDING, WorkState.UNVERIFIED):
        return
    known = {
        name: getattr(effect, name)
        for name in ("zeros", "gap", "transaction_hash", "ledger")
        if getattr(effect, name) is not None
    }
    settled = replace(row, state=effect.state, failure=effect.failure, **known)
    tables.works.put(effect.work_id, settled)
    record_work(tables, settled)


def _confirm_harvest(tables: Tables, effect: HarvestConfirmed) -> None:
    row = tables.harvests.get(effect.harvest_id)
    if row is None or row.state is not HarvestState.PENDING:
        return
    ended = replace(
        row,
        state=HarvestState.CONFIRMED,
        reward=effect.reward_stroops,
        ledger=effect.ledger,
        transaction_hash=effect.transaction_hash,
    )
    _end_harvest(tables, ended, "harvested")


def _close_harvest(tables: Tables, effect: HarvestClosed) -> None:
    row = tables.harvests.get(effect.harvest_id)
    if row is None or row.state is not HarvestState.PENDING:
        return
    state = HarvestState.LOST if effect.lost else HarvestState.FAILED
    _end_harvest(
        tables, replace(row, state=state, failure=effect.failure), "harvest_lost" if effect.lost else "harvest_taken"
    )


def _reopen_harvest(tables: Tables, effect: HarvestReopened) -> None:
    row = tables.harvests.get(effect.harvest_id)
    if row is None or row.state not in (HarvestState.FAILED, HarvestState.LOST):
        return
    reopened = replace(row, state=HarvestState.PENDING, failure=None, live_until=None, alarm_percent=0)
    tables.harvests.put(row.harvest_id, reopened)
    tables.reopened[row.harvest_id] = row.state
    data = {"harvest_id": str(row.harvest_id), "status": row.state.value, **_why(row.failure)}
    tables.events.append(EventRow(row.block_index, "harvest_reopened", row.farmer_id, None, data))


def _end_harvest(tables: Tables, row: HarvestRow, kind: str) -> None:
    tables.harvests.put(row.harvest_id, row)
    tables.ended.append(row.harvest_id)
    backstop_id = tables.worked.get((row.block_index, row.farmer_id, BACKSTOP_POOLER))
    good = (WorkState.SUCCESS, WorkState.UNVERIFIED)
    works = [work for state in good for work in tables.works.having(state) if work.farmer_id == row.farmer_id]
    _attribute(
        tables,
        Subject.HARVEST,
        row.harvest_id,
        row.failure,
        codes=_codes(tables, "harvest", row.harvest_id),
        backstop=_codes(tables, "work", backstop_id),
        reported=sum(work.block_index == row.block_index and work.pooler_id != BACKSTOP_POOLER for work in works),
    )
    data = {"harvest_id": str(row.harvest_id), "reward_amount": row.reward, **_why(row.failure)}
    tables.events.append(EventRow(row.block_index, kind, row.farmer_id, None, data))


def _see_planted(tables: Tables, effect: PailPlanted) -> None:
    _see_pail(tables, effect, stake=effect.stake_stroops, ledger=effect.ledger, planted_by=effect.transaction_hash)


def _see_harvested(tables: Tables, effect: PailHarvested) -> None:
    _see_pail(tables, effect, stake=effect.stake_stroops, ledger=effect.planted_ledger, planted_by=None)
    harvest_id = tables.harvested.get((effect.block_index, effect.farmer_id))
    assert harvest_id is not None
    _reopen_harvest(tables, HarvestReopened(harvest_id))
    _confirm_harvest(
        tables, HarvestConfirmed(harvest_id, effect.reward_stroops, effect.ledger, effect.transaction_hash)
    )


def _see_pail(
    tables: Tables, effect: PailPlanted | PailHarvested, *, stake: int, ledger: int, planted_by: str | None
) -> None:
    key = (effect.block_index, effect.farmer_id)
    if tables.harvested.get(key) is not None:
        return
    seen = Plant(
        plant_id=uuid5(effect.farmer_id, f"plant {effect.block_index}"),
        farmer_id=effect.farmer_id,
        address=effect.address,
        block_index=effect.block_index,
        pooler_id=ADOPTED_POOLER,
        stake_stroops=stake,
        state=PlantState.CONFIRMED,
        ledger=ledger,
        transaction_hash=planted_by,
    )
    open_harvest(tables, seen)
    plant_id = tables.planted.get(key)
    if plant_id is None:
        insert_plant(tables, seen)
        record_plants(tables, [seen.plant_id])
    elif _is_pending(tables, plant_id):
        row = tables.plants.get(plant_id)
        assert row is not None
        plant = replace(row.plant, state=PlantState.CONFIRMED, ledger=ledger, transaction_hash=planted_by)
        tables.plants.put(plant_id, PlantRow(row.number, plant))
        number_plants(tables, [plant_id])
        record_plants(tables, [plant_id])


def _pay(_tables: Tables, _effect: BalanceMoved) -> None:
    """Moves no row; it is booked."""


def _onboard(tables: Tables, effect: FarmersOnboarded) -> None:
    for row in tables.farmers.having(FarmerState.ONBOARDING):
        if row.batch == effect.batch_id:
            tables.farmers.put(row.key.farmer_id, replace(row, state=FarmerState.ACTIVE))


def _release(tables: Tables, effect: BatchReleased) -> None:
    for row in tables.farmers.having(FarmerState.ONBOARDING):
        if row.batch == effect.batch_id:
            tables.farmers.put(row.key.farmer_id, replace(row, batch=None))


def _codes(tables: Tables, kind: str, intent_id: UUID | None) -> list[str | None]:
    rows = [tables.attempts.get(attempt_hash) for attempt_hash in tables.intents.get((kind, intent_id)) or ()]
    return [row.result_code for row in rows if row is not None]


def _attribute(tables: Tables, subject: Subject, row_id: UUID, failure: Failure | None, **known: Any) -> None:
    if failure is not None:
        cause = cause_of(Facts(subject, failure.reason, **known))
        tables.attributions.put((row_id, failure.reason), (cause, OWNERS[cause]))


def _why(failure: Failure | None) -> dict[str, Any]:
    return {} if failure is None else {"error_reason": failure.reason.value, "error_message": failure.message}


_APPLY: Mapping[type[Effect], Callable[[Tables, Any], None]] = {
    PlantConfirmed: _confirm_plant,
    PlantFailed: _fail_plant,
    WorkSettled: _settle_work,
    HarvestConfirmed: _confirm_harvest,
    HarvestClosed: _close_harvest,
    HarvestReopened: _reopen_harvest,
    FarmersOnboarded: _onboard,
    BatchReleased: _release,
    PailPlanted: _see_planted,
    PailHarvested: _see_harvested,
    BalanceMoved: _pay,
    WithdrawalPaid: mark_paid,
    WithdrawalFailed: fail,
    ExitRewound: rewind,
}
