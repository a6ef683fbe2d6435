"""Poolers that attend, over real gRPC, on the real ledger, with a real database."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import grpc
import grpc.aio
import pytest

from backend.domain.presence import IDLE_LEDGERS
from kalepool.v1 import pool_pb2, status_pb2
from tests.fixtures.backend import BLOCK_LEDGERS, PATIENCE_SECONDS, Pool, StartBackend
from tests.fixtures.grpc_errors import reason_of
from tests.fixtures.stores import Query

DEPOSIT = 50 * 10_000_000
TAKES_OVER = pool_pb2.POOLER_CAPABILITY_TAKE_OVER


class Attendant:
    """A pooler as far as the backend sees it: it answers every notice until a test silences it."""

    def __init__(self, pool: Pool, name: str, *, farmers: int = 50, rate: float = 1e6) -> None:
        self.pool = pool
        self.name = name
        self.state = pool_pb2.AttendRequest(
            pooler_id=name, max_farmers=farmers, hashes_per_second=rate, version="9.9", capabilities=[TAKES_OVER]
        )
        self.answers = True
        self.notices: list[pool_pb2.AttendResponse] = []
        self.error: grpc.aio.AioRpcError | None = None
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._call = self.pool.pool.Attend()
        await self._call.write(self.state)
        self._reading = asyncio.create_task(self._read())
        await self.until(lambda: self.kinds() == ["welcome"])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    def kinds(self) -> list[str]:
        """What was told, without the ledgers."""
        told = [str(notice.WhichOneof("notice")) for notice in self.notices]
        return [kind for kind in told if kind != "ledger_closed"]

    @property
    def given(self) -> list[pool_pb2.PlantEvent]:
        """Farmers given in the middle of a block."""
        return [plant for notice in self.notices for plant in notice.leases_given.plants]

    @property
    def taken(self) -> list[pool_pb2.TakenLease]:
        """Farmers taken."""
        return [lease for notice in self.notices for lease in notice.leases_taken.leases]

    async def say(self, **changes: object) -> None:
        """Tells a changed state."""
        for name, value in changes.items():
            setattr(self.state, name, value)
        await self._call.write(self.state)

    async def until(self, met: Callable[[], bool]) -> None:
        """Waits for notices."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(lambda: met() or self.error is not None)
        assert met(), self.error

    async def ended(self) -> grpc.aio.AioRpcError:
        """How the stream was ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reading
        assert self.error is not None
        return self.error

    async def plant(self, block: int) -> list[pool_pb2.PlantEvent]:
        """Its plants of a block."""
        request = pool_pb2.PlantRequest(
            request_id=f"{self.name}:{block}",
            pooler_id=self.name,
            block_index=block,
            requested_farmers=self.state.max_farmers,
        )
        return (await self.pool.plant(request))[0]

    async def _read(self) -> None:
        try:
            async for notice in self._call:
                self.notices.append(notice)
                if self.answers:
                    self.state.acknowledged = notice.number
                    await self._call.write(self.state)
                async with self._news:
                    self._news.notify_all()
        except grpc.aio.AioRpcError as error:
            self.error = error
            async with self._news:
                self._news.notify_all()


async def silence(pool: Pool, silent: Attendant, *others: Attendant) -> None:
    """Has a pooler answer nothing more until the backend has noticed; the others answer every ledger."""
    silent.answers = False
    while silent.error is None:
        await heard_after(pool, *others)


async def heard_after(pool: Pool, *attendants: Attendant) -> None:
    """Closes a ledger and waits until these poolers were told of it."""
    told = {one: len(one.notices) for one in attendants}
    await pool.advance()
    for one in attendants:
        await one.until(lambda one=one: len(one.notices) > told[one])  # type: ignore[misc]


@asynccontextmanager
async def attending(*attendants: Attendant) -> AsyncIterator[None]:
    """All of them attend."""
    async with contextlib.AsyncExitStack() as stack:
        for one in attendants:
            await stack.enter_async_context(one)
        yield


async def test_farmers_are_shared_by_hash_rate_and_planted_by_the_first_request(pool: Pool, query: Query) -> None:
    await pool.onboard(8, stroops=DEPOSIT)
    slow, fast = Attendant(pool, "slow", rate=1e6), Attendant(pool, "fast", rate=3e6)
    async with attending(slow, fast):
        block = await pool.open_block()
        first = await slow.plant(block)
        assert query("SELECT count(*) FROM plant_transactions WHERE status = 'confirmed'") == [(8,)]
        second = await fast.plant(block)
    assert (len(first), len(second)) == (2, 6)
    assert len({event.farmer_id for event in [*first, *second]}) == 8
    assert [event.number for event in second] == [1, 2, 3, 4, 5, 6]
    assert {event.lease_generation for event in [*first, *second]} == {1}


async def test_nobody_gets_more_farmers_than_it_has_room_for(pool: Pool) -> None:
    await pool.onboard(6)
    small, big = Attendant(pool, "small", farmers=1, rate=9e6), Attendant(pool, "big", farmers=3, rate=1e6)
    async with attending(small, big):
        block = await pool.open_block()
        assert (len(await big.plant(block)), len(await small.plant(block))) == (3, 1)


async def test_silent_poolers_farmers_go_to_the_others(pool: Pool, query: Query) -> None:
    await pool.onboard(6, stroops=DEPOSIT)
    dead, b, c = (Attendant(pool, name) for name in ("dead", "b", "c"))
    async with attending(dead, b, c):
        block = await pool.open_block()
        orphans = {event.farmer_id for event in await dead.plant(block)}
        held = {event.farmer_id for one in (b, c) for event in await one.plant(block)}
        await silence(pool, dead, b, c)
        error = await dead.ended()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "POOLER_SILENT")
        await b.until(lambda: len(b.given) == 1)
        await c.until(lambda: len(c.given) == 1)
        assert {event.farmer_id for event in [*b.given, *c.given]} == orphans
        assert not orphans & held
        for event in [*b.given, *c.given]:
            assert (event.lease_generation, event.number, event.block_index) == (2, 0, block)
            assert event.planted.stake_stroops == DEPOSIT // 10
        moved = query("SELECT pooler_id, taken_from, reason FROM lease_handovers ORDER BY pooler_id")
        assert moved == [("b", "dead", "silent"), ("c", "dead", "silent")]
        again = Attendant(pool, "dead")
        async with again:
            await again.until(lambda: len(again.taken) == 2)
            assert {lease.farmer_id for lease in again.taken} == orphans


async def test_pooler_that_answers_and_takes_nothing_loses_its_farmers(pool: Pool, query: Query) -> None:
    """It answers every ledger, but never asks for its plants; in the next block it is not planted for at all."""
    await pool.onboard(4, stroops=DEPOSIT)
    busy, lazy = Attendant(pool, "busy"), Attendant(pool, "lazy")
    async with attending(busy, lazy):
        block = await pool.open_block()
        planted = await busy.plant(block)
        assert len(planted) == 2
        while len(busy.given) < 2:
            await heard_after(pool, busy, lazy)
        assert {lease.farmer_id for lease in lazy.taken} == {plant.farmer_id for plant in busy.given}
        assert {plant.lease_generation for plant in busy.given} == {2}
        assert lazy.error is None
        rows = "SELECT DISTINCT taken_from, pooler_id, reason, block_index FROM lease_handovers"
        assert query(rows) == [("lazy", "busy", "idle", block)]
        for _ in range(IDLE_LEDGERS + 2):  # what was given was acknowledged, so that it stays
            await heard_after(pool, busy, lazy)
        assert query("SELECT count(*) FROM lease_handovers") == [(2,)]
        await pool.advance(BLOCK_LEDGERS)
        following = await pool.open_block()
        assert len(await busy.plant(following)) == 4
        assert await lazy.plant(following) == []


async def test_drain_hands_over_at_once_and_says_what_stays(pool: Pool) -> None:
    await pool.onboard(4)
    leaver, stayer = Attendant(pool, "leaver"), Attendant(pool, "stayer", farmers=3)
    async with attending(leaver, stayer):
        block = await pool.open_block()
        held = {event.farmer_id for event in await leaver.plant(block)}
        await stayer.plant(block)
        await leaver.say(draining=True)
        await leaver.until(lambda: leaver.kinds()[-1] == "drained")
        assert leaver.notices[-1].drained.kept_farmers == 1
        await stayer.until(lambda: len(stayer.given) == 1)
        assert {lease.farmer_id for lease in leaver.taken} == {event.farmer_id for event in stayer.given} < held
        await pool.advance(BLOCK_LEDGERS)
        assert len(await stayer.plant(await pool.open_block())) == 3


async def test_new_pooler_gets_its_share_from_the_next_block(pool: Pool) -> None:
    await pool.onboard(4)
    first, second = Attendant(pool, "first"), Attendant(pool, "second")
    async with first:
        assert len(await first.plant(await pool.open_block())) == 4
        async with second:
            await pool.advance(BLOCK_LEDGERS)
            block = await pool.open_block()
            counts = Counter({one.name: len(await one.plant(block)) for one in (first, second)})
    assert counts == {"first": 2, "second": 2}


async def test_second_stream_of_a_pooler_ends_the_first(pool: Pool) -> None:
    first, second = Attendant(pool, "twin"), Attendant(pool, "twin")
    async with first, second:
        error = await first.ended()
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ABORTED, "ATTENDANCE_SUPERSEDED")
        await second.say()


async def test_restarted_backend_waits_for_its_poolers_and_then_hands_over(start_backend: StartBackend) -> None:
    """It knows whom it had from the database, and asks before it takes anybody for silent."""
    async with start_backend() as pool:
        await pool.onboard(2)
        dead, alive = Attendant(pool, "dead"), Attendant(pool, "alive")
        async with attending(dead, alive):
            block = await pool.open_block()
            assert (len(await dead.plant(block)), len(await alive.plant(block))) == (1, 1)
    async with start_backend() as pool:
        alive = Attendant(pool, "alive")
        async with alive:
            while not alive.given:
                await heard_after(pool, alive)
            assert [event.lease_generation for event in alive.given] == [2]


async def test_status_shows_who_attends(pool: Pool) -> None:
    async with Attendant(pool, "p", farmers=7, rate=5e6):
        status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
        (one,) = status.backend.poolers
        assert (one.pooler_id, one.version, one.max_farmers, one.hashes_per_second) == ("p", "9.9", 7, 5e6)
        assert one.takes_over


@pytest.mark.parametrize(
    "change",
    [{"pooler_id": "other"}, {"hashes_per_second": float("nan")}, {"max_farmers": 2**31}, {"version": "v" * 65}],
)
async def test_malformed_state_ends_the_stream(pool: Pool, change: dict[str, object]) -> None:
    async with Attendant(pool, "p") as one:
        await one.say(**change)
        assert (await one.ended()).code() is grpc.StatusCode.INVALID_ARGUMENT
