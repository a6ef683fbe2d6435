"""The money ledger's rules: every transfer balances, and a change of an account is explained to the stroop."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.failure import FailureReason
from backend.domain.harvest import HarvestState
from backend.domain.money import (
    AccountChange,
    AccountKind,
    BookedPail,
    TransferKind,
    TransferReason,
    effects_of,
    ending_transfer,
    fee_transfer,
    movement_transfer,
    shortfalls,
    stake_transfer,
)
from backend.domain.settlement import BalanceMoved, PailHarvested, PailPlanted
from kale_chain.model import Pail

FARMER = UUID(int=1)
AVAILABLE, STAKED = (AccountKind.AVAILABLE, FARMER), (AccountKind.STAKED, FARMER)
UNOBSERVED, MINT, LOSS = (AccountKind.UNOBSERVED, None), (AccountKind.MINT, None), (AccountKind.LOSS, None)
HASH = "ab" * 32
STROOPS = st.integers(0, 2**62)


def pail(**changes: object) -> BookedPail:
    values: dict[str, object] = {
        "farmer_id": FARMER,
        "block_index": 7,
        "stake_stroops": 50,
        "planted_ledger": 100,
        "plant_hash": HASH,
    }
    return BookedPail(**(values | changes))  # type: ignore[arg-type]


def change(
    stroops: int, *, planted: dict[int, int] | None = None, emptied: dict[int, int] | None = None
) -> AccountChange:
    return AccountChange(
        HASH,
        120,
        "G1",
        stroops,
        {index: Pail(120, None, stake, None) for index, stake in (planted or {}).items()},
        {index: Pail(100, 5, stake, 3) for index, stake in (emptied or {}).items()},
    )


def test_stake_moves_from_available_to_staked() -> None:
    transfer = stake_transfer(pail(), equal_at=0)
    assert (transfer.kind, transfer.legs) == (TransferKind.STAKE, {AVAILABLE: -50, STAKED: 50})
    assert (transfer.effect, transfer.transaction_hash, transfer.ledger) == (f"stake/{FARMER}/7", HASH, 100)


def test_what_was_before_the_books_were_set_equal_does_not_move_available_again() -> None:
    assert stake_transfer(pail(), equal_at=100).legs == {UNOBSERVED: -50, STAKED: 50}
    ended = pail(state=HarvestState.CONFIRMED, reward_stroops=9, ended_ledger=100, harvest_hash=HASH)
    assert ending_transfer(ended, equal_at=100).legs == {STAKED: -50, MINT: -9, UNOBSERVED: 59}


@pytest.mark.parametrize(
    ("state", "failure", "kind", "reason", "legs"),
    [
        (HarvestState.CONFIRMED, None, TransferKind.HARVEST, None, {STAKED: -50, MINT: -9, AVAILABLE: 59}),
        (
            HarvestState.LOST,
            FailureReason.TIMEOUT,
            TransferKind.LOSS,
            TransferReason.NEVER_WORKED,
            {STAKED: -50, LOSS: 50},
        ),
        (
            HarvestState.LOST,
            FailureReason.EXPIRED,
            TransferKind.LOSS,
            TransferReason.PAIL_EXPIRED,
            {STAKED: -50, LOSS: 50},
        ),
        (
            HarvestState.LOST,
            FailureReason.INTERNAL,
            TransferKind.LOSS,
            TransferReason.OTHER_LOSS,
            {STAKED: -50, LOSS: 50},
        ),
        (HarvestState.FAILED, None, TransferKind.TAKEN, None, {STAKED: -50, UNOBSERVED: 50}),
    ],
)
def test_end_of_a_pail_moves_its_stake(
    state: HarvestState,
    failure: FailureReason | None,
    kind: TransferKind,
    reason: TransferReason | None,
    legs: dict[object, int],
) -> None:
    reward = 9 if state is HarvestState.CONFIRMED else None
    transfer = ending_transfer(pail(state=state, failure=failure, reward_stroops=reward, ended_ledger=200), equal_at=0)
    assert (transfer.kind, transfer.reason, transfer.legs) == (kind, reason, legs)


def test_payment_is_a_deposit_or_an_outflow() -> None:
    kinds = [movement_transfer(BalanceMoved(FARMER, stroops, 1, HASH)).kind for stroops in (5, -5)]
    assert kinds == [TransferKind.DEPOSIT, TransferKind.OUTFLOW]


@given(STROOPS, STROOPS, st.integers(0, 300))
def test_every_transfer_sums_to_zero(stake: int, reward: int, equal_at: int) -> None:
    ended = pail(stake_stroops=stake, state=HarvestState.CONFIRMED, reward_stroops=reward, ended_ledger=200)
    transfers = [
        stake_transfer(ended, equal_at=equal_at),
        ending_transfer(ended, equal_at=equal_at),
        movement_transfer(BalanceMoved(FARMER, stake - reward, 1, HASH)),
        fee_transfer(bytes(32), reward, 5),
    ]
    assert [sum(transfer.legs.values()) for transfer in transfers] == [0] * 4
    assert all(0 not in transfer.legs.values() and len(transfer.legs) != 1 for transfer in transfers)


def test_harvest_by_whomever_pays_what_the_account_grew_by_beyond_the_stake() -> None:
    (harvested,) = effects_of(change(59, emptied={7: 50}), FARMER)
    assert harvested == PailHarvested(FARMER, "G1", 7, 50, 100, 9, 120, HASH)


def test_several_pails_of_one_transaction_share_what_it_paid() -> None:
    effects = effects_of(change(50 + 20 + 9, emptied={7: 50, 8: 20}), FARMER)
    assert [effect.reward_stroops for effect in effects if isinstance(effect, PailHarvested)] == [5, 4]
    assert len(effects) == 2


def test_plant_takes_its_stake_and_the_rest_is_a_payment() -> None:
    planted, moved = effects_of(change(-55, planted={9: 50}), FARMER)
    assert planted == PailPlanted(FARMER, "G1", 9, 50, 120, HASH)
    assert moved == BalanceMoved(FARMER, -5, 120, HASH)


def test_work_alone_moves_nothing() -> None:
    assert effects_of(change(0), FARMER) == []


@given(st.integers(-(2**62), 2**62), st.lists(STROOPS, max_size=3), st.lists(STROOPS, max_size=3))
def test_effects_explain_the_change_to_the_stroop(stroops: int, planted: list[int], emptied: list[int]) -> None:
    effects = effects_of(
        change(stroops, planted=dict(enumerate(planted)), emptied=dict(enumerate(emptied, 10))), FARMER
    )
    explained = 0
    for effect in effects:
        if isinstance(effect, PailPlanted):
            explained -= effect.stake_stroops
        elif isinstance(effect, PailHarvested):
            explained += effect.stake_stroops + effect.reward_stroops
            assert effect.reward_stroops >= 0
        elif isinstance(effect, BalanceMoved):
            explained += effect.stroops
    assert explained == stroops


def test_shortfall_is_what_a_farmers_account_would_lack_after_everything() -> None:
    deposit = movement_transfer(BalanceMoved(FARMER, 30, 1, HASH))
    stake = stake_transfer(pail(), equal_at=0)
    assert shortfalls([stake, deposit], {AVAILABLE: 0, STAKED: 0}) == {AVAILABLE: 20}
    assert shortfalls([stake, deposit], {AVAILABLE: 20, STAKED: 0}) == {}
