"""The backend's rules: which block may be planted, what is harvested when, what counts as work."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import attempt, farmer, harvest, plant
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import FarmerChange, FarmerState, check_change
from backend.domain.harvest import OpenPail
from backend.domain.plant import TRAPPED, FarmView, admit, failure_of, may_rebuild, refusal
from backend.domain.result import Contract, ContractError, TransactionResult
from backend.domain.staking import stake
from backend.domain.work import WorkReport, WorkState, backstop_age, fault_of, settle, supersedes
from backend.errors import BlockNotDueError, BlockPassedError, FarmerDepartedError, FarmPausedError, TransitionError
from backend.services.plant_plan import Window
from kale_chain.clock import UNKNOWN, Pace
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import Block, Farm, Ledger, Pail, PailEntry

ADDRESS = "GBDVX4VELCDSQ54KQJYTNHXAHFLBCA77ZY2USQBM4CSHTTV7DME7KALE"
ENTROPY = bytes(range(32))
STEADY = Pace(5, 0, 5, 5)


def view(*, index: int, age: int, is_open: bool = True, paused: bool = False) -> FarmView:
    """A farm at block `index` whose record is `age` seconds old."""
    block = Block.unseen(1_000_000)
    farm = Farm(index=index, block=block, paused=paused, ledger=500, live_until=10_000)
    return FarmView(farm, Ledger(500, 1_000_000 + age), block if is_open else None)


@pytest.mark.parametrize(
    ("index", "age", "is_open", "asked"),
    [
        (7, 0, True, 7),
        (7, 220, True, 7),
        (7, 300, True, 8),
        (7, 9_999, True, 8),
        (0, 0, False, 0),
        (0, 300, False, 1),
        (7, 10, False, 8),
    ],
)
def test_block_may_be_planted_when_the_next_ledger_would_put_a_plant_into_it(
    index: int, age: int, is_open: bool, asked: int
) -> None:
    assert admit(view(index=index, age=age, is_open=is_open), asked, pace=STEADY)


@pytest.mark.parametrize(("age", "now"), [(285, False), (290, False), (294, False), (295, True), (299, True)])
def test_next_block_is_waited_for_until_the_next_ledger_opens_it(age: int, *, now: bool) -> None:
    assert admit(view(index=7, age=age), 8, pace=STEADY) is now


@pytest.mark.parametrize(("age", "now"), [(290, False), (295, False), (296, True)])
def test_a_ledger_that_may_close_too_soon_is_not_planted_in(age: int, *, now: bool) -> None:
    assert admit(view(index=7, age=age), 8, pace=UNKNOWN) is now


def test_plants_of_the_next_block_are_bounded_to_the_ledgers_that_can_open_it() -> None:
    early, due = view(index=7, age=291), view(index=7, age=300)
    assert Window.of(early, 8, UNKNOWN, 250) == Window(closed=500, min_ledger=502, max_ledger=510)
    assert Window.of(due, 8, UNKNOWN, 250) == Window(closed=500, min_ledger=501, max_ledger=508)


def test_plants_that_take_long_to_prepare_are_given_more_ledgers() -> None:
    early, due = view(index=7, age=291), view(index=7, age=300)
    assert Window.of(early, 8, UNKNOWN, 1, 4) == Window(closed=500, min_ledger=502, max_ledger=512)
    assert Window.of(due, 8, UNKNOWN, 1, 4) == Window(closed=500, min_ledger=501, max_ledger=510)


@pytest.mark.parametrize(
    ("index", "age", "is_open", "asked", "error"),
    [
        (7, 0, True, 6, BlockPassedError),
        (7, 221, True, 7, BlockPassedError),
        (7, 295, True, 7, BlockPassedError),
        (7, 300, True, 7, BlockPassedError),
        (7, 10, False, 7, BlockPassedError),
        (0, 300, False, 0, BlockPassedError),
        (7, 284, True, 8, BlockNotDueError),
        (7, 300, True, 9, BlockNotDueError),
        (0, 0, False, 1, BlockNotDueError),
    ],
)
def test_block_is_refused_when_a_plant_could_not_land_in_it(
    index: int, age: int, is_open: bool, asked: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        admit(view(index=index, age=age, is_open=is_open), asked, pace=STEADY)


def test_paused_farm_refuses_every_block() -> None:
    with pytest.raises(FarmPausedError):
        admit(view(index=7, age=0, paused=True), 7, pace=STEADY)


def test_expired_plant_is_rebuilt_only_while_block_and_tries_last() -> None:
    fresh, late = view(index=7, age=10), view(index=7, age=296)
    assert may_rebuild(fresh, 7, 1, None, pace=STEADY)
    assert not may_rebuild(fresh, 7, 5, None, pace=STEADY)
    assert may_rebuild(late, 7, 1, None, pace=STEADY) is False


def test_a_plant_that_was_too_early_for_its_block_is_built_once_more_when_that_is_due() -> None:
    waiting, due = view(index=7, age=292), view(index=7, age=297)
    assert may_rebuild(waiting, 8, 1, TRAPPED, pace=STEADY) is None
    assert may_rebuild(due, 8, 1, TRAPPED, pace=STEADY) is True
    assert may_rebuild(due, 8, 2, TRAPPED, pace=STEADY) is False


@pytest.mark.parametrize(
    ("balance", "basis_points", "expected"),
    [(0, 1000, 0), (1, 9_999, 0), (10_000_000, 1000, 1_000_000), (10**18, 10_000, 10**18), (19, 1000, 1), (99, 0, 0)],
)
def test_stake_is_the_floor_of_the_share(balance: int, basis_points: int, expected: int) -> None:
    assert stake(balance, basis_points) == expected


@given(st.integers(0, 10**18), st.integers(0, 10_000))
def test_stake_never_exceeds_balance_or_share(balance: int, basis_points: int) -> None:
    amount = stake(balance, basis_points)
    assert 0 <= amount <= balance
    assert amount * 10_000 <= balance * basis_points < (amount + 1) * 10_000


@pytest.mark.parametrize(("balance", "expected"), [(0, 0), (69, 69), (70, 70), (10**15, 70)])
def test_fixed_stake_is_taken_whatever_part_it_is(balance: int, expected: int) -> None:
    assert stake(balance, 10_000, 70) == expected


def result(
    *, code: str = "txFAILED", operation: str | None = "trapped", error: ContractError | None = None
) -> TransactionResult:
    """A failed transaction."""
    return TransactionResult(
        hash=bytes(32),
        ledger=1,
        close_time=1,
        successful=False,
        fee_charged=100,
        code=code,
        operation_code=operation,
        contract_error=error,
        return_value=None,
    )


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (result(error=ContractError(Contract.FARM, 8)), FailureReason.ALREADY_PLANTED),
        (result(error=ContractError(Contract.TOKEN, 8)), FailureReason.CONTRACT_REFUSED),
        (result(error=ContractError(Contract.FARM, 4)), FailureReason.FARM_PAUSED),
        (result(error=ContractError(Contract.TOKEN, 10)), FailureReason.INSUFFICIENT_BALANCE),
        (result(error=ContractError(Contract.FARM, 10)), FailureReason.CONTRACT_REFUSED),
        (result(error=ContractError(Contract.TOKEN, 13)), FailureReason.TRUSTLINE_MISSING),
        (result(error=ContractError(Contract.OTHER, 4)), FailureReason.CONTRACT_REFUSED),
        (result(), FailureReason.WRONG_BLOCK),
        (result(operation="malformed"), FailureReason.CONTRACT_REFUSED),
        (result(code="txBAD_SEQ", operation=None), FailureReason.NETWORK_REFUSED),
    ],
)
def test_failed_plant_names_its_reason_by_the_contract_that_refused(
    failed: TransactionResult, reason: FailureReason
) -> None:
    assert failure_of(failed).reason is reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, FailureReason.EXPIRED),
        ("txINSUFFICIENT_BALANCE", FailureReason.FEE_ACCOUNT_LOW),
        ("txNO_ACCOUNT", FailureReason.ACCOUNT_MISSING),
        ("txTOO_LATE", FailureReason.EXPIRED),
        ("txBAD_AUTH", FailureReason.NETWORK_REFUSED),
    ],
)
def test_expired_plant_names_the_networks_last_refusal(code: str | None, reason: FailureReason) -> None:
    assert refusal(code).reason is reason


def pail(*, block: int = 10, blocks: int = 5, planted: int = 1_000, until: int | None = 1_720) -> OpenPail:
    """An open pail."""
    return OpenPail(uuid4(), uuid4(), ADDRESS, block, 50, planted, until, blocks)


@pytest.mark.parametrize(
    ("blocks", "farm_index", "ledger", "due"),
    [
        (5, 14, 1_100, False),
        (5, 15, 1_100, True),
        (1, 10, 1_100, False),
        (1, 11, 1_100, True),
        (200, 12, 1_359, False),
        (200, 12, 1_360, True),
        (200, 10, 1_700, False),
    ],
)
def test_pail_is_due_after_its_blocks_or_half_its_life(blocks: int, farm_index: int, ledger: int, due: bool) -> None:
    assert harvest.is_due(pail(blocks=blocks), farm_index=farm_index, closed_ledger=ledger) is due


def test_pail_of_unknown_life_waits_for_its_blocks_alone() -> None:
    assert not harvest.is_due(pail(until=None, blocks=9), farm_index=12, closed_ledger=10**6)


def test_shortest_life_is_harvested_first() -> None:
    late, soon = pail(until=3_000), pail(until=2_000)
    assert harvest.due([late, soon], farm_index=99, closed_ledger=0) == [soon, late]


def entry(zeros: int | None) -> PailEntry:
    """A pail on the ledger."""
    return PailEntry(Pail(sequence=1_000, gap=None if zeros is None else 3, stake=50, zeros=zeros), 1_720)


def test_pail_is_lost_only_by_proof() -> None:
    assert harvest.loss(pail(), entry(None), farm_index=11, ledger=1_100) is not None
    assert harvest.loss(pail(), entry(None), farm_index=10, ledger=1_100) is None
    assert harvest.loss(pail(), entry(0), farm_index=11, ledger=1_100) is None
    assert harvest.loss(pail(), None, farm_index=11, ledger=1_720) is None
    assert harvest.loss(pail(), None, farm_index=11, ledger=1_721) is not None


def test_pail_without_its_block_is_lost_by_the_owner_or_by_time() -> None:
    removed = harvest.loss(pail(), entry(0), farm_index=11, ledger=1_100, block_lives=False)
    ended = harvest.loss(pail(), entry(0), farm_index=11, ledger=1_700, block_lives=False)
    assert removed is not None
    assert ended is not None
    assert (removed.reason, ended.reason) == (FailureReason.CONTRACT_REFUSED, FailureReason.EXPIRED)
    assert harvest.loss(pail(), entry(0), farm_index=10, ledger=1_100, block_lives=False) is None


def test_backstop_has_half_of_the_channels_late_in_a_block() -> None:
    assert harvest.lendable(20, block_age_seconds=179, backstop_age_seconds=240) == 20
    assert harvest.lendable(20, block_age_seconds=180, backstop_age_seconds=240) == 10
    assert harvest.lendable(20, block_age_seconds=100, backstop_age_seconds=160) == 10


def report(**changes: object) -> WorkReport:
    """A report whose hash is right."""
    digest = work_hash(7, 42, ENTROPY, ADDRESS)
    values: dict[str, object] = {
        "report_id": "r",
        "pooler_id": "p",
        "block_index": 7,
        "farmer_id": UUID(int=1),
        "work_hash": digest,
        "nonce": 42,
        "zeros": count_zeros(digest),
    }
    return WorkReport(**(values | changes))  # type: ignore[arg-type]


def test_right_hash_is_accepted() -> None:
    assert fault_of(report(), address=ADDRESS, entropy=ENTROPY) is None


@pytest.mark.parametrize("changes", [{"nonce": 43}, {"block_index": 8}, {"work_hash": bytes(32)}, {"zeros": 63}])
def test_wrong_hash_is_refused(changes: dict[str, object]) -> None:
    fault = fault_of(report(**changes), address=ADDRESS, entropy=ENTROPY)
    assert fault is not None
    assert fault.reason is FailureReason.HASH_INVALID


def test_report_state_follows_from_what_it_says() -> None:
    assert report().state is WorkState.SUCCESS
    assert report(nonce=None).state is WorkState.UNVERIFIED
    assert report(failure=Failure(FailureReason.TIMEOUT, "")).state is WorkState.TIMEOUT
    assert report(failure=Failure(FailureReason.CONTRACT_REFUSED, "")).state is WorkState.FAILED


@pytest.mark.parametrize(
    ("state", "zeros", "new", "replaces"),
    [
        (WorkState.SUCCESS, 3, report(zeros=4), True),
        (WorkState.SUCCESS, 4, report(zeros=4), False),
        (WorkState.SUCCESS, 4, report(nonce=None, zeros=9), False),
        (WorkState.FAILED, None, report(), True),
        (WorkState.TIMEOUT, None, report(nonce=None), True),
        (WorkState.UNVERIFIED, 4, report(), True),
        (WorkState.SUCCESS, 4, report(failure=Failure(FailureReason.TIMEOUT, "")), False),
        (WorkState.FAILED, None, report(failure=Failure(FailureReason.TIMEOUT, "")), False),
    ],
)
def test_later_report_replaces_only_what_it_betters(
    state: WorkState, zeros: int | None, new: WorkReport, replaces: bool
) -> None:
    assert supersedes(state, zeros, new) is replaces


def test_unverified_report_is_settled_by_the_pail() -> None:
    digest = bytes([0, 15] + [255] * 30)
    worked = entry(3).pail
    assert settle(digest, worked, block_over=False) is WorkState.SUCCESS
    assert settle(bytes(32), worked, block_over=False) is WorkState.FAILED
    assert settle(digest, entry(None).pail, block_over=False) is None
    assert settle(digest, None, block_over=True) is WorkState.FAILED


@pytest.mark.parametrize(("unworked", "channels", "age"), [(20, 20, 240), (500, 20, 165), (500, 100, 240), (1, 0, 240)])
def test_backstop_begins_in_time_for_its_channels(unworked: int, channels: int, age: int) -> None:
    assert backstop_age(unworked=unworked, channels=channels, ledger_seconds=5) == age


@pytest.mark.parametrize("table", [farmer.TRANSITIONS, plant.TRANSITIONS, harvest.TRANSITIONS, attempt.TRANSITIONS])
def test_every_state_has_its_row_of_transitions(table: dict[object, object]) -> None:
    assert set(table) == set(type(next(iter(table))))  # type: ignore[call-overload]


def test_departed_farmer_cannot_be_changed_and_onboarding_cannot_be_skipped() -> None:
    with pytest.raises(FarmerDepartedError):
        check_change(UUID(int=1), FarmerState.DEPARTED, FarmerChange(stake_basis_points=1))
    with pytest.raises(TransitionError):
        check_change(UUID(int=1), FarmerState.ONBOARDING, FarmerChange(state=FarmerState.ACTIVE))
    check_change(UUID(int=1), FarmerState.ACTIVE, FarmerChange(state=FarmerState.INACTIVE))
