"""Attending: farmers given in the middle of a block are worked for, farmers taken are let go."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kale_chain.tx import Signer
from pooler.domain.nonce_range import nonce_start
from pooler.domain.presence import Notice, TakenLease
from tests.fakes.pooler_world import FakeBackend, Rig, World, assignment

A, B = (Signer.from_seed(bytes([number]) * 32).address for number in (1, 2))


@pytest.fixture
def world() -> World:
    made = World()
    made.model.plant("neighbour", 0, made.ledger)
    return made


@pytest.fixture
def backend(world: World) -> FakeBackend:
    return FakeBackend(world, [A])


@pytest.fixture
def rig(world: World, backend: FakeBackend, tmp_path: Path) -> Callable[[], Rig]:
    return lambda: Rig(world, backend, tmp_path)


async def tell(running: Rig, notice: Notice) -> None:
    """Tells a notice and waits until it is acknowledged."""
    running.backend.notices.put_nowait(notice)
    await running.until(lambda: running.backend.states[-1].acknowledged == notice.number)


async def planted(running: Rig) -> int:
    """Has farmer A planted and searched for; the block."""
    await running.until(lambda: bool(running.world.plants))
    await running.close()
    await running.until(lambda: A in running.engine.running)
    return running.world.model.index


async def test_tells_capacity_and_acknowledges_every_notice(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        await running.until(lambda: len(running.backend.states) == 2)
        assert [state.acknowledged for state in running.backend.states] == [0, 1]
        assert running.backend.states[0].max_farmers == 8
        assert running.backend.states[0].hashes_per_second == 2.0
        await tell(running, Notice(2))
        assert not running.backend.states[-1].draining


async def test_given_farmer_is_searched_for_in_the_range_of_its_lease(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        index = await planted(running)
        running.world.model.plant(B, 0, running.world.ledger)
        given = replace(assignment(index, B, running.world.ledger.sequence), generation=3)
        await tell(running, Notice(2, given=(given,)))
        await running.until(lambda: B in running.engine.running)
        first, second = running.engine.of(A), running.engine.of(B)
        assert second.nonce_start - nonce_start(3, 0) == first.nonce_start - nonce_start(1, 0)
        await running.found(B, [4, 6])
        await running.until_time(285)
        await running.close(2)
        await running.reported(1)
        assert {report.address for report in running.backend.reports.values()} >= {B}


async def test_taken_farmer_is_neither_searched_nor_submitted_nor_reported(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        index = await planted(running)
        await running.found(A, [4])
        await tell(running, Notice(2, taken=(TakenLease(index, f"id-{A}", 2),)))
        await running.until(lambda: running.engine.running == set())
        await running.until_time(290)
        assert running.world.sent == []
        assert running.backend.reports == {}


async def test_taken_farmer_whose_work_was_accepted_is_reported(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        index = await planted(running)
        await running.found(A, [4, 6])
        await running.until_time(225)
        await running.close(2)
        assert len({one.transaction_hash for one in running.world.sent}) == 1
        await tell(running, Notice(2, taken=(TakenLease(index, f"id-{A}", 2),)))
        await running.reported(1)
        (report,) = running.backend.reports.values()
        assert report.address == A
        await running.until_time(290)
        assert len({one.transaction_hash for one in running.world.sent}) == 1


async def test_restart_does_not_take_up_what_was_taken(rig: Callable[[], Rig]) -> None:
    """The plant stream is replayed from its beginning, the lease taken stays taken."""
    async with rig() as running:
        index = await planted(running)
        await tell(running, Notice(2, taken=(TakenLease(index, f"id-{A}", 2),)))
    async with rig() as running:
        await running.until(lambda: len(running.backend.asked) == 2)
        await running.close(2)
        assert running.engine.running == set()


async def test_farmer_that_comes_back_is_searched_for_again_elsewhere(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        index = await planted(running)
        before = running.engine.of(A)
        await tell(running, Notice(2, taken=(TakenLease(index, f"id-{A}", 2),)))
        await running.until(lambda: running.engine.running == set())
        back = replace(before.assignment, generation=3)
        await tell(running, Notice(3, given=(back,)))
        await running.until(lambda: running.engine.running == {A})
        assert running.engine.of(A).nonce_start - before.nonce_start == nonce_start(3, 0) - nonce_start(1, 0)


async def test_broken_stream_is_opened_anew(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        await tell(running, Notice(2))
        running.backend.notices.put_nowait(None)
        await running.until(lambda: [state.acknowledged for state in running.backend.states] == [0, 1])


async def test_drain_says_so_and_waits_for_the_answer(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        await tell(running, Notice(2))
        draining = running.assembly.drain()
        task = running.spawn(draining)
        await running.until(lambda: running.backend.states[-1].draining)
        assert not task.done()
        running.backend.notices.put_nowait(Notice(3, drained=0))
        await running.until(task.done)


async def test_drain_does_not_wait_for_a_backend_that_is_away(rig: Callable[[], Rig]) -> None:
    async with rig() as running:
        await tell(running, Notice(2))
        running.backend.down = True
        running.backend.notices.put_nowait(None)
        task = running.spawn(running.assembly.drain())
        await running.until(task.done)


async def test_backend_that_knows_no_attendance_plants_all_the_same(
    rig: Callable[[], Rig], backend: FakeBackend
) -> None:
    backend.unattended = True
    async with rig() as running:
        await planted(running)
