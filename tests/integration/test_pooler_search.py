"""The search adapter and the search service over the real engine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kale_chain.errors import InvalidAddressError
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import Block
from kale_chain.planning.works import Insurance, WorkPlan
from kale_chain.planning.zeros import target_zeros
from kale_chain.tx import Signer
from pooler.domain.assignment import Assignment, Find
from pooler.domain.round import Rounds
from pooler.domain.schedule import BlockPlan
from pooler.errors import SearchError
from pooler.ports import Found
from pooler.search.engine import NativeEngine
from pooler.services.searching import Searching
from pooler.state.journal import SqliteJournal

FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
FARMERS = [Signer.from_seed(bytes([number]) * 32).address for number in range(5)]
ENTROPY = bytes(range(32))


def assignment(address: str = FARMER) -> Assignment:
    return Assignment(37, "farmer", address, 1_000, 0)


async def until_ended(engine: NativeEngine) -> list[Found]:
    found: list[Found] = []
    async with asyncio.timeout(30):
        async for batch in engine.finds():
            found += batch
            if any(one.ended for one in batch):
                return found
    raise AssertionError("the engine was closed")


RANGE = {"nonce_start": 2**40, "nonce_count": 2**40}


async def test_finds_are_hashes_the_farm_would_accept() -> None:
    with NativeEngine(cores=1) as engine:
        search = engine.search(assignment(), ENTROPY, min_zeros=2, max_zeros=4, **RANGE)
        found = await until_ended(engine)
        assert search.hashes > 0
        assert engine.threads == 1
        assert engine.rate() >= 0
    finds = [one.find for one in found if one.find is not None and not one.ended]
    zeros = [find.zeros for find in finds]
    assert zeros == sorted(set(zeros))
    assert zeros[0] >= 2
    assert zeros[-1] >= 4
    for one, find in zip(found, finds, strict=False):
        assert (one.block_index, one.address) == (37, FARMER)
        assert find.digest == work_hash(37, find.nonce, ENTROPY, FARMER)
        assert find.zeros == count_zeros(find.digest)
        assert find.nonce >= 2**40


async def test_a_cancelled_search_ends() -> None:
    with NativeEngine(cores=None) as engine:
        assert engine.threads == engine.usable_cores
        search = engine.search(assignment(), ENTROPY, min_zeros=60, max_zeros=64, **RANGE)
        search.cancel()
        search.cancel()
        assert [one.ended for one in await until_ended(engine)] == [True]


async def test_closing_ends_the_stream_of_finds() -> None:
    engine = NativeEngine(cores=1)
    engine.search(assignment(), ENTROPY, min_zeros=60, max_zeros=64, **RANGE)

    async def drain() -> list[list[Found]]:
        return [batch async for batch in engine.finds()]

    draining = asyncio.create_task(drain())
    await asyncio.sleep(0)
    await asyncio.to_thread(engine.close)
    engine.close()
    async with asyncio.timeout(10):
        assert all(one.find is None for batch in await draining for one in batch)


def test_a_kernel_this_cpu_lacks_is_an_error_not_another_kernel() -> None:
    with pytest.raises(SearchError, match="HASH_KERNEL"):
        NativeEngine(cores=1, kernel="no-such-kernel")


def test_an_address_that_is_none_is_refused() -> None:
    with NativeEngine(cores=1) as engine, pytest.raises(InvalidAddressError):
        engine.search(assignment("GNOBODY"), ENTROPY, min_zeros=0, max_zeros=64, **RANGE)


async def test_the_farmer_with_the_fewest_zeros_is_always_searched_for_next() -> None:
    # On one core no granule of another search is under way when a find is told.
    with NativeEngine(cores=1) as engine:
        for address in FARMERS:
            engine.search(assignment(address), ENTROPY, min_zeros=0, max_zeros=5, **RANGE)
        zeros: dict[str, int] = {}
        in_order = 0
        running = set(FARMERS)
        async with asyncio.timeout(60):
            async for batch in engine.finds():
                for one in batch:
                    if one.ended:
                        running.remove(one.address)
                        continue
                    assert one.find is not None
                    if len(zeros) == len(FARMERS):  # the last search has begun
                        assert zeros[one.address] == min(zeros[address] for address in running)
                        in_order += 1
                    zeros[one.address] = one.find.zeros
                if not running:
                    break
    assert in_order > 0
    assert all(reached >= 5 for reached in zeros.values())


async def test_a_search_with_work_from_before_counts_with_its_zeros() -> None:
    with NativeEngine(cores=1) as engine:
        behind = engine.search(
            assignment(FARMERS[0]), ENTROPY, min_zeros=0, max_zeros=64, nonce_start=0, nonce_count=2**40
        )
        ahead = engine.search(
            assignment(FARMERS[1]), ENTROPY, min_zeros=60, max_zeros=64, nonce_start=0, nonce_count=2**40
        )
        async with asyncio.timeout(60):
            async for batch in engine.finds():
                if any(one.find is not None and one.find.zeros >= 5 for one in batch):
                    break
        assert behind.hashes > 0
        assert ahead.hashes == 0


class WatchedEngine(NativeEngine):
    """The engine, and what says that its finds were taken."""

    def __init__(self) -> None:
        super().__init__(cores=None)
        self._taken = asyncio.Event()

    async def finds(self) -> AsyncIterator[list[Found]]:
        async for batch in super().finds():
            yield batch
            self._taken.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until taken finds have made something true."""
        async with asyncio.timeout(60):
            while not condition():
                await self._taken.wait()
                self._taken.clear()


async def searched(engine: WatchedEngine, block: Block, journal: SqliteJournal, until_zeros: int | None) -> int:
    """Searches for every farmer until all have `until_zeros` (None: until all searches ended); how many then run."""
    rounds = Rounds()
    one = rounds.of(37)
    one.plan = BlockPlan(37, 300, ENTROPY, target_zeros(block))
    for address in FARMERS:
        one.assign(assignment(address))
    works = list(one.works.values())
    searching = Searching(engine, journal, rounds, limit=10)
    taking = asyncio.create_task(searching.run())
    searching.start(one)
    if until_zeros is None:
        await engine.until(lambda: searching.running == 0)
        assert all(work.best is not None and work.best.zeros >= block.max_zeros for work in works)
    else:
        await engine.until(lambda: all(work.best is not None and work.best.zeros >= until_zeros for work in works))
    running = searching.running
    searching.forget(37)
    engine.close()
    await taking
    return running


@pytest.mark.parametrize(
    ("least", "most", "until_zeros", "running"), [(1, 3, None, 0), (2, 3, 4, len(FARMERS)), (0, 0, 4, len(FARMERS))]
)
async def test_searches_end_at_the_blocks_maximum_unless_its_range_is_young(
    tmp_path: Path, least: int, most: int, until_zeros: int | None, running: int
) -> None:
    block = replace(Block.unseen(0).opened_at(0), min_zeros=least, max_zeros=most)
    with WatchedEngine() as engine, SqliteJournal(tmp_path, farm="farm", pooler_id="p") as journal:
        assert await searched(engine, block, journal, until_zeros) == running


async def test_a_farmer_without_a_find_to_insure_with_is_searched_for_one_once(tmp_path: Path) -> None:
    with WatchedEngine() as engine, SqliteJournal(tmp_path, farm="farm", pooler_id="p") as journal:
        rounds = Rounds()
        one = rounds.of(37)
        one.plan = BlockPlan(37, 300, ENTROPY, 9)
        one.assign(assignment())
        work = one.works[FARMER]
        # The search for him is at its target and starts no more; what it found jumped over what insures.
        work.finds = [Find(0, 0, bytes(32)), Find(9, 1, bytes(32))]
        insurance = Insurance(44, 8, 3)
        one.plans = {FARMER: WorkPlan(FARMER, 37, 9, None, insurance, 59, 60)}
        searching = Searching(engine, journal, rounds, limit=10)
        taking = asyncio.create_task(searching.run())
        searching.start(one)
        searching.start(one)
        await engine.until(lambda: not work.needs_spare(insurance))
        assert searching.running == 0
        (_, spare, _) = work.finds
        assert 3 <= spare.zeros <= 8
        assert spare.digest == work_hash(37, spare.nonce, ENTROPY, FARMER)
        assert engine._engine.stats().jobs + engine._engine.stats().finished == 1
        searching.forget(37)
        engine.close()
        await taking
