"""The search adapter over the real engine."""

import asyncio

import pytest

from kale_chain.errors import InvalidAddressError
from kale_chain.hashing import count_zeros, work_hash
from pooler.domain.assignment import Assignment
from pooler.errors import SearchError
from pooler.ports import Found
from pooler.search.engine import NativeEngine

FARMER = "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE"
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


async def test_finds_are_hashes_the_farm_would_accept() -> None:
    with NativeEngine(cores=1) as engine:
        search = engine.search(assignment(), ENTROPY, min_zeros=2, max_zeros=4, nonce_start=2**40, weight=1)
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
        search = engine.search(assignment(), ENTROPY, min_zeros=60, max_zeros=64, nonce_start=0, weight=1)
        search.weigh(256**3)
        search.cancel()
        search.cancel()
        assert [one.ended for one in await until_ended(engine)] == [True]


async def test_closing_ends_the_stream_of_finds() -> None:
    engine = NativeEngine(cores=1)
    engine.search(assignment(), ENTROPY, min_zeros=60, max_zeros=64, nonce_start=0, weight=1)

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
        engine.search(assignment("GNOBODY"), ENTROPY, min_zeros=0, max_zeros=64, nonce_start=0, weight=1)
