"""A whole pooler in a world that does as it is told: blocks farmed, and nothing lost whatever goes wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from kale_chain.errors import Retry
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import Ledger
from kale_chain.tx import Signer
from pooler.domain.assignment import Accepted, Failure, Reason
from pooler.errors import BackendRefusedError
from tests.fakes.pooler_world import FakeBackend, Rig, World

FARMERS = [Signer.from_seed(bytes([number]) * 32).address for number in (1, 2, 3)]
A, B, C = FARMERS


def world_of(farmers: list[str], *, channels: int = 8) -> tuple[World, FakeBackend]:
    world = World(channels=channels)
    # A neighbour has opened block 0 in the last ledger.
    world.model.plant("neighbour", 0, world.ledger)
    return world, FakeBackend(world, list(farmers))


def accepted(backend: FakeBackend, farmer: str, index: int = 0) -> Accepted:
    outcome = backend.reports[f"p:{index}:id-{farmer}"].outcome
    assert isinstance(outcome, Accepted), outcome
    return outcome


def failed(backend: FakeBackend, farmer: str, index: int = 0) -> Failure:
    outcome = backend.reports[f"p:{index}:id-{farmer}"].outcome
    assert isinstance(outcome, Failure), outcome
    return outcome


async def assigned(rig: Rig, farmers: list[str]) -> None:
    await rig.until(lambda: bool(rig.world.plants))
    await rig.close()
    await rig.until(lambda: rig.engine.running == set(farmers))


async def test_a_block_is_farmed_from_plant_to_report(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    world.model.blocks[0] = replace(world.model.blocks[0], max_gap=60, max_zeros=9)
    async with Rig(world, backend, tmp_path) as rig:
        await rig.until(lambda: backend.blocks == [0])
        await assigned(rig, FARMERS)
        planted = world.ledger.sequence
        for farmer in FARMERS:
            await rig.found(farmer, [1, 2, 4])
        await rig.until_time(205)
        assert world.sent == []
        await rig.close(2)
        assert {attempt.find.zeros for attempt in world.sent} == {2}
        assert world.model.pails[A, 0].zeros == 2
        await rig.found(A, [6])
        await rig.until_time(285)
        assert len(world.sent) == 3
        await rig.close(2)
        assert [world.model.pails[farmer, 0].zeros for farmer in FARMERS] == [6, 4, 4]
        await rig.reported(3)
        assert rig.engine.running == set()
    for farmer in FARMERS:
        outcome, pail = accepted(backend, farmer), world.model.pails[farmer, 0]
        assert (outcome.zeros, outcome.gap) == (pail.zeros, pail.gap)
        assert outcome.find is not None
        assert outcome.ledger_sequence == planted + outcome.gap
        assert outcome.gap == 58, "the final work is in the last ledger before the block's end"
    assert len(backend.deliveries) == 3
    assert backend.asked == [(0, 8), (1, 8)]


async def test_our_own_plants_open_the_next_block_when_nobody_else_does(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        for farmer in FARMERS:
            await rig.found(farmer, [3])
        await rig.until_time(285)
        assert len(backend.asked) == 1
        await rig.close()
        await rig.until(lambda: len(backend.asked) == 2)
        assert backend.asked[-1] == (1, 8)
        assert backend.blocks == [0]
        await rig.close(2)
        assert world.model.index == 1
        await rig.until(lambda: rig.engine.running == set(FARMERS))
        await rig.until(lambda: backend.blocks == [0, 1])
        entropy = world.model.blocks[1].entropy
        assert [one.entropy for one in rig.engine.searches if one.running] == [entropy] * 3


async def test_a_fresh_farm_begins_with_block_zero(tmp_path: Path) -> None:
    world = World()
    backend = FakeBackend(world, list(FARMERS))
    async with Rig(world, backend, tmp_path) as rig:
        await rig.until(lambda: bool(backend.asked))
        assert backend.asked == [(0, 8)]
        assert backend.blocks == []
        await assigned(rig, FARMERS)
        await rig.until(lambda: backend.blocks == [0])


async def test_no_plants_are_asked_for_late_in_a_block(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    world.ledger = Ledger(160, world.ledger.close_time + 225)
    async with Rig(world, backend, tmp_path) as rig:
        await rig.close(3)
        assert backend.asked == []
        await rig.until(lambda: backend.blocks == [0])
        await rig.until_time(300)
        await rig.until(lambda: backend.asked == [(1, 8)])


async def test_an_rpc_that_does_not_answer_concludes_nothing(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        for farmer in FARMERS:
            await rig.found(farmer, [2, 5])
        await rig.until_time(220)
        world.down = True
        for _ in range(6):
            world.close()
        assert backend.reports == {}
        assert rig.engine.running == set(FARMERS)
        world.down = False
        world.bell.ring()
        await rig.settled()
        await rig.until_time(285)
        await rig.reported(3)
    assert backend.blocks == [0]
    assert [accepted(backend, farmer).zeros for farmer in FARMERS] == [5, 5, 5]


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_works_that_the_network_lost_are_built_anew(tmp_path: Path, lost: int) -> None:
    world, backend = world_of([A])
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A])
        await rig.found(A, [2, 5])
        world.lost = lost
        await rig.until_time(220)
        await rig.until_time(300)
        await rig.reported(1)
    outcome = accepted(backend, A)
    assert (outcome.zeros, world.model.pails[A, 0].zeros) == (5, 5)


async def test_a_farmer_has_only_so_many_transactions_in_a_block(tmp_path: Path) -> None:
    world, backend = world_of([A])
    async with Rig(world, backend, tmp_path, max_repeats=1) as rig:
        await assigned(rig, [A])
        await rig.found(A, [2, 5])
        world.lost = 100
        await rig.until_time(300)
        world.model.plant("neighbour", 0, world.ledger)
        await rig.close(4)
        await rig.reported(1)
    # The insuring one, its repeat and the final one.
    assert len({attempt.transaction_hash for attempt in world.sent}) == 3
    assert failed(backend, A).reason is Reason.TIMEOUT


async def test_a_transaction_that_is_to_come_again_later_comes_again(tmp_path: Path) -> None:
    world, backend = world_of([A])
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A])
        await rig.found(A, [2, 5])
        world.again = 2
        await rig.until_time(285)
        await rig.reported(1)
    assert accepted(backend, A).zeros == 5
    assert [attempt.find.zeros for attempt in world.sent].count(2) == 3
    assert len({attempt.transaction_hash for attempt in world.sent}) == 2


async def test_a_strangers_work_is_adopted(tmp_path: Path) -> None:
    world, backend = world_of([A, B])
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A, B])
        await rig.found(A, [2, 5])
        await rig.found(B, [2, 3])
        await rig.until_time(215)
        world.close()
        for farmer in (A, B):
            world.model.record_work(farmer, 3, b"s" * 32, world.ledger)
        await rig.settled()
        await rig.until_time(285)
        await rig.reported(2)
    assert accepted(backend, A).zeros == 5
    assert "did not submit" in failed(backend, B).message


async def test_a_stranger_who_is_faster_costs_nothing_but_a_fee(tmp_path: Path) -> None:
    world, backend = world_of([A])
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A])
        await rig.found(A, [2, 5])
        await rig.until_time(220)
        # Between our sending and the ledger that would apply it.
        world.model.record_work(A, 4, b"s" * 32, world.ledger)
        await rig.until_time(285)
        await rig.reported(1)
    assert accepted(backend, A).zeros == 5


@pytest.mark.parametrize("cut", range(1, 4))
async def test_a_plant_stream_cut_after_any_message_goes_on(tmp_path: Path, cut: int) -> None:
    world, backend = world_of(FARMERS)
    backend.cuts = [cut]
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        await rig.until(lambda: len(backend.asked) == 2)
        assert len(rig.engine.searches) == 3


async def test_a_farmer_who_could_not_be_planted_is_not_searched_for(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    backend.failing = {B}
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A, C])


async def test_a_request_refused_for_now_is_made_again_at_the_next_ledger(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    backend.refusals = [BackendRefusedError("FAILED_PRECONDITION", "not due", Retry.NEXT_LEDGER)]
    async with Rig(world, backend, tmp_path) as rig:
        await rig.until(lambda: backend.refusals == [])
        await rig.close()
        await rig.until(lambda: len(backend.asked) == 2)
        await assigned(rig, FARMERS)


async def test_a_request_refused_for_ever_is_not_made_again(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    backend.refusals = [BackendRefusedError("INVALID_ARGUMENT", "no", Retry.NEVER)]
    async with Rig(world, backend, tmp_path) as rig:
        await rig.until(lambda: backend.refusals == [])
        await rig.close(3)
        assert len(backend.asked) == 1


async def test_a_backend_that_is_down_stops_neither_search_nor_submission(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        backend.down = True
        for farmer in FARMERS:
            await rig.found(farmer, [4])
        await rig.until_time(285)
        assert [world.model.pails[farmer, 0].zeros for farmer in FARMERS] == [4, 4, 4]
        assert backend.reports == {}
        backend.down = False
        await rig.reported(3)
    assert [accepted(backend, farmer).zeros for farmer in FARMERS] == [4, 4, 4]


async def test_a_report_stream_that_is_cut_repeats_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    backend.cut_acks = True
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        for farmer in FARMERS:
            await rig.found(farmer, [4])
        await rig.until_time(285)
        await rig.reported(3)
    assert [report.report_id for report in backend.deliveries].count(f"p:0:id-{A}") == 1
    assert len(backend.deliveries) == 3


@pytest.mark.parametrize("moment", [0, 100, 220, 225, 240, 280, 285])
async def test_a_restart_in_mid_block_loses_nothing(tmp_path: Path, moment: int) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        for farmer in FARMERS:
            await rig.found(farmer, [2, 5])
        await rig.until_time(moment)
    async with Rig(world, backend, tmp_path) as rig:
        await rig.until_time(290)
        await rig.reported(3)
        assert all(one.min_zeros > 5 for one in rig.engine.searches)
    outcomes = [accepted(backend, farmer) for farmer in FARMERS]
    assert [(outcome.zeros, outcome.find is not None) for outcome in outcomes] == [(5, True)] * 3
    hashes = {attempt.transaction_hash for attempt in world.sent}
    assert len(hashes) == 6, "a restart sends the same bytes again, it never builds a second transaction"


@pytest.mark.parametrize("ledgers_down", [0, 1, 3, 10])
async def test_a_pooler_that_was_down_at_the_blocks_end_still_reports_it(tmp_path: Path, ledgers_down: int) -> None:
    world, backend = world_of([A])
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A])
        await rig.found(A, [2, 5])
        await rig.until_time(295)
    for _ in range(1 + ledgers_down):
        world.close()
    world.model.plant("neighbour", 0, world.ledger)
    async with Rig(world, backend, tmp_path) as rig:
        await rig.close(2)
        await rig.reported(1)
    assert accepted(backend, A).find is not None


async def test_a_restart_while_the_backend_is_down_goes_on_searching(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        await rig.found(A, [2, 5])
    backend.down = True
    async with Rig(world, backend, tmp_path) as rig:
        await rig.until(lambda: rig.engine.running == set(FARMERS))
        await rig.until_time(285)
        assert world.model.pails[A, 0].zeros == 5


async def test_plants_interrupted_late_in_a_block_are_resumed(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path) as rig:
        await rig.until(lambda: backend.asked == [(0, 8)])
    world.ledger = Ledger(world.ledger.sequence + 45, world.ledger.close_time + 225)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)


async def test_fewer_channels_than_farmers_take_turns(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS, channels=1)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        for farmer in FARMERS:
            await rig.found(farmer, [4])
        await rig.until_time(295)
        await rig.reported(3)
    assert {accepted(backend, farmer).zeros for farmer in FARMERS} == {4}


async def test_no_more_searches_run_than_allowed(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path, max_searches=2) as rig:
        await assigned(rig, FARMERS[:2])
        assert backend.asked == [(0, 2)]


async def test_a_fee_account_that_cannot_pay_is_told_in_the_report(tmp_path: Path) -> None:
    world, backend = world_of([A])
    world.refused = "txINSUFFICIENT_BALANCE"
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A])
        await rig.found(A, [4])
        await rig.until_time(300)
        world.model.plant("neighbour", 0, world.ledger)
        await rig.close()
        await rig.reported(1)
    assert failed(backend, A).reason is Reason.FEE_ACCOUNT_LOW


async def test_a_work_without_known_result_for_too_long_is_tried_again(tmp_path: Path) -> None:
    world, backend = world_of([A])
    async with Rig(world, backend, tmp_path, work_patience=0.0) as rig:
        await assigned(rig, [A])
        await rig.found(A, [2, 5])
        world.lost = 1
        await rig.until_time(220)
        # The first transaction could still be applied, so it keeps its channel; another one is on its way.
        await rig.close()
        assert len({attempt.channel for attempt in world.sent}) == 2
        await rig.until_time(290)
        await rig.reported(1)
    assert accepted(backend, A).zeros == 5


async def test_a_node_that_lags_is_not_a_new_block(tmp_path: Path) -> None:
    world, backend = world_of(FARMERS)
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, FARMERS)
        ahead = world.model
        world.model = World().model
        await rig.close(2)
        assert rig.engine.running == set(FARMERS)
        world.model = ahead
        await rig.close()
    assert backend.blocks == [0]
    assert backend.asked == [(0, 8)]


async def test_turns_without_a_new_ledger_submit_nothing_twice(tmp_path: Path) -> None:
    world, backend = world_of([A])
    world.refused = "txBAD_SEQ"
    async with Rig(world, backend, tmp_path, monitor_interval=0.01) as rig:
        await assigned(rig, [A])
        await rig.found(A, [2, 5])
        await rig.until_time(210)
        turns = rig.turns
        await rig.until(lambda: rig.turns > turns + 3)
        assert len(world.sent) == 1
        world.refused = ""
        await rig.until_time(285)
        await rig.reported(1)
    assert accepted(backend, A).zeros == 5


async def test_a_single_find_is_kept_for_the_end_and_a_spare_one_insures(tmp_path: Path) -> None:
    world, backend = world_of([A])
    async with Rig(world, backend, tmp_path) as rig:
        await assigned(rig, [A])
        await rig.found(A, [5])
        await rig.until_time(225)
        insured = world.model.pails[A, 0].zeros
        assert insured is not None
        assert insured < 5
        (attempt,) = world.sent
        digest = work_hash(0, attempt.find.nonce, world.model.blocks[0].entropy, A)
        assert (attempt.find.digest, attempt.find.zeros) == (digest, count_zeros(digest))
        await rig.until_time(285)
        await rig.reported(1)
    outcome = accepted(backend, A)
    assert (outcome.zeros, outcome.gap) == (5, 56)
