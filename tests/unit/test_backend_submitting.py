"""An attempt ends by proof alone: its result in a ledger, or a closed ledger past its bounds."""

import asyncio
from uuid import UUID

import pytest

from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.outcome import expiry_of, settlement_of
from backend.domain.result import Contract, ContractError, TransactionResult
from backend.domain.settlement import (
    BatchReleased,
    FarmersOnboarded,
    HarvestConfirmed,
    PlantConfirmed,
    PlantFailed,
    WorkSettled,
)
from backend.domain.work import WorkState
from backend.ports.chain import SendOutcome
from backend.services.pulse import Pulse
from backend.services.submitting import Submitting
from tests.fakes.backend_attempts import FakeAttemptStore, FakeLedgers, FakeNetwork

INTENT = UUID(int=7)


def attempt(number: int = 1, *, kind: AttemptKind = AttemptKind.PLANT, source: str = "G1") -> Attempt:
    """An attempt valid in ledgers 101 to 105."""
    return Attempt(
        hash=bytes([number]) * 32,
        inner_hash=None,
        kind=kind,
        intent_id=INTENT,
        source=source,
        sequence=40 + number,
        envelope=f"envelope {number}",
        max_ledger=106,
        created_ledger=100,
    )


def result(
    one: Attempt,
    *,
    successful: bool = True,
    value: int | None = None,
    operation: str | None = None,
    error: ContractError | None = None,
) -> TransactionResult:
    """The result of an attempt in ledger 102."""
    return TransactionResult(
        hash=one.hash,
        ledger=102,
        close_time=510,
        successful=successful,
        fee_charged=777,
        code="txSUCCESS" if successful else "txFAILED",
        operation_code=operation,
        contract_error=error,
        return_value=value,
    )


@pytest.mark.parametrize(
    "outcome",
    [
        SendOutcome("PENDING"),
        SendOutcome("DUPLICATE"),
        SendOutcome("TRY_AGAIN_LATER"),
        SendOutcome("ERROR", "txBAD_SEQ"),
        SendOutcome("ERROR", "txTOO_LATE"),
        None,
    ],
)
async def test_no_word_of_the_network_ends_an_attempt(outcome: SendOutcome | None) -> None:
    store, network = FakeAttemptStore(), FakeNetwork(outcome)
    submitting = Submitting(store, network)
    await submitting.submit([attempt()])
    for sequence in range(101, 106):
        assert await submitting.advance(FakeLedgers(sequence)) == []
        await submitting.resend()
    assert submitting.open_count == 1
    assert store.settled == []
    assert set(network.sent) == {"envelope 1"}
    assert len(network.sent) > 1


async def test_result_in_a_ledger_ends_an_attempt_and_frees_its_source() -> None:
    store, one = FakeAttemptStore(), attempt()
    submitting = Submitting(store, FakeNetwork())
    await submitting.submit([one])
    assert submitting.busy("G1")
    ended = await submitting.advance(FakeLedgers(102, [result(one)]))
    assert [end.settlement.state for end in ended] == [AttemptState.SUCCEEDED]
    assert ended[0].settlement.effects == (PlantConfirmed(INTENT, 102, one.hash.hex()),)
    assert not submitting.busy("G1")
    assert submitting.next_sequence("G1", 5) == 42  # the RPC may lag behind what was used


async def test_attempt_expires_only_at_a_closed_ledger_past_its_bounds() -> None:
    store = FakeAttemptStore()
    submitting = Submitting(store, FakeNetwork(SendOutcome("ERROR", "txINSUFFICIENT_BALANCE")))
    await submitting.submit([attempt()])
    await submitting.advance(FakeLedgers(105))
    assert store.settled == []
    await submitting.advance(FakeLedgers(106))
    (settled,) = store.settled
    assert (settled.state, settled.result_ledger) == (AttemptState.EXPIRED, 106)
    assert settled.result_code == "txINSUFFICIENT_BALANCE"
    assert submitting.next_sequence("G1", 5) == 6  # nothing was used


async def test_settling_waits_for_the_database_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.services.submitting._DATABASE_RETRY_SECONDS", 0)
    store, one = FakeAttemptStore(faults=3), attempt()
    submitting = Submitting(store, FakeNetwork())
    await submitting.submit([one])
    await submitting.advance(FakeLedgers(102, [result(one)]))
    assert [settled.state for settled in store.settled] == [AttemptState.SUCCEEDED]


async def test_attempts_of_an_earlier_life_go_on() -> None:
    store, network = FakeAttemptStore(stored=[attempt()]), FakeNetwork()
    submitting = Submitting(store, network)
    assert await submitting.load() == 100
    await submitting.advance(FakeLedgers(101))
    await submitting.resend()
    assert network.sent == ["envelope 1"]


async def test_attempts_whose_storing_was_cut_off_are_looked_up() -> None:
    store, network = FakeAttemptStore(), FakeNetwork()
    submitting = Submitting(store, network)
    await submitting.load()

    async def cut_off() -> None:
        async with submitting.storing():
            await store.store(attempt())  # committed, but the answer was lost
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await cut_off()
    assert submitting.open_count == 0
    await submitting.advance(FakeLedgers(101))
    assert submitting.open_count == 1


async def test_accepted_transaction_is_not_sent_again_at_once() -> None:
    network = FakeNetwork()
    submitting = Submitting(FakeAttemptStore(), network)
    await submitting.load()
    await submitting.advance(FakeLedgers(100))
    await submitting.submit([attempt()])
    await submitting.advance(FakeLedgers(101))
    await submitting.resend()
    assert len(network.sent) == 1
    await submitting.advance(FakeLedgers(102))
    await submitting.resend()
    assert len(network.sent) == 2


async def test_failed_intent_is_left_alone_ever_longer() -> None:
    submitting = Submitting(FakeAttemptStore(), FakeNetwork())
    for number, until in ((1, 104), (2, 106), (3, 110)):
        one = attempt(number, kind=AttemptKind.HARVEST)
        await submitting.submit([one])
        await submitting.advance(FakeLedgers(102, [result(one, successful=False, operation="trapped")]))
        assert submitting.held_until(INTENT) == until
    one = attempt(4, kind=AttemptKind.HARVEST)
    await submitting.submit([one])
    await submitting.advance(FakeLedgers(102, [result(one, value=5)]))
    assert submitting.held_until(INTENT) == 0


def test_each_kind_of_transaction_moves_its_intent() -> None:
    plant, harvest = attempt(), attempt(kind=AttemptKind.HARVEST)
    work, batch = attempt(kind=AttemptKind.WORK), attempt(kind=AttemptKind.ONBOARDING)
    assert settlement_of(harvest, result(harvest, value=9)).effects == (
        HarvestConfirmed(INTENT, 9, 102, harvest.hash.hex()),
    )
    assert settlement_of(harvest, result(harvest, successful=False, operation="trapped")).effects == ()
    (settled,) = settlement_of(work, result(work, value=3)).effects
    assert isinstance(settled, WorkSettled)
    assert (settled.state, settled.gap) == (WorkState.SUCCESS, 3)
    assert settlement_of(batch, result(batch)).effects == (FarmersOnboarded(INTENT),)
    assert settlement_of(batch, result(batch, successful=False, operation="low_reserve")).effects == (
        BatchReleased(INTENT),
    )
    (failed,) = settlement_of(
        plant, result(plant, successful=False, operation="trapped", error=ContractError(Contract.FARM, 8))
    ).effects
    assert isinstance(failed, PlantFailed)


@pytest.mark.parametrize("operation", ["insufficient_refundable_fee", "resource_limit_exceeded", None])
def test_plant_that_another_transaction_may_save_stays_pending(operation: str | None) -> None:
    plant = attempt()
    assert settlement_of(plant, result(plant, successful=False, operation=operation)).effects == ()
    assert expiry_of(plant, 106, None).effects == ()


async def test_pulse_wakes_everyone_once_for_each_change() -> None:
    pulse = Pulse()
    waiting = [asyncio.create_task(pulse.after(0)) for _ in range(3)]
    await asyncio.sleep(0)
    pulse.beat()
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert await pulse.after(0) == 1
