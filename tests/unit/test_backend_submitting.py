"""An attempt ends by proof alone: its result in a ledger, or a closed ledger past its bounds."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from backend.domain.attempt import Attempt, AttemptKind, AttemptState, Bump
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
from backend.ports.chain import SendOutcome, UsedSequence
from backend.services.pulse import Pulse
from backend.services.submitting import Submitting
from tests.fakes.backend_attempts import FakeAttemptStore, FakeLedgers, FakeNetwork, FakeWitnesses

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


async def test_attempt_that_no_ledger_can_take_is_not_sent_again() -> None:
    store, network = FakeAttemptStore(stored=[attempt()]), FakeNetwork(SendOutcome("TRY_AGAIN_LATER"))
    submitting = Submitting(store, network)
    await submitting.load()
    for ledger, sent in ((103, 1), (104, 2), (105, 2)):  # 106 takes it no more
        await submitting.advance(FakeLedgers(ledger))
        await submitting.resend()
        assert len(network.sent) == sent


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


STRANGER = bytes([9]) * 32


async def test_attempt_whose_sequence_number_another_used_is_superseded() -> None:
    store, one = FakeAttemptStore(), attempt(kind=AttemptKind.WORK)
    witnesses = FakeWitnesses({"G1": UsedSequence(one.sequence, 103)}, used_by=STRANGER)
    submitting = Submitting(store, FakeNetwork(SendOutcome("ERROR", "txBAD_SEQ")), witnesses)
    await submitting.submit([one])
    await submitting.advance(FakeLedgers(101))
    await submitting.resend()
    await submitting.advance(FakeLedgers(102))
    assert store.settled == []  # the ledger of the account's answer has not been read
    await submitting.advance(FakeLedgers(103))
    (settled,) = store.settled
    assert (settled.state, settled.result_ledger, settled.result_hash) == (AttemptState.SUPERSEDED, 103, STRANGER)
    assert isinstance(settled.effects[0], WorkSettled)
    assert submitting.open_count == 0


@pytest.mark.parametrize(
    ("used", "disputed"),
    [
        (UsedSequence(40, 103), False),  # not reached yet
        (UsedSequence(41, 100), False),  # an account as it was when the attempt was stored
        (UsedSequence(41, 103), True),  # another endpoint shows the transaction
    ],
)
async def test_sequence_number_proves_nothing_before_its_time(used: UsedSequence, *, disputed: bool) -> None:
    store, one = FakeAttemptStore(), attempt()
    witnesses = FakeWitnesses({"G1": used}, disputed={one.hash} if disputed else set())
    submitting = Submitting(store, FakeNetwork(SendOutcome("ERROR", "txBAD_SEQ")), witnesses)
    await submitting.submit([one])
    for sequence in range(101, 106):
        await submitting.advance(FakeLedgers(sequence))
        await submitting.resend()
    assert store.settled == []


async def test_result_goes_before_the_sequence_number_it_used_itself() -> None:
    store, one = FakeAttemptStore(), attempt()
    witnesses = FakeWitnesses({"G1": UsedSequence(one.sequence, 102)})
    submitting = Submitting(store, FakeNetwork(SendOutcome("ERROR", "txBAD_SEQ")), witnesses)
    await submitting.submit([one])
    await submitting.advance(FakeLedgers(101))
    await submitting.resend()
    await submitting.advance(FakeLedgers(102, [result(one)]))
    assert [settled.state for settled in store.settled] == [AttemptState.SUCCEEDED]


async def test_attempt_expires_only_if_the_witnesses_agree() -> None:
    store, one = FakeAttemptStore(), attempt()
    witnesses = FakeWitnesses(disputed={one.hash})
    submitting = Submitting(store, FakeNetwork(), witnesses)
    await submitting.submit([one])
    await submitting.advance(FakeLedgers(106))
    await submitting.advance(FakeLedgers(107))
    assert store.settled == []
    witnesses.disputed.clear()
    await submitting.advance(FakeLedgers(108))
    (settled,) = store.settled
    assert (settled.state, settled.result_ledger) == (AttemptState.EXPIRED, 108)


def bump(one: Attempt, number: int = 1) -> Bump:
    return Bump(bytes([50 + number]) * 32, one.hash, number, f"bump {number}", 1000 * number, 101)


async def test_bump_is_sent_in_its_attempts_stead_and_its_result_ends_it() -> None:
    store, network = FakeAttemptStore(), FakeNetwork()
    submitting, one = Submitting(store, network), attempt()
    await submitting.submit([one])
    await submitting.bump([bump(one)])
    assert network.sent == ["envelope 1", "bump 1"]
    await submitting.advance(FakeLedgers(102, [replace(result(one), hash=bump(one).hash)]))
    (settled,) = store.settled
    assert (settled.attempt_hash, settled.result_hash, settled.fee_charged) == (one.hash, bump(one).hash, 777)


async def test_inner_transaction_wrapped_by_a_stranger_ends_its_attempt_at_the_strangers_cost() -> None:
    one = replace(attempt(), inner_hash=bytes([60]) * 32)
    strangers = replace(result(one), hash=STRANGER)
    settled = settlement_of(one, strangers)
    assert (settled.state, settled.fee_charged, settled.result_hash) == (AttemptState.SUCCEEDED, 0, STRANGER)


async def test_attempt_already_ended_is_not_bumped() -> None:
    network, one = FakeNetwork(), attempt()
    submitting = Submitting(FakeAttemptStore(), network)
    await submitting.submit([one])
    await submitting.advance(FakeLedgers(102, [result(one)]))
    await submitting.bump([bump(one)])
    assert network.sent == ["envelope 1"]


async def test_each_resending_says_how_often_it_was_sent_before() -> None:
    network = FakeNetwork(None)
    submitting = Submitting(FakeAttemptStore(), network)
    await submitting.submit([attempt()])
    for sequence in (101, 102):
        await submitting.advance(FakeLedgers(sequence))
        await submitting.resend()
    assert network.tries == [0, 1, 2]
